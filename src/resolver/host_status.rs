//! The status of the addresses of a host, for the layer that drains pooled connections.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Inner;
use crate::Outcome;
use crate::cache::{CachedAnswer, Origin};
use crate::drain::policy::AddressStatus;
use crate::health::HostRecords;
use crate::health::record::{AddressRecord, Rank};
use crate::host::Host;

/// The state of a host at one moment. Two equal values mean that nothing has changed.
#[derive(Clone, Debug)]
pub(crate) struct HostStatus {
    answer: Option<Arc<CachedAnswer>>,
    /// Whether the answer shows which addresses have left DNS. A fallback does not, nor does an expired or suspect
    /// answer.
    is_good: bool,
    /// Number of address failures and recoveries of all hosts so far.
    moves: u64,
}

impl PartialEq for HostStatus {
    fn eq(&self, other: &Self) -> bool {
        let same_answer = match (&self.answer, &other.answer) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_answer && self.is_good == other.is_good && self.moves == other.moves
    }
}

impl HostStatus {
    pub(crate) fn is_blank(&self) -> bool {
        self.answer.is_none()
    }
}

impl Inner {
    /// Returns the state of a host for a caller that keeps connections to it.
    pub(crate) fn host_status(&self, host: &Host, now: Instant) -> HostStatus {
        let answer = self.cache.current(host, now);
        let is_good = answer.as_ref().is_some_and(|known| match known.origin {
            Origin::Override => true,
            Origin::Fallback => false,
            Origin::Lookup => self.cache.is_fresh(host, now),
        });
        let counters = self.observers.counters();
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let moves = read(&counters.failed_addresses) + read(&counters.recovered_addresses);
        HostStatus {
            answer,
            is_good,
            moves,
        }
    }

    /// Calls `look` with a function that returns the status of an address.
    ///
    /// The status depends on the answer in `outlook` and on the health records of the host at `now`.
    pub(crate) fn with_status<T>(
        &self,
        host: &Host,
        outlook: &HostStatus,
        now: Instant,
        look: impl FnOnce(&dyn Fn(IpAddr) -> AddressStatus) -> T,
    ) -> T {
        let answer = outlook.answer.as_deref();
        // Without an answer, no address of the host is known to have failed.
        let others = answer.is_none_or(|known| self.cache.has_healthy(host, known, now));
        self.health.read(host.as_str(), now, |records| {
            look(&|addr: IpAddr| {
                let addr = addr.to_canonical();
                let listed = answer.filter(|_| outlook.is_good);
                AddressStatus {
                    listed: listed.map(|known| known.addrs.contains(addr)),
                    penalized: matches!(records.rank(addr), Rank::Penalized(_))
                        || is_silent(records, addr),
                    has_alternative: others,
                }
            })
        })
    }

    /// Keeps the answer of a host fresh while pooled connections to it are in use.
    pub(crate) fn keep_refreshed(&self, host: &Host, now: Instant) {
        self.cache.keep_refreshed(host, now);
    }
}

/// Returns whether a connection to the address went silent.
///
/// The other connections to the address are then silent, too. Each would delay its requests until that is noticed.
fn is_silent(records: HostRecords<'_>, addr: IpAddr) -> bool {
    let is_silent = |record: &AddressRecord| record.why() == Outcome::Silent;
    records.find(addr).is_some_and(is_silent) && records.rank(addr) > Rank::Healthy
}
