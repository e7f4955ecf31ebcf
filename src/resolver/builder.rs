//! The builder of a resolver. The setters say when to change each setting.

mod check;
mod connects;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::{Inner, Resolver};
use crate::addrs::{AddressOrder, Family};
use crate::cache::{SourceAddress, Sources};
use crate::error::ConfigError;
use crate::events::Observe;
use crate::filter::Filter;
use crate::health::ProbeConnect;
use crate::lookup::{Lookup, StaticHosts};

/// Builds a [`Resolver`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let resolver = sidestep::Resolver::builder()
///     .max_ttl(Duration::from_secs(30))
///     .max_hosts(1_000)
///     .build()?;
/// # Ok::<(), sidestep::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ResolverBuilder {
    pub(super) lookup: Option<Arc<dyn Lookup>>,
    pub(super) overrides: Option<StaticHosts>,
    pub(super) fallbacks: Option<StaticHosts>,
    pub(super) observe: Option<Arc<dyn Observe>>,
    pub(super) filter: Option<Arc<Filter>>,
    pub(super) min_ttl: Duration,
    pub(super) max_ttl: Duration,
    pub(super) max_stale: Duration,
    pub(super) serve_stale_after: Duration,
    pub(super) lookup_timeout: Duration,
    pub(super) lookups_at_once: usize,
    pub(super) slow_connect_after: Option<Duration>,
    pub(super) capacity: usize,
    pub(super) lanes: bool,
    pub(super) probe: bool,
    pub(super) probe_connect: Option<Arc<ProbeConnect>>,
    pub(super) last_resort: bool,
    pub(super) order: AddressOrder,
    pub(super) prefer: Option<Family>,
    pub(super) source_address: Option<Arc<SourceAddress>>,
}

impl ResolverBuilder {
    pub(super) fn new() -> Self {
        Self {
            lookup: None,
            overrides: None,
            fallbacks: None,
            observe: None,
            filter: None,
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(60),
            max_stale: Duration::from_secs(24 * 60 * 60),
            serve_stale_after: Duration::from_millis(1_800),
            lookup_timeout: Duration::from_secs(5),
            lookups_at_once: 64,
            slow_connect_after: None,
            capacity: 10_000,
            lanes: true,
            probe: true,
            probe_connect: None,
            last_resort: true,
            order: AddressOrder::Shuffle,
            prefer: None,
            source_address: None,
        }
    }

    /// Sets the lookup that the resolver gets addresses from.
    ///
    /// Defaults to [`Dns`](crate::lookup::Dns) if `Dns` implements the system's configuration in full, and otherwise
    /// to [`System`](crate::lookup::System). The choice is logged, and made again when the configuration changes.
    /// Without the feature `hickory` the default is [`System`](crate::lookup::System).
    pub fn lookup(mut self, lookup: impl Lookup) -> Self {
        self.lookup = Some(Arc::new(lookup));
        self
    }

    /// Sets the table of overrides, whose addresses are used before any lookup.
    ///
    /// Defaults to an empty table of the resolver's own, which the program may change through [`Resolver::overrides`]
    /// while requests run. Set an override to connect to an address that no name server returns, for example in a
    /// test or a migration.
    ///
    /// Overrides are ordered by their health like all addresses. Neither the [`filter`](Self::filter) nor the order
    /// of RFC 6724 applies to them: the family of the first override goes first.
    pub fn overrides(mut self, table: StaticHosts) -> Self {
        self.overrides = Some(table);
        self
    }

