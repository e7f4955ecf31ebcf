//! The resolver: joins memory, rules and lookups.
//!
//! ```text
//! ask ▶ literal? ▶ judge what is known ▶ join a lookup ▶ order ▶ write the slip ▶ answer
//! ```

mod builder;
mod future;
mod lanes;
mod lookups;
mod refresh;
mod report;
mod resolve;
mod route;
mod sift;
mod tables;
mod view;

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

pub use self::builder::Builder;
use self::builder::{Config, Sources};
pub use self::future::{Addrs, ResponseFuture};
use self::lookups::Lookups;
pub(crate) use self::report::Ending;
#[cfg(feature = "reqwest")]
pub(crate) use self::report::Hope;
#[cfg(feature = "reqwest")]
use crate::attempt::Recent;
use crate::cache::{Cause, Slot, Store};
use crate::filter::Filter;
use crate::health::Book;
use crate::host::{self, Parsed};
use crate::lookup::{Lookup, Table};
use crate::observe::{Counters, Event, Observe, Observers, Snapshot, Source};
use crate::order::Dealt;
use crate::recheck::Quota;
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

pub(crate) struct Shared {
    /// Tells the slips of several resolvers apart.
    id: u64,
    config: Config,
    lookups: Lookups,
    pins: Table,
    fallbacks: Table,
    /// Answers from pins, to begin each with another address.
    turns: AtomicU32,
    filter: Option<Arc<Filter>>,
    store: Store,
    book: Book,
    quota: Mutex<Quota>,
    /// Tasks that sleep until a host in use is looked up ahead.
    sleepers: Arc<AtomicUsize>,
    observers: Observers,
    /// Whether a connector layer was made: only then can a slip be lost.
    layered: AtomicBool,
    unslipped: AtomicU64,
    warned: AtomicBool,
    #[cfg(feature = "reqwest")]
    recent: Recent,
}

impl Resolver {
    /// Makes a resolver with all defaults.
    ///
    /// It asks the name servers that the system is configured with. When that configuration
    /// can't be read it asks the system by `getaddrinfo`, and logs so; never a public name
    /// server.
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

    fn assemble(config: Config, sources: Sources, user: Option<Arc<dyn Observe>>) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let now = time::now();
        let shared = Shared {
            id: MADE.fetch_add(1, Ordering::Relaxed),
            store: Store::new(config.capacity),
            book: Book::new(config.capacity, now),
            config: Config {
                lanes: config.lanes && lanes::are_dialled(),
                ..config
            },
            lookups: Lookups::new(sources.lookup),
            pins: sources.pins,
            fallbacks: sources.fallbacks,
            turns: AtomicU32::new(0),
            filter: sources.filter,
            quota: Mutex::default(),
            sleepers: Arc::default(),
            observers: Observers {
                counters: Counters::default(),
                user,
            },
            layered: AtomicBool::new(false),
            unslipped: AtomicU64::new(0),
            warned: AtomicBool::new(false),
            #[cfg(feature = "reqwest")]
            recent: Recent::default(),
        };
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
    /// The old answer stays as the last resort, should the lookup fail. What is held against its
    /// addresses stays too. A lookup that was sent before does not undo it. An unknown host or
    /// one that is no name is left as it is.
    pub fn invalidate(&self, host: &str) {
        let Ok(Parsed::Name(host)) = host::parse(host) else {
            return;
        };
        let known = self
            .shared
            .store
            .edit_present(host.as_str(), |slot| slot.invalidate_by_hand());
        if known.is_some() {
            self.shared.tell(&Event::Invalidated {
                host: host.as_str(),
                cause: Cause::Invalidated,
            });
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
        self.shared.lookups.configure(Arc::new(lookup));
        self.shared.let_go();
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
        if let Ok(Parsed::Name(host)) = host::parse(host) {
            self.shared
                .report_by_hand(&host, addr.to_canonical(), outcome);
        }
    }

    /// Returns plain numbers: what is known of each host and how often each thing happened.
    ///
    /// It walks over all hosts; made for a status page, not for each request.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    pub(crate) fn inner(&self) -> &Shared {
        &self.shared
    }

    /// Deals the addresses of a host to a connector.
    pub(crate) fn deal(&self, host: &str) -> ResponseFuture {
        let mut dealt = Dealt::new();
        let asking = self.shared.deal(host, &mut dealt);
        asking.unwrap_or_else(|| ResponseFuture::known(Ok(dealt)))
    }

    /// The same for who needs a box: dealt in its place. `Err`: they are yet to come.
    #[cfg(feature = "reqwest")]
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

impl Shared {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    fn tell(&self, event: &Event<'_>) {
        self.observers.tell(event);
    }

    fn use_system(&self, on: bool) {
        if self.lookups.use_system(on) {
            self.let_go();
        }
    }

    /// Another lookup is asked from now on.
    fn let_go(&self) {
        let mut busy = Vec::new();
        self.store.for_each(|host, slot| {
            if slot.is_busy() {
                busy.push(host.clone());
            }
        });
        for host in busy {
            self.store.edit_present(host.as_str(), Slot::let_go);
        }
    }

    fn turn(&self) -> u32 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes one lookup after a failure from the quota of all hosts.
    fn take_from_quota(&self) -> bool {
        self.quota
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(time::now())
    }

    /// Notes that a connector layer was made: from now on slips can be lost.
    pub(crate) fn expect_slips(&self) {
        self.layered.store(true, Ordering::Relaxed);
    }

    /// How often a connector has asked outside of any slip; see [`Event::SlipLost`].
    pub(crate) fn unslipped(&self) -> u64 {
        self.unslipped.load(Ordering::Relaxed)
    }
}

/// The addresses of a host, and where they came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    addrs: Vec<IpAddr>,
    source: Source,
    age: Duration,
}

impl Resolved {
    /// Returns the addresses, in the order in which to dial them. Never empty.
    #[must_use]
    pub fn addrs(&self) -> &[IpAddr] {
        &self.addrs
    }

    /// Returns where they came from.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// Returns how long ago they had been asked for; zero where nothing was asked.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.age
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
