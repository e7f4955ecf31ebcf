//! Settings, each with its reason to be changed.

mod connects;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::config::{SourceAddress, Sources};
use super::{Resolver, Shared};
use crate::error::InvalidConfig;
use crate::filter::Filter;
use crate::lookup::{Lookup, Table};
use crate::observe::Observe;
use crate::order::{Family, Order};

/// Builds a [`Resolver`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let resolver = sidestep::Resolver::builder()
///     .max_ttl(Duration::from_secs(30))
///     .capacity(1_000)
///     .build()?;
/// # Ok::<(), sidestep::InvalidConfig>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Builder {
    pub(super) lookup: Option<Arc<dyn Lookup>>,
    pub(super) pins: Option<Table>,
    pub(super) fallbacks: Option<Table>,
    pub(super) observe: Option<Arc<dyn Observe>>,
    pub(super) filter: Option<Arc<Filter>>,
    pub(super) min_ttl: Duration,
    pub(super) max_ttl: Duration,
    pub(super) serve_stale: Duration,
    pub(super) stale_after: Duration,
    pub(super) lookup_timeout: Duration,
    pub(super) lookups_at_once: usize,
    pub(super) stalled_after: Option<Duration>,
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) attempt_delay: Option<Duration>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) capacity: usize,
    pub(super) lanes: bool,
    pub(super) probe: bool,
    pub(super) last_resort: bool,
    pub(super) order: Order,
    pub(super) prefer: Option<Family>,
    pub(super) source_address: Option<Arc<SourceAddress>>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            lookup: None,
            pins: None,
            fallbacks: None,
            observe: None,
            filter: None,
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(60),
            serve_stale: Duration::from_secs(24 * 60 * 60),
            stale_after: Duration::from_millis(1_800),
            lookup_timeout: Duration::from_secs(5),
            lookups_at_once: 64,
            stalled_after: None,
            attempt_timeout: Some(Duration::from_secs(10)),
            attempt_delay: None,
            connect_timeout: Some(Duration::from_secs(30)),
            capacity: 10_000,
            lanes: true,
            probe: true,
            last_resort: true,
            order: Order::Shuffle,
            prefer: None,
            source_address: None,
        }
    }

    /// Sets where addresses come from.
    ///
    /// Defaults to [`Dns`](crate::lookup::Dns) if `Dns` implements the system's configuration in full, else
    /// to [`System`](crate::lookup::System). The choice is logged, and made again when the configuration
    /// changes. Without the feature `hickory` the default is [`System`](crate::lookup::System).
    pub fn lookup(mut self, lookup: impl Lookup) -> Self {
        self.lookup = Some(Arc::new(lookup));
        self
    }

    /// Sets the table of addresses that are answered before any lookup.
    ///
    /// Defaults to an empty table of the resolver's own; [`Resolver::pins`] changes it while requests
    /// run. Pin a host to
    /// dial what no name server says, as in a test or a migration. Pinned addresses are
    /// ordered by their health as any others are, pass no [`filter`](Self::filter), and are given no
    /// order by RFC 6724: the family of the first one leads.
    pub fn pins(mut self, table: Table) -> Self {
        self.pins = Some(table);
        self
    }

    /// Sets the table of addresses that are used only after a lookup has failed.
    ///
    /// Defaults to an empty table of the resolver's own; [`Resolver::fallbacks`] changes it while
    /// requests run. For hosts
    /// that must be found while name servers are down or blocked.
    ///
    /// - An answer that may still be served, fresh or [stale](Self::serve_stale), goes first.
    /// - "Failed" is every end without addresses: a timeout, SERVFAIL, but also "no such name", which
    ///   is what a blocked name looks like. A lookup that takes longer than
    ///   [`stale_after`](Self::stale_after) counts too, for those who wait for it.
    /// - Fallbacks are then served at once, without asking anybody, for 30 s (within
    ///   [`min_ttl`](Self::min_ttl) and [`max_ttl`](Self::max_ttl), as an answer without a TTL); a
    ///   host in use is looked up again behind its callers before that ends. The first answer of a
    ///   lookup ends it, and so does [`Resolver::invalidate`].
    /// - Names that never leave the machine (`.onion`, `.invalid`) are not looked up, so that there is
    ///   nothing to fall back from; they can be pinned.
    /// - They are ordered as any answer's addresses are, pass the [`filter`](Self::filter), and
    ///   connects that fail on them have the host looked up again.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::IpAddr;
    /// use sidestep::{Resolver, Source, lookup::Table};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let fallbacks = Table::new();
    /// fallbacks.set("api.example.com", [IpAddr::from([192, 0, 2, 7])])?;
    /// let resolver = Resolver::builder()
    /// #   .lookup(Table::new()) // knows no name
    ///     .fallbacks(fallbacks)
    ///     .build()?;
    /// // While no name server answers:
    /// let resolved = resolver.resolve("api.example.com").await?;
    /// assert_eq!(resolved.source(), Source::Fallback);
    /// # Ok(())
    /// # }
    /// ```
    pub fn fallbacks(mut self, table: Table) -> Self {
        self.fallbacks = Some(table);
        self
    }

    /// Sets who is told of each [`Event`](crate::Event), besides the log.
    ///
    /// Defaults to nobody.
    ///
    /// # Examples
    ///
    /// A closure has to name the type of its argument:
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
    /// # Ok::<(), sidestep::InvalidConfig>(())
    /// ```
    pub fn observe(mut self, observe: impl Observe) -> Self {
        self.observe = Some(Arc::new(observe));
        self
    }

    /// Sets which addresses may be handed out: those for which `filter` returns true, told the host
    /// and one of its addresses. A second call replaces the filter of the first.
    ///
    /// Defaults to none: every address is handed out. Set it where others choose the names that are
    /// dialled, to keep them out of your own network (server-side request forgery, DNS
    /// rebinding); [`filter::public_only`](crate::filter::public_only) is ready-made for that.
    ///
    /// The host is in lower case and without the root dot, and an IPv4-mapped IPv6 address comes as
    /// IPv4. The filter is asked once for each address of an answer, when that comes in, and not
    /// when a kept answer is served; for each asking of an IP literal or `localhost`; and again before an address
    /// that left is given to a connect as its [last resort](Self::last_resort). Return
    /// quickly, and neither block nor panic. Each refusal is an
    /// [`Event::AddressRefused`](crate::Event::AddressRefused).
    ///
    /// An answer with nothing left is an error that [says so](crate::Error::is_filtered). Like a
    /// NODATA it ends what was known of the host, and is kept for the answer's TTL within 1 s and
    /// 60 s, without one for 5 s.
    ///
    /// **What does not pass through the resolver is not filtered**: an IP literal in a URL, which
    /// reqwest and hyper dial without asking; reqwest's `resolve` and `resolve_to_addrs`; and
    /// the targets of a proxy, which looks them up by itself; nor are [pins](Self::pins), which you
    /// mean. See [`filter`](mod@crate::filter).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), sidestep::InvalidConfig> {
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

    /// Sets the least time that an answer is kept, whatever its TTL.
    ///
    /// Defaults to 1 s. Raise it when a zone publishes a TTL of 0 and lookups are dear.
    pub fn min_ttl(mut self, ttl: Duration) -> Self {
        self.min_ttl = ttl;
        self
    }

    /// Sets the most time that an answer is kept, whatever its TTL.
    ///
    /// Defaults to 60 s: what DNS says of an edge that left arrives within a minute, even where
    /// the zone publishes half an hour. Raise it to ask a slow name server less often.
    pub fn max_ttl(mut self, ttl: Duration) -> Self {
        self.max_ttl = ttl;
        self
    }

    /// Sets for how long an answer past its life may still be served when a lookup is slow or
    /// fails. Zero: never.
    ///
    /// Defaults to 24 h (RFC 8767, section 5, suggests one to three days). Lower it where a name
    /// may move to another owner.
    pub fn serve_stale(mut self, longest: Duration) -> Self {
        self.serve_stale = longest;
        self
    }

    /// Sets how long a lookup may take before a stale answer is served to those who wait for it.
    ///
    /// The time counts from the sending of the lookup. While lookups fail, no caller waits for the next one. While a
    /// healthy address is left, no caller waits for a lookup that was sent before the answer ended, either.
    /// Defaults to 1.8 s (RFC 8767, section 5, client response timer).
    pub fn stale_after(mut self, wait: Duration) -> Self {
        self.stale_after = wait;
        self
    }

    /// Sets how long one lookup may take, counted from when it is sent.
    ///
    /// Defaults to 5 s.
    pub fn lookup_timeout(mut self, timeout: Duration) -> Self {
        self.lookup_timeout = timeout;
        self
    }

    /// Sets how many lookups run at once; the others wait for their turn.
    ///
    /// Defaults to 64. Each lookup has two sockets, and twelve if three name servers are silent; so all sockets fit
    /// into the 1 024 file descriptors that many systems allow. Raise the limit if no name server answers for
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
    /// When a new host needs room, the resolver compares some thirty random hosts and removes the one that
    /// was asked for longest ago. A host whose addresses have penalties leaves after the other idle hosts. A
    /// host with a lookup in flight stays. Memory does not grow with the number of names that were ever asked
    /// for, and no call takes longer because the resolver keeps many hosts: `cargo bench --bench flood`
    /// measures both.
    pub fn capacity(mut self, hosts: usize) -> Self {
        self.capacity = hosts;
        self
    }

    /// Sets whether the addresses of an IPv4-only host are also handed out as IPv4-mapped IPv6
    /// addresses, so that a connector which only races families races them.
    ///
    /// Defaults to `true`, on systems that dial such addresses. Turn it off where a firewall or a
    /// log must never see `::ffff:192.0.2.1`.
    pub fn lanes(mut self, on: bool) -> Self {
        self.lanes = on;
        self
    }

    /// Sets whether probes find out whether addresses connect: connects of the crate's own, in the background.
    ///
    /// Defaults to `true`: no request pays for an edge that is still dead. A probe goes to the port of the last connect
    /// to the host, straight from this machine, and is closed at once. An address is probed when its penalty is over.
    /// An address is also probed if another one connected first, in a race or in the other lane, while the network
    /// may just be slow. A probe that connects clears what failed in TCP. What was slow or failed later is then tried
    /// by one request.
    ///
    /// Turn probes off where connections must leave by a bound interface or a proxy, because a probe that is blocked
    /// penalizes an address that is well, or where connections must be few. Then one request tries each address whose
    /// penalty is over, and a doubt ends after 5 s.
    pub fn probe(mut self, on: bool) -> Self {
        self.probe = on;
        self
    }

    /// Sets in which order the addresses of one family are handed out.
    ///
    /// Defaults to [`Order::Shuffle`], which spreads the load over all edges and makes each retry
    /// meet another one.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Sets which family is dialled first. `None`: the one with the better route.
    ///
    /// Defaults to `None`: by RFC 6724, that is IPv6 unless this system has no route to it, or only
    /// from a local address. Set [`Family::V4`] where IPv6 is known to be slow. Whatever is set, a
    /// family goes second for 10 s after a connect found no route to it, and for 5 min after two addresses of a host
    /// were slow while the other family connected. A connect or a [probe](Self::probe) that reaches the family ends
    /// that.
    pub fn prefer(mut self, family: impl Into<Option<Family>>) -> Self {
        self.prefer = family.into();
        self
    }

    /// Sets how the source address of a destination is found, for the order of RFC 6724; `None`
    /// means that there is no route.
    ///
    /// Defaults to asking the system, by connecting a UDP socket, which sends nothing. Asked when
    /// a lookup brings addresses that it may make a difference for: two families, or two scopes; and
    /// by the feature `watch-network`, to find out whether this is another network.
    /// Set it where your connections leave through another interface than the routing table says;
    /// it must not block.
    ///
    /// # Examples
    ///
    /// Behind a VPN that carries IPv4 only, whatever the routing table says:
    ///
    /// ```
    /// use std::net::IpAddr;
    ///
    /// let resolver = sidestep::Resolver::builder()
    ///     .source_address(|to| to.is_ipv4().then_some(IpAddr::from([10, 8, 0, 2])))
    ///     .build()?;
    /// # Ok::<(), sidestep::InvalidConfig>(())
    /// ```
    pub fn source_address(
        mut self,
        source: impl Fn(IpAddr) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        self.source_address = Some(Arc::new(source));
        self
    }

    /// Makes the resolver. It needs no tokio runtime.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] names the setter whose value can't be worked with.
    pub fn build(self) -> Result<Resolver, InvalidConfig> {
        let config = self.check()?;
        let sources = Sources {
            lookup: self.lookup.unwrap_or_else(default_lookup),
            pins: self.pins.unwrap_or_default(),
            fallbacks: self.fallbacks.unwrap_or_default(),
            filter: self.filter,
        };
        Ok(Resolver::of(Shared::new(config, sources, self.observe)))
    }
}

fn default_lookup() -> Arc<dyn Lookup> {
    #[cfg(feature = "hickory")]
    return Arc::new(crate::lookup::SystemDefault::new());
    #[cfg(not(feature = "hickory"))]
    Arc::new(crate::lookup::System::new())
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}
