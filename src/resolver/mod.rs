//! The [`Resolver`], which joins the cache, the health records and the lookups.
//!
//! ```text
//! name ▶ literal? ▶ override? ▶ cached answer? ▶ join or start a lookup ▶ order addresses ▶ record them in context
//! ```

mod builder;
mod config;
mod connect_report;
mod context_loss;
mod future;
mod host_status;
mod last_resort;
mod mapped_support;
mod network;
#[cfg(feature = "watch-network")]
mod network_monitor;
mod query;
mod race;
mod report;
mod resolve;
mod resolved;
mod responses;
mod shared;
mod slow_connects;
mod snapshot;
#[cfg(feature = "watch-network")]
mod watch;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

pub use self::builder::ResolverBuilder;
pub(crate) use self::connect_report::ConnectReport;
pub use self::future::{Addrs, ResolveFuture};
pub(crate) use self::host_status::HostStatus;
use self::query::Query;
pub(crate) use self::report::AttemptEnd;
pub use self::resolved::Resolved;
pub(crate) use self::responses::FailoverOutlook;
pub(crate) use self::shared::Inner;
pub(crate) use self::slow_connects::HANGS;
#[cfg(feature = "watch-network")]
pub use self::watch::WatchError;
use crate::addrs::AddressList;
use crate::events::Snapshot;
use crate::host::{self, Parsed};
use crate::lookup::{Lookup, StaticHosts};
use crate::{Outcome, ResolveError};

/// A DNS resolver that caches answers, shuffles addresses, and learns from connects which addresses fail.
///
/// The resolver is a `tower::Service<Name>` for hyper-util's `HttpConnector`, and with the feature `reqwest` a
/// [`reqwest::dns::Resolve`]. The layer of [`connect_layer`](Self::connect_layer) reports to the resolver how each
/// connect ended. If an address fails, the resolver orders that address last and looks the host up again.
///
/// # Cloning
///
/// A clone is one `Arc` and shares all state. Share one resolver among all clients of a process, so that each client
/// learns from the connects of all.
///
/// # Runtimes
///
/// A resolver can be made outside of a tokio runtime (in a `static`, in a sync `main`) and used from any number of
/// runtimes, one after another or side by side. A lookup runs on the runtime of the caller that starts the lookup.
/// That runtime needs its timer and I/O enabled.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), sidestep::ResolveError> {
/// let resolver = sidestep::Resolver::new();
/// let resolved = resolver.resolve("localhost").await?;
/// assert!(resolved.addrs().iter().all(|addr| addr.is_loopback()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Inner>,
}

impl Resolver {
    /// Makes a resolver with all defaults.
    ///
    /// If [`Dns`](crate::lookup::Dns) implements the system's configuration in full, the resolver queries the name
    /// servers that the system is configured with. Otherwise the resolver calls the system's `getaddrinfo`. The log
    /// says which. The resolver never queries a public name server that the system is not configured with.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a test builds the defaults")]
    pub fn new() -> Self {
        Self::builder().build().expect("the defaults are valid")
    }

    /// Returns the one shared resolver of this process, which the first call makes with all defaults.
    ///
    /// Use the shared resolver in programs that build clients in many places, so that each client learns from the
    /// connects of all.
    ///
    /// # Examples
    ///
    /// ```
    /// let one = sidestep::Resolver::shared();
    /// let other = sidestep::Resolver::shared(); // the same
    /// ```
    #[must_use]
    pub fn shared() -> Self {
        static SHARED: LazyLock<Resolver> = LazyLock::new(Resolver::new);
        SHARED.clone()
    }

    /// Returns a builder with all defaults.
    pub fn builder() -> ResolverBuilder {
        ResolverBuilder::new()
    }

    fn of(shared: Arc<Inner>) -> Self {
        Self { shared }
    }

