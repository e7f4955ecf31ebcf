//! The resolver: joins memory, rules and lookups.
//!
//! ```text
//! ask ▶ literal? ▶ judge what is known ▶ join a lookup ▶ order ▶ write the slip ▶ answer
//! ```

mod account;
mod afterwards;
mod builder;
mod config;
mod future;
mod lanes;
mod last_resort;
mod lookups;
mod network;
mod outlook;
mod pilot;
mod question;
mod race;
mod refresh;
mod report;
mod resolve;
mod resolved;
mod route;
mod search;
mod shared;
mod sift;
mod sleepers;
mod tables;
mod turns;
mod view;
#[cfg(feature = "watch-network")]
mod watch;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

pub(crate) use self::account::Account;
#[cfg(feature = "__again")]
pub(crate) use self::afterwards::Hope;
pub use self::builder::Builder;
pub use self::future::{Addrs, ResponseFuture};
pub(crate) use self::outlook::Outlook;
pub(crate) use self::report::Ending;
pub use self::resolved::Resolved;
pub(crate) use self::shared::Shared;
#[cfg(feature = "watch-network")]
pub use self::watch::WatchFailed;
use crate::cache::Cause;
use crate::host::{self, Parsed};
use crate::lookup::{Lookup, Table};
use crate::observe::{Event, Snapshot};
use crate::order::Dealt;
use crate::{Error, Outcome, time};

/// A DNS resolver that caches, shuffles, and learns from connects which addresses are dead.
///
/// It is a `tower::Service<Name>` for hyper-util's `HttpConnector`, and with the feature
/// `reqwest` a [`reqwest::dns::Resolve`]. Together with its
/// [`connect_layer`](Self::connect_layer) it sees connects fail and acts on it.
///
/// # Cloning
///
/// A clone is one `Arc` and shares everything. Share one resolver among all clients of a process,
/// so that each learns from all.
///
/// # Runtimes
///
/// It may be made outside of a tokio runtime (in a `static`, in a sync `main`) and asked from any
/// number of runtimes, one after another or side by side. Lookups run on the runtime that asks,
/// which needs its timer and I/O enabled.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), sidestep::Error> {
/// let resolver = sidestep::Resolver::new();
/// let resolved = resolver.resolve("localhost").await?;
/// assert!(resolved.addrs().iter().all(|addr| addr.is_loopback()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

impl Resolver {
    /// Makes a resolver with all defaults.
    ///
    /// It asks the name servers that the system is configured with, where
    /// [`Dns`](crate::lookup::Dns) implements that configuration in full; else it asks the system
    /// by `getaddrinfo`. The log tells which. It never asks a public name server.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a test builds the defaults")]
    pub fn new() -> Self {
        Self::builder().build().expect("the defaults are valid")
    }

    /// Returns the one resolver of this process, made with all defaults at first use.
    ///
    /// For programs that build clients in many places and want each to learn from all.
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

    /// Starts from the defaults.
    pub fn builder() -> Builder {
        Builder::new()
    }

