//! The events of a resolver, which the log, the counters and the program's observer receive.

mod counters;
mod reason;
mod snapshot;
mod source;
mod trace;

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) use self::counters::Counters;
pub use self::reason::LookupReason;
pub use self::snapshot::{AddressSnapshot, AddressState, AttemptReport, HostSnapshot, Snapshot};
pub use self::source::AnswerSource;
pub use crate::drain::policy::DrainReason;
use crate::{Family, Outcome, ResolveError};

/// An event of a [`Resolver`](crate::Resolver).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A lookup started.
    #[non_exhaustive]
    LookupStarted {
        /// The host of the lookup.
        host: &'a str,
        /// The reason for the lookup.
        cause: LookupReason,
    },
    /// A lookup returned addresses.
    #[non_exhaustive]
    LookupSucceeded {
        /// The host of the lookup.
        host: &'a str,
        /// The addresses that the cache keeps.
        addrs: &'a [IpAddr],
        /// The lifetime of the answer.
        life: Duration,
    },
    /// A lookup returned no addresses.
    #[non_exhaustive]
    LookupFailed {
        /// The host of the lookup.
        host: &'a str,
        /// The error of the lookup.
        error: &'a ResolveError,
    },
    /// A lookup failed or was slow, so the fallbacks of the host are served.
    #[non_exhaustive]
    FallbackServed {
        /// The host.
        host: &'a str,
        /// The addresses that are served.
        addrs: &'a [IpAddr],
    },
    /// A lookup failed or was slow, so a stale answer was served.
    #[non_exhaustive]
    ServedStale {
        /// The host.
        host: &'a str,
        /// How long ago the lookup of the answer was sent.
        age: Duration,
        /// Whether the answer was served stale for the first time. The log records the first time only.
        is_first: bool,
    },
    /// An answer became suspect, so its host is looked up again.
    #[non_exhaustive]
    Invalidated {
        /// The host.
        host: &'a str,
        /// The reason: a connect failed, or the program called
        /// [`Resolver::invalidate`](crate::Resolver::invalidate).
        cause: LookupReason,
    },
    /// A connect to an address failed, or its connection failed later. The address is ordered behind the others.
    ///
    /// If the address is ordered last already, a further failure restarts the penalty and is no event.
    #[non_exhaustive]
    AddressFailed {
        /// The host of the connect.
        host: &'a str,
        /// The address that failed.
        addr: IpAddr,
        /// How the address failed.
        outcome: Outcome,
        /// The text of the error and its causes, truncated; `None` if no error was seen, as when the connector went on
        /// to the next address.
        error: Option<&'a str>,
        /// How long the address is ordered behind the others.
        penalty: Duration,
        /// False for a first soft strike: the address is ordered behind the healthy addresses and before the failed
        /// ones.
        hard: bool,
    },
    /// The filter refused an address, so no caller gets the address.
    #[non_exhaustive]
    AddressRefused {
        /// The host of the address.
        host: &'a str,
        /// The address.
        addr: IpAddr,
    },
    /// A connect to an address that had failed succeeded. The address is ordered with the healthy ones again.
    ///
    /// If the address had failed after it connected, a connect proves little, and the resolver keeps the strikes for a
    /// while.
    #[non_exhaustive]
    AddressRecovered {
        /// The host of the address.
        host: &'a str,
        /// The address.
        addr: IpAddr,
    },
    /// A trial started: one request tries an address whose penalty is over.
    #[non_exhaustive]
    TrialStarted {
        /// The host.
        host: &'a str,
        /// The address.
        addr: IpAddr,
    },
    /// Connects to several unrelated hosts failed at once and none succeeded, so the local network has an outage.
    ///
    /// Until a connect succeeds, a failed connect counts against no address.
    NetworkDown,
    /// A connect succeeded, so the outage of the local network is over.
    NetworkUp,
    /// The program or `Resolver::watch_network` reported another network.
    ///
    /// The resolver has discarded its answers and all failures of addresses.
    NetworkChanged,
    /// A probe of an address started in the background.
    #[non_exhaustive]
    Probe {
        /// The host.
        host: &'a str,
        /// The address.
        ///
        /// Its penalty is over, or the address is in doubt because another address connected first. While a connect is
        /// slow or no address of the host is healthy, addresses are probed that still have a penalty.
        addr: IpAddr,
        /// The port of the last connect to the host.
        port: u16,
    },
    /// This machine has no route for an address family, so the family goes second.
    #[non_exhaustive]
    NoRoute {
        /// The family.
        family: Family,
        /// How long the family goes second.
        penalty: Duration,
    },
    /// A family is dark: two of its addresses were slow while the other family connected.
    ///
    /// The family goes second for all hosts, until a connect or a [probe](Self::Probe) reaches the family.
    #[non_exhaustive]
    FamilyDark {
        /// The host of the second slow address.
        host: &'a str,
        /// The family.
        family: Family,
        /// How long the family goes second at most.
        penalty: Duration,
    },
    /// A pooled connection takes no more requests and finishes those in flight; see
    /// [`DrainLayer`](crate::DrainLayer).
    #[non_exhaustive]
    ConnectionDrained {
        /// The host of the requests.
        host: &'a str,
        /// The address of the connection.
        addr: IpAddr,
        /// The reason.
        why: DrainReason,
    },
    /// Many connects in a row under a layer of this resolver used another resolver or none; emitted once.
    ///
    /// Possible causes are another resolver that was set after this one, overrides (`resolve_to_addrs`), or URLs that
    /// all name addresses.
    #[non_exhaustive]
    NeverAsked {
        /// The address of the last such connect.
        addr: IpAddr,
        /// The number of such connects in a row.
        connects: u32,
    },
    /// A connect reached an address of this resolver, but resolved the host outside of its attempt context.
    ///
    /// A layer between the connect layer and the connector has spawned a task.
    #[non_exhaustive]
    ContextLost {
        /// The address of the connect.
        addr: IpAddr,
    },
}

/// Receives each [`Event`]; closures implement this trait.
///
/// A closure must name the type of its argument: `|event: &Event<'_>| …`.
///
/// The resolver calls the observer in the middle of a connect or a lookup, so the observer must return quickly and not
/// block. The resolver catches a panic of the observer, so that the connect or lookup goes on. The log warns of the
/// first panic, and the observer receives later events.
pub trait Observe: Send + Sync + 'static {
    /// Receives an event.
    fn observe(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync + 'static> Observe for F {
    fn observe(&self, event: &Event<'_>) {
        self(event);
    }
}

/// The receivers of events: the log, the counters and the program's observer.
pub(crate) struct Observers {
    counters: Counters,
    user: Option<Arc<dyn Observe>>,
    /// Whether the program's observer has panicked.
    has_panicked: AtomicBool,
}

impl Observers {
    pub(crate) fn new(user: Option<Arc<dyn Observe>>) -> Self {
        Self {
            counters: Counters::default(),
            user,
            has_panicked: AtomicBool::new(false),
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        trace::observe(event);
        self.counters.observe(event);
        if let Some(user) = &self.user {
            let result = catch_unwind(AssertUnwindSafe(|| user.observe(event)));
            if result.is_err() && !self.has_panicked.swap(true, Ordering::Relaxed) {
                trace::observer_panicked();
            }
        }
    }
}