    /// Returns the addresses of a host, from the cache or from a lookup.
    ///
    /// The resolver returns all addresses, at most 64, in the order in which to connect to them. The caller adds the
    /// port. Report the outcome of each attempt with [`report`](Self::report).
    ///
    /// # Errors
    ///
    /// Returns a [`ResolveError`] only if the resolver has no fresh or stale address of the host, or if the
    /// [filter](ResolverBuilder::filter) refused all addresses.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the lookup keeps running. The cache keeps its answer for the next caller.
    pub async fn resolve(&self, host: &str) -> Result<Resolved, ResolveError> {
        self.shared.resolve(host).await
    }

    /// Invalidates the answer of a host, so that the next caller waits for a new lookup.
    ///
    /// That lookup bypasses every cache. The resolver serves the old answer only if the lookup fails, or takes longer
    /// than [`serve_stale_after`](ResolverBuilder::serve_stale_after). The penalties of the addresses stay. Addresses
    /// that have left the answer are no longer a [last resort](ResolverBuilder::last_resort). A lookup that was sent
    /// before the call does not undo the call.
    ///
    /// The call applies to the host with and without the root dot. If the resolver does not know the host, or if
    /// `host` is not a name, the call does nothing.
    pub fn invalidate(&self, host: &str) {
        let Ok(Parsed::Name(host)) = host::parse(host) else {
            return;
        };
        for host in [host.absolute(), host] {
            self.shared.cache.invalidate(&host);
        }
    }

    /// Looks a host up in the background, so that the first request does not wait for the lookup.
    ///
    /// If the resolver has a fresh answer, or if `host` is not a name, the call does nothing. An error of the lookup is
    /// logged like any other; the next caller starts another lookup then.
    ///
    /// The lookup runs on the tokio runtime of the caller. Outside of a runtime the call does nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let resolver = sidestep::Resolver::new();
    /// resolver.prefetch("api.example.com"); // at the start of the program
    /// # }
    /// ```
    pub fn prefetch(&self, host: &str) {
        if let Ok(Query::Lookup(host)) = self.shared.read_query(host) {
            self.shared.cache.prefetch(host);
        }
    }

    /// Forgets all hosts: answers, health records and in-flight lookups.
    ///
    /// The next caller for each host waits for a new lookup. A caller that waits for an in-flight lookup gets the
    /// answer of a new one. Overrides, fallbacks and established connections stay. If the device has moved to another
    /// network, call [`network_changed`](Self::network_changed) instead, which also notifies the lookup.
    pub fn clear(&self) {
        self.shared.forget();
    }

    /// Returns the table of overrides, whose addresses are used before any lookup.
    ///
    /// The program may read and change the table while requests run; see [`ResolverBuilder::overrides`].
    #[must_use]
    pub fn overrides(&self) -> &StaticHosts {
        self.shared.cache.overrides()
    }

    /// Returns the table of fallbacks, whose addresses are used after a lookup has failed.
    ///
    /// The program may read and change the table while requests run; see [`ResolverBuilder::fallbacks`].
    #[must_use]
    pub fn fallbacks(&self) -> &StaticHosts {
        self.shared.cache.fallbacks()
    }

    /// Forgets what the resolver learned on another network: answers, health records and in-flight lookups.
    ///
    /// Call this method when the device has moved to another network, for example from Wi-Fi to a mobile network.
    /// With the feature `watch-network`, `watch_network` calls this method for you. The answers of one network may be
    /// wrong on another (RFC 9460, section 6.1, asks for a flush of caches), and an address that failed there may
    /// connect here.
    ///
    /// The next caller for each host waits for a new lookup. Overrides and fallbacks stay. A caller that waits for an
    /// in-flight lookup gets the answer of a new one. The name servers of the system are read again, and the
    /// configured lookup is notified by [`Lookup::network_changed`]. Established connections stay.
    pub fn network_changed(&self) {
        self.shared.network_changed();
    }