    /// Sets the table of fallbacks, whose addresses are used only after a lookup has failed.
    ///
    /// Defaults to an empty table of the resolver's own, which the program may change through [`Resolver::fallbacks`]
    /// while requests run. Set fallbacks for hosts that requests must reach while name servers are down or blocked.
    ///
    /// - An answer that may still be served, fresh or [stale](Self::max_stale), is used before the fallbacks.
    /// - A lookup has failed if it ends without addresses. That includes a timeout, SERVFAIL and "no such name",
    ///   because a blocked name looks like a missing one. For its waiting callers, a lookup that takes longer than
    ///   [`serve_stale_after`](Self::serve_stale_after) has failed, too.
    /// - Fallbacks are then served without a lookup for 30 s (within [`min_ttl`](Self::min_ttl) and
    ///   [`max_ttl`](Self::max_ttl), like an answer without a TTL). A caller starts the next lookup in the background
    ///   before that time ends. The first answer of a lookup replaces the fallbacks, and [`Resolver::invalidate`] ends
    ///   their use. A change of the table takes effect at once.
    /// - Names that never leave the machine (`.onion`, `.invalid`) are not looked up, so fallbacks do not apply to
    ///   them. Overrides do.
    /// - Fallbacks are ordered and [filtered](Self::filter) like the addresses of any answer. If a connect to a
    ///   fallback fails, the host is looked up again.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::IpAddr;
    /// use sidestep::{AnswerSource, Resolver, lookup::StaticHosts};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let fallbacks = StaticHosts::new();
    /// fallbacks.set("api.example.com", [IpAddr::from([192, 0, 2, 7])])?;
    /// let resolver = Resolver::builder()
    /// #   .lookup(StaticHosts::new()) // knows no name
    ///     .fallbacks(fallbacks)
    ///     .build()?;
    /// // While no name server answers:
    /// let resolved = resolver.resolve("api.example.com").await?;
    /// assert_eq!(resolved.source(), AnswerSource::Fallback);
    /// # Ok(())
    /// # }
    /// ```
    pub fn fallbacks(mut self, table: StaticHosts) -> Self {
        self.fallbacks = Some(table);
        self
    }

    /// Sets the observer that receives each [`Event`](crate::Event), besides the log.
    ///
    /// Defaults to no observer.
    ///
    /// # Examples
    ///
    /// A closure must name the type of its argument:
    ///
    /// ```
    /// use sidestep::{Event, Resolver};
    ///
    /// let resolver = Resolver::builder()
    ///     .observe(|event: &Event<'_>| {
    ///         if let Event::AddressFailed { host, addr, outcome, .. } = event {
    ///             eprintln!("{addr} of {host}: {outcome:?}");
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok::<(), sidestep::ConfigError>(())
    /// ```
    pub fn observe(mut self, observe: impl Observe) -> Self {
        self.observe = Some(Arc::new(observe));
        self
    }

