//! What happened: one list of events, read by the log, the counters and you.

mod counters;
mod snapshot;
mod source;
mod trace;

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) use self::counters::Counters;
pub use self::snapshot::{AddressView, Attempt, HostView, Snapshot, Standing};
pub use self::source::Source;
pub use crate::cache::Cause;
pub use crate::retire::Retirement;
use crate::{Error, Family, Outcome};

/// Something that happened in a [`Resolver`](crate::Resolver).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A lookup was sent.
    #[non_exhaustive]
    Asked {
        /// The host looked up.
        host: &'a str,
        /// Why it was looked up.
        cause: Cause,
    },
    /// A lookup brought addresses.
    #[non_exhaustive]
    Answered {
        /// The host looked up.
        host: &'a str,
        /// The addresses that are kept.
        addrs: &'a [IpAddr],
        /// For how long they are kept.
        life: Duration,
    },
    /// A lookup brought no addresses.
    #[non_exhaustive]
    LookupFailed {
        /// The host looked up.
        host: &'a str,
        /// Why there are none.
        error: &'a Error,
    },
    /// A lookup failed or was slow, and the table of fallbacks is served.
    #[non_exhaustive]
    FellBack {
        /// The host asked for.
        host: &'a str,
        /// The addresses that the table gives it.
        addrs: &'a [IpAddr],
    },
    /// The lookup was slow or failed, and an answer past its life was served.
    #[non_exhaustive]
    ServedStale {
        /// The host asked for.
        host: &'a str,
        /// How long ago the answer had been asked for.
        age: Duration,
        /// Whether the answer was not served stale before. The log tells of no other time.
        is_first: bool,
    },
    /// An answer was marked suspect: the host is looked up again.
    #[non_exhaustive]
    Invalidated {
        /// The host.
        host: &'a str,
        /// Why: a connect failed, or by hand.
        cause: Cause,
    },
    /// A connect, or what came after it, failed on an address: it goes behind the others. Further
    /// failures while its penalty runs start that anew, and are no further event.
    #[non_exhaustive]
    AddressFailed {
        /// The host that was dialled.
        host: &'a str,
        /// The address that failed.
        addr: IpAddr,
        /// How it failed.
        outcome: Outcome,
        /// What the error said and the causes behind it, cut short; `None` where no error was seen,
        /// as when the connector went on to the next address by itself.
        error: Option<&'a str>,
        /// For how long it goes behind the others.
        penalty: Duration,
        /// False at a first soft strike: it goes behind the healthy ones and before the failed.
        hard: bool,
    },
    /// The filter refused an address of an answer; it is not handed out.
    #[non_exhaustive]
    AddressRefused {
        /// The host whose address it is.
        host: &'a str,
        /// The address.
        addr: IpAddr,
    },
    /// An address is dialled like the others again: it was connected to. Of one that had failed after
    /// it was connected to that says little, and its strikes are kept for a while.
    #[non_exhaustive]
    AddressRecovered {
        /// The host that was dialled.
        host: &'a str,
        /// The address that is back.
        addr: IpAddr,
    },
    /// One caller was told to find out whether an address is back.
    #[non_exhaustive]
    Trial {
        /// The host.
        host: &'a str,
        /// The address whose penalty is over.
        addr: IpAddr,
    },
    /// Many unrelated hosts have failed together, and nothing has connected: the network here is
    /// down. Nothing is held against any address until something connects.
    NetworkDown,
    /// Something has connected: the network here is up again.
    NetworkUp,
    /// The network is another one, as the program or the watch of interfaces said: what was known
    /// is forgotten.
    NetworkChanged,
    /// A probe finds out in the background whether an address connects.
    #[non_exhaustive]
    Probe {
        /// The host.
        host: &'a str,
        /// The address. Its penalty is over, or it may be slow because another address connected first.
        addr: IpAddr,
        /// The port at which the host was connected to last.
        port: u16,
    },
    /// An address family has no route from this machine: the other one goes first.
    #[non_exhaustive]
    NoRoute {
        /// The family.
        family: Family,
        /// For how long.
        penalty: Duration,
    },
    /// Two addresses of one family of a host are slow while the host's other family connects. The slow family goes
    /// second for all hosts, until a connect or a [probe](Self::Probe) reaches it.
    #[non_exhaustive]
    FamilyDark {
        /// The host whose addresses are slow.
        host: &'a str,
        /// The family.
        family: Family,
        /// For how long at most.
        penalty: Duration,
    },
    /// A pooled connection takes no new requests any more; see [`PoolLayer`](crate::PoolLayer).
    /// Requests in flight on it go on.
    #[non_exhaustive]
    Retired {
        /// The host that the requests were for.
        host: &'a str,
        /// The address that it is connected to.
        addr: IpAddr,
        /// Why.
        why: Retirement,
    },
    /// Connects under a layer of the resolver keep asking the resolver for no name; told once. Another
    /// resolver was set after this one, or overrides (`resolve_to_addrs`), or all URLs name addresses.
    #[non_exhaustive]
    NeverAsked {
        /// The address of the last such connect.
        addr: IpAddr,
        /// How many there were in a row.
        connects: u32,
    },
    /// A connect was made to an address of ours, but the resolver was asked outside of it: a
    /// layer in between spawned a task.
    #[non_exhaustive]
    SlipLost {
        /// The address connected to.
        addr: IpAddr,
    },
}

/// Receives each [`Event`]. Implemented for closures.
///
/// Called in the middle of a connect or a lookup: return quickly, and do not block. A panic is caught and
/// fails nothing; the log warns of the first one, and later events are told all the same. A closure has to name the type of its argument: `|event: &Event<'_>| …`.
pub trait Observe: Send + Sync + 'static {
    /// Takes note of an event.
    fn observe(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync + 'static> Observe for F {
    fn observe(&self, event: &Event<'_>) {
        self(event);
    }
}

/// Everyone who is told.
pub(crate) struct Observers {
    counters: Counters,
    user: Option<Arc<dyn Observe>>,
    /// Whether an observer of the user has panicked.
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
            let told = catch_unwind(AssertUnwindSafe(|| user.observe(event)));
            if told.is_err() && !self.has_panicked.swap(true, Ordering::Relaxed) {
                trace::observer_panicked();
            }
        }
    }
}