    /// Replaces the lookup, and returns the previous one.
    ///
    /// The resolver uses the new lookup from now on. Cached answers stay valid until they expire. Failed lookups and
    /// negative answers of the previous lookup are forgotten, so that the next caller starts a new lookup. A caller that
    /// waits for an in-flight lookup gets its answer if that lookup succeeds, and otherwise the answer of the new one.
    ///
    /// Replace the lookup to use other name servers, or on a network that lets nothing but the system's lookup through,
    /// such as the network of a hotel before its page is accepted. A lookup that is not in use is not notified of a
    /// changed network. If the network may have changed, call [`Lookup::network_changed`] before you set an earlier lookup
    /// again.
    ///
    /// # Examples
    ///
    /// ```
    /// use sidestep::{Resolver, lookup::System};
    ///
    /// let resolver = Resolver::new();
    /// let before = resolver.set_lookup(System::new()); // while `getaddrinfo` alone is let through
    /// resolver.set_lookup(before); // afterwards
    /// ```
    pub fn set_lookup(&self, lookup: impl Lookup) -> Arc<dyn Lookup> {
        self.shared.cache.set_lookup(Arc::new(lookup))
    }

    /// Reports the outcome of an attempt that the caller has made.
    ///
    /// A [`ConnectLayer`](crate::ConnectLayer) reports the attempts of its connector, so such a connector needs no
    /// call. If the current answer of the host does not name the address, or if `host` is not a name, the call does
    /// nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::IpAddr;
    /// use sidestep::Outcome;
    ///
    /// # fn dial(_: IpAddr) -> std::io::Result<()> { Ok(()) }
    /// # async fn connect(resolver: &sidestep::Resolver) -> Result<(), Box<dyn std::error::Error>> {
    /// for &addr in resolver.resolve("api.example.com").await?.addrs() {
    ///     match dial(addr) {
    ///         Ok(()) => {
    ///             resolver.report("api.example.com", addr, Outcome::Connected);
    ///             break;
    ///         }
    ///         Err(error) => resolver.report("api.example.com", addr, Outcome::from_error(&error)),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn report(&self, host: &str, addr: IpAddr, outcome: Outcome) {
        if let Some(host) = host::parse(host).ok().and_then(Parsed::host) {
            let absolute =
                Some(host.absolute()).filter(|it| self.shared.cache.cached(it).is_some());
            for host in absolute.into_iter().chain([host]) {
                self.shared
                    .report_by_hand(&host, addr.to_canonical(), outcome);
            }
        }
    }

    /// Returns the state of each host and the number of events of each kind, as plain data.
    ///
    /// The call visits all hosts. Use it for a status page, not for each request.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.shared
    }

    /// Returns a future of the addresses of a host for a connector.
    pub(crate) fn resolve_into(&self, host: &str) -> ResolveFuture {
        let mut selected = AddressList::new();
        let asking = self.shared.resolve_into(host, &mut selected);
        asking.unwrap_or_else(|| ResolveFuture::known(Ok(selected)))
    }

    /// Returns the addresses of a host in a box, or the future of a lookup as `Err`.
    ///
    /// The addresses are written into the box, without a copy.
    #[cfg(any(feature = "reqwest", feature = "reqwest-012"))]
    #[inline(always)]
    pub(crate) fn resolve_boxed(&self, host: &str) -> Result<Box<Addrs>, Box<ResolveFuture>> {
        let mut addrs = Box::new(Addrs(AddressList::new()));
        match self.shared.resolve_into(host, &mut addrs.0) {
            None => Ok(addrs),
            Some(asking) => Err(Box::new(asking)),
        }
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("hosts", &self.shared.cache.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_resolver_is_one() {
        let (one, other) = (Resolver::shared(), Resolver::shared());
        assert!(Arc::ptr_eq(&one.shared, &other.shared));
        assert!(!Arc::ptr_eq(&one.shared, &Resolver::new().shared));
    }
}
