//! How the addresses of a host stand, for who keeps connections to them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Shared;
use super::resolve::rank;
use crate::Outcome;
use crate::cache::{Cause, Known, Origin, Plan};
use crate::host::Host;
use crate::penalty::{Rank, Record};
use crate::retire::Stand;

/// What is known of a host at one moment. Nothing has changed as long as it is equal.
#[derive(Clone, Debug)]
pub(crate) struct Outlook {
    answer: Option<Arc<Known>>,
    /// Whether the answer tells who has left: a fallback does not, nor does one in doubt.
    is_good: bool,
    /// How often an address of any host went behind the others or came back.
    moves: u64,
}

impl PartialEq for Outlook {
    fn eq(&self, other: &Self) -> bool {
        let same_answer = match (&self.answer, &other.answer) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_answer && self.is_good == other.is_good && self.moves == other.moves
    }
}

impl Outlook {
    pub(crate) fn is_blank(&self) -> bool {
        self.answer.is_none()
    }
}

impl Shared {
    /// Looks at a host for who keeps connections to it.
    pub(crate) fn outlook(&self, host: &Host, now: Instant) -> Outlook {
        let answer = self.current(host, now);
        let is_good = answer.as_ref().is_some_and(|known| match known.origin {
            Origin::Pin => true,
            Origin::Fallback(_) => false,
            Origin::Lookup => {
                let good = |slot: &crate::cache::Slot| slot.good(now).is_some();
                self.store.peek(host.as_str(), good) == Some(true)
            }
        });
        let counters = self.observers.counters();
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let moves = read(&counters.failed_addresses) + read(&counters.recovered_addresses);
        Outlook {
            answer,
            is_good,
            moves,
        }
    }

    /// Hands on how each address stands by what was known then and is held against it now.
    pub(crate) fn judged<T>(
        &self,
        host: &Host,
        outlook: &Outlook,
        now: Instant,
        look: impl FnOnce(&dyn Fn(IpAddr) -> Stand) -> T,
    ) -> T {
        let answer = outlook.answer.as_deref();
        // Of a host that is not known nothing is known to be bad either.
        let others = answer.is_none_or(|known| self.health_left(host, known, now));
        self.book.read(host.as_str(), now, |page| {
            look(&|addr: IpAddr| {
                let addr = addr.to_canonical();
                let listed = answer.filter(|_| outlook.is_good);
                Stand {
                    listed: listed.map(|known| known.addrs.contains(addr)),
                    penalised: matches!(rank(page, addr, now), Rank::Penalised(_))
                        || is_silent(page, addr, now),
                    others,
                }
            })
        })
    }

    /// Has a host looked up in time though nobody dials it, because connections to it are in use:
    /// else nobody would hear that DNS has moved. Nobody waits for it.
    pub(crate) fn keep_fresh(self: &Arc<Self>, host: &Host, now: Instant) {
        let planned = self.store.read(host.as_str(), |host, slot| {
            (self.plan(host, slot, now), slot.good(now).cloned())
        });
        match planned.unwrap_or((Plan::Ask(Cause::Unknown), None)) {
            (Plan::Serve, Some(known)) => self.note_use(host, &known),
            (Plan::Ask(cause) | Plan::ServeAndAsk(cause), _)
                if self.pinned(host.as_str(), now).is_none() =>
            {
                // Outside of a runtime, or beyond the quota, a later request asks.
                let _ = self.ask(host, cause);
            }
            _ => {}
        }
    }
}

/// Whether a connection to the address went silent: then the other ones are silent too, and each would
/// cost its requests the time until that is noticed.
fn is_silent(page: &[(IpAddr, Record)], addr: IpAddr, now: Instant) -> bool {
    let is_silent = |record: &Record| record.why() == Outcome::Silent;
    page.iter().any(|(other, record)| {
        *other == addr && is_silent(record) && record.rank(now) > Rank::Healthy
    })
}