    fn of(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Looks a host up, or takes what is known of it.
    ///
    /// All addresses are returned, at most 64, in the order in which to dial them; ports are the
    /// caller's. Tell the resolver with [`report`](Self::report) how the dial went.
    ///
    /// # Errors
    ///
    /// An [`Error`] only while no address of the host is known, fresh or stale, or when the
    /// [filter](Builder::filter) refused them all.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the lookup running; its answer is kept for the next caller.
    pub async fn resolve(&self, host: &str) -> Result<Resolved, Error> {
        self.shared.resolve(host).await
    }

    /// Ends what is known of a host: the next caller waits for a fresh answer, past every cache.
    ///
    /// The old answer is kept and served only if the lookup fails. The penalties of its addresses stay, too.
    /// Addresses that have left are no [last resort](Builder::last_resort) any more. A lookup that was sent before
    /// does not undo the call. The call changes nothing for an unknown host and for a text that is no name, and holds
    /// for the name with the root dot and without.
    pub fn invalidate(&self, host: &str) {
        let Ok(Parsed::Name(host)) = host::parse(host) else {
            return;
        };
        for host in [host.absolute(), host] {
            let known = self
                .shared
                .store
                .edit_present(&host, |slot| slot.invalidate_by_hand());
            if known.is_some() {
                self.shared.connects.forget_addrs(&host, time::now());
                self.shared.tell(&Event::Invalidated {
                    host: host.as_str(),
                    cause: Cause::Invalidated,
                });
            }
        }
    }

    /// Returns the table of addresses that are answered before any lookup, to be read and changed
    /// while requests run; see [`Builder::pins`].
    #[must_use]
    pub fn pins(&self) -> &Table {
        &self.shared.pins
    }

    /// Returns the table of addresses that are used after a lookup has failed, to be read and
    /// changed while requests run; see [`Builder::fallbacks`].
    #[must_use]
    pub fn fallbacks(&self) -> &Table {
        &self.shared.fallbacks
    }

    /// Forgets what was learned on another network: health, answers, and lookups in flight.
    ///
    /// Call it when the device has moved, as from Wi-Fi to a mobile network (the feature
    /// `watch-network` has a `watch_network` that does it for you): the answers of one
    /// network may be wrong on another (RFC 9460, section 6.1, would have caches flushed), and what
    /// failed there may work here. The next question for each host waits for its lookup; pins and
    /// fallbacks stay. Callers that wait for a lookup in flight get the answer of one that is sent
    /// anew. The system's name servers are read again, and a [`Lookup`] of yours
    /// [is told](Lookup::network_changed). Connections that are up are not touched.
    pub fn network_changed(&self) {
        self.shared.network_changed();
    }

    /// Asks the system by `getaddrinfo` from now on, in place of the configured lookup.
    ///
    /// For networks that let nothing else through, such as a hotel's before its page is accepted.
    /// Answers that are good stay and live out their time; what the other lookup failed at, and
    /// said not to exist, is asked again. Callers that wait for a lookup in flight get its answer
    /// if it brings one, else the system's.
    pub fn use_system(&self) {
        self.shared.use_system(true);
    }

    /// Asks the configured lookup again, after [`use_system`](Self::use_system). As there, what is
    /// good stays.
    pub fn use_configured(&self) {
        self.shared.use_system(false);
    }

    /// Sets another lookup in place of the configured one, such as other name servers. It is asked
    /// from now on, or after [`use_configured`](Self::use_configured) if the system is asked now.
    /// What is good stays.
    pub fn set_lookup(&self, lookup: impl Lookup) {
        self.shared.set_lookup(Arc::new(lookup));
    }

    /// Tells the resolver what a dial of yours came to.
    ///
    /// For connectors under a [`ConnectLayer`](crate::ConnectLayer) this is done for you. An
    /// address that is not among the host's known ones is left out of account, and so is a host
    /// that is no name.
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
    ///         Err(error) => resolver.report("api.example.com", addr, Outcome::of(&error)),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn report(&self, host: &str, addr: IpAddr, outcome: Outcome) {
        if let Some(host) = host::parse(host).ok().and_then(Parsed::host) {
            let absolute = Some(host.absolute()).filter(|it| self.shared.kept(it).is_some());
            for host in absolute.into_iter().chain([host]) {
                self.shared
                    .report_by_hand(&host, addr.to_canonical(), outcome);
            }
        }
    }

    /// Returns plain numbers: what is known of each host and how often each thing happened.
    ///
    /// It walks over all hosts; made for a status page, not for each request.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    pub(crate) fn inner(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Deals the addresses of a host to a connector.
    pub(crate) fn deal(&self, host: &str) -> ResponseFuture {
        let mut dealt = Dealt::new();
        let asking = self.shared.deal(host, &mut dealt);
        asking.unwrap_or_else(|| ResponseFuture::known(Ok(dealt)))
    }

    /// The same for who needs a box: dealt in its place. `Err`: they are yet to come.
    #[cfg(any(feature = "reqwest", feature = "reqwest-012"))]
    #[inline(always)]
    pub(crate) fn deal_boxed(&self, host: &str) -> Result<Box<Addrs>, Box<ResponseFuture>> {
        let mut addrs = Box::new(Addrs(Dealt::new()));
        match self.shared.deal(host, &mut addrs.0) {
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
            .field("hosts", &self.shared.store.len())
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