    /// Sets the function that decides which addresses the resolver may return.
    ///
    /// The function receives a host and one of its addresses, and returns true if the resolver may return the
    /// address. A second call of this method replaces the filter of the first call.
    ///
    /// Defaults to no filter. Set a filter if other parties choose the names that your program connects to, so that
    /// no connect goes into your own network (server-side request forgery, DNS rebinding).
    /// [`filter::public_only`](crate::filter::public_only) is a filter for that purpose.
    ///
    /// The host is in lower case and without the root dot. An IPv4-mapped IPv6 address is passed as IPv4. The
    /// resolver calls the filter in these cases:
    ///
    /// | when | for |
    /// |---|---|
    /// | a lookup returns an answer | each address, once, and not again when the cached answer is served |
    /// | a caller resolves an IP literal or `localhost` | each address, each time |
    /// | a connect is given a [last resort](Self::last_resort) | each address that left |
    /// | a host has [fallbacks](Self::fallbacks) and no answer to serve | each fallback, each time |
    ///
    /// The filter must return quickly, and must neither block nor panic. Each refused address is an
    /// [`Event::AddressRefused`](crate::Event::AddressRefused); a refused fallback is one event for each failed lookup.
    ///
    /// If the filter refuses all addresses of an answer, the lookup fails with an error whose
    /// [`is_filtered`](crate::ResolveError::is_filtered) returns true. Like a NODATA answer, the error replaces an
    /// earlier answer of the host. The error is cached for the TTL of the answer, within 1 s and 60 s, or for 5 s
    /// without a TTL.
    ///
    /// **Addresses that do not pass through the resolver are not filtered**: an IP literal in a URL, which reqwest
    /// and hyper connect to without a resolver; the addresses of reqwest's `resolve` and `resolve_to_addrs`; and the
    /// targets of a proxy, which the proxy resolves. [Overrides](Self::overrides) are not filtered either, because
    /// the program has chosen them. See [`filter`](mod@crate::filter).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), sidestep::ConfigError> {
    /// let resolver = sidestep::Resolver::builder()
    ///     .filter(|host, addr| host != "localhost" || addr == Ipv4Addr::LOCALHOST)
    ///     .build()?;
    /// assert_eq!(resolver.resolve("localhost").await.unwrap().addrs(), [Ipv4Addr::LOCALHOST]);
    ///
    /// let public = sidestep::Resolver::builder().filter(sidestep::filter::public_only()).build()?;
    /// let error = public.resolve("LocalHost.").await.unwrap_err();
    /// assert!(error.is_filtered(), "{error}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn filter(mut self, filter: impl Fn(&str, IpAddr) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Arc::new(filter));
        self
    }

    /// Sets the shortest lifetime of an answer, whatever its TTL.
    ///
    /// Defaults to 1 s. Raise it if a zone publishes a TTL of 0 and lookups are expensive.
    pub fn min_ttl(mut self, ttl: Duration) -> Self {
        self.min_ttl = ttl;
        self
    }

    /// Sets the longest lifetime of an answer, whatever its TTL.
    ///
    /// Defaults to 60 s. The resolver then learns within a minute that an address has left DNS, even if the zone
    /// publishes a TTL of half an hour. Raise it to query a slow name server less often.
    pub fn max_ttl(mut self, ttl: Duration) -> Self {
        self.max_ttl = ttl;
        self
    }

    /// Sets how long an expired answer may still be served if a lookup fails or takes too long.
    ///
    /// Defaults to 24 h (RFC 8767, section 5, suggests one to three days). If zero, no expired answer is served.
    /// Lower the time if a name may move to another owner.
    pub fn max_stale(mut self, longest: Duration) -> Self {
        self.max_stale = longest;
        self
    }

    /// Sets how long callers wait for a lookup before they are served a stale answer.
    ///
    /// Defaults to 1.8 s (RFC 8767, section 5, client response timer). The time counts from when the lookup was sent.
    ///
    /// While lookups fail, no caller waits for the next one. While a healthy address is left, no caller waits for a
    /// lookup that was sent before the answer expired, either.
    pub fn serve_stale_after(mut self, wait: Duration) -> Self {
        self.serve_stale_after = wait;
        self
    }

    /// Sets how long one lookup may take, counted from when the lookup is sent.
    ///
    /// Defaults to 5 s.
    pub fn lookup_timeout(mut self, timeout: Duration) -> Self {
        self.lookup_timeout = timeout;
        self
    }

    /// Sets how many lookups run at once. Further lookups wait for their turn.
    ///
    /// Defaults to 64. Each lookup has two sockets, or twelve if three name servers do not answer. All sockets then
    /// fit into the 1 024 file descriptors that many systems allow. Raise the limit if no name server answers for
    /// many of your names.
    ///
    /// A lookup that gets no turn within four times [`lookup_timeout`](Self::lookup_timeout) fails.
    pub fn lookups_at_once(mut self, lookups: usize) -> Self {
        self.lookups_at_once = lookups;
        self
    }

    /// Sets how many hosts the resolver keeps, with their answers and the failures of their addresses.
    ///
    /// Defaults to 10 000 hosts. A host with four addresses takes about 400 bytes, as much again once connects have
    /// reached the addresses, and as much again once the addresses have failed.
    ///
    /// When a new host needs room, the resolver compares some thirty random hosts and removes the host that was used
    /// longest ago. A host whose addresses have penalties leaves after the other idle hosts. A host with an in-flight
    /// lookup stays. Memory does not grow with the number of names that were ever looked up, and no call takes longer
    /// because the resolver keeps many hosts: `cargo bench --bench flood` measures both.
    pub fn max_hosts(mut self, hosts: usize) -> Self {
        self.capacity = hosts;
        self
    }

    /// Sets whether the addresses of an IPv4-only host are also returned as IPv4-mapped IPv6 addresses.
    ///
    /// A connector that attempts two families side by side then also attempts two IPv4 addresses side by side.
    ///
    /// Defaults to `true`, on systems that can connect to such addresses. Turn it off if a firewall or a log must
    /// never see `::ffff:192.0.2.1`.
    pub fn ipv4_mapped_fallback(mut self, on: bool) -> Self {
        self.lanes = on;
        self
    }

    /// Sets whether the resolver probes addresses by TCP connects of its own, in the background.
    ///
    /// Defaults to `true`, so that no request has to try an address that still fails. A probe goes to the port of the
    /// last connect to the host, straight from this machine, and is closed at once. An address is probed when its
    /// penalty is over, and every 5 s of its penalty if a connect is slow or no address of the host is healthy. An address is also probed if another address connected first, in a race or in the other lane,
    /// while the network may just be slow. A probe that connects clears a failure in TCP. If the address was slow or
    /// failed after TCP, one request then tries the address.
    ///
    /// Turn probes off if connections must leave by a bound interface or a proxy, because a blocked probe penalizes
    /// an address that works. Turn probes off also if connections must be few. Without probes, one request tries each
    /// address whose penalty is over, and a doubt ends after 5 s.
    pub fn background_probe(mut self, on: bool) -> Self {
        self.probe = on;
        self
    }

    /// Sets the function that connects in place of a background probe's TCP socket.
    ///
    /// The method is hidden because only a simulation needs it: `benches/fleet` runs on a paused clock and without
    /// sockets. All other connects are the connector's, and a probe is the crate's own.
    #[doc(hidden)]
    pub fn probe_connect<F>(
        mut self,
        connect: impl Fn(SocketAddr) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        self.probe_connect = Some(Arc::new(move |to| Box::pin(connect(to))));
        self
    }

    /// Sets the order in which the addresses of one family are returned.
    ///
    /// Defaults to [`AddressOrder::Shuffle`], which spreads the load over all addresses and sends each retry to
    /// another one.
    pub fn address_order(mut self, order: AddressOrder) -> Self {
        self.order = order;
        self
    }

    /// Sets which family a connect attempts first.
    ///
    /// Defaults to `None`, which leaves the choice to RFC 6724. IPv6 then goes first, unless this system has no route
    /// to it, or a route from a local address only. Set [`Family::V4`] if IPv6 is known to be slow.
    ///
    /// Whatever is set, a family goes second for 10 s after a connect found no route to it. A family also goes second
    /// for 5 min after two of its addresses were slow while the other family connected. A connect or a
    /// [probe](Self::background_probe) that reaches the family ends both.
    pub fn prefer_family(mut self, family: impl Into<Option<Family>>) -> Self {
        self.prefer = family.into();
        self
    }

    /// Sets the function that finds the source address of a connect, for the order of RFC 6724.
    ///
    /// The function receives the destination, and returns `None` if there is no route. The function must not block.
    ///
    /// Defaults to the choice of the system, which the resolver finds by connecting a UDP socket. That sends nothing.
    /// The function is called if a lookup returns addresses whose order depends on it: two families or two scopes.
    /// The feature `watch-network` calls the function to find out whether the network has changed. Set the function
    /// if your connections leave through another interface than the routing table says.
    ///
    /// # Examples
    ///
    /// This function is for a VPN that carries only IPv4, whatever the routing table says:
    ///
    /// ```
    /// use std::net::IpAddr;
    ///
    /// let resolver = sidestep::Resolver::builder()
    ///     .source_address(|to| to.is_ipv4().then_some(IpAddr::from([10, 8, 0, 2])))
    ///     .build()?;
    /// # Ok::<(), sidestep::ConfigError>(())
    /// ```
    pub fn source_address(
        mut self,
        source: impl Fn(IpAddr) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        self.source_address = Some(Arc::new(source));
        self
    }

    /// Builds the resolver. The call needs no tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] that names the setter whose value is invalid.
    pub fn build(self) -> Result<Resolver, ConfigError> {
        let config = self.check()?;
        let sources = Sources {
            lookup: self.lookup.unwrap_or_else(default_lookup),
            overrides: self.overrides.unwrap_or_default(),
            fallbacks: self.fallbacks.unwrap_or_default(),
            filter: self.filter,
        };
        Ok(Resolver::of(Inner::new(config, sources, self.observe)))
    }
}

fn default_lookup() -> Arc<dyn Lookup> {
    #[cfg(feature = "hickory")]
    return Arc::new(crate::lookup::SystemDefault::new());
    #[cfg(not(feature = "hickory"))]
    Arc::new(crate::lookup::System::new())
}

impl fmt::Debug for ResolverBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolverBuilder").finish_non_exhaustive()
    }
}
