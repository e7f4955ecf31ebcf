//! The last addresses of a host that connected. They serve as last resort after they have left the answer.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::times::AddrTimes;

/// How long after its last connect an address that left the answer serves as last resort.
const LAST_RESORT: Duration = Duration::from_secs(60);
/// Addresses that are remembered of one host.
const REMEMBERED: usize = 8;

/// Addresses that have left the answer of their host.
pub(crate) type Left = SmallVec<[IpAddr; REMEMBERED]>;

/// The last addresses of one host that connected.
///
/// A connect takes the lock of its host only if its address has not connected in the same second.
#[derive(Debug, Default)]
pub(super) struct LastAddrs {
    addrs: Mutex<Last>,
    /// The seconds in which addresses have connected recently.
    seconds: AddrTimes<REMEMBERED>,
}

impl LastAddrs {
    /// Records a connect to `addr` in the given second.
    pub(super) fn connected(&self, addr: IpAddr, second: u64, now: Instant) {
        if self.seconds.record(addr, second) {
            self.edit(|last| last.connected(addr, now));
        }
    }

    /// Returns the addresses that connected within the last 60 s and are not in the answer.
    pub(super) fn left(&self, is_listed: impl Fn(IpAddr) -> bool, now: Instant) -> Left {
        self.edit(|last| last.left(is_listed, now))
    }

    pub(super) fn forget(&self) {
        self.edit(|last| last.0.clear());
        self.seconds.forget();
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Last) -> T) -> T {
        change(&mut self.addrs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The rule of [`LastAddrs`]. The code is pure: the caller passes the time.
#[derive(Debug, Default)]
struct Last(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    addr: IpAddr,
    connected_at: Instant,
    /// Whether the answer of the latest connect did not name the address.
    has_left: bool,
}

impl Entry {
    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.connected_at) < LAST_RESORT
    }
}

impl Last {
    /// Records a connect to `addr`.
    ///
    /// A connect to an address that has left the answer does not extend its time as last resort. Otherwise the address
    /// would serve for as long as the others fail.
    fn connected(&mut self, addr: IpAddr, now: Instant) {
        let entry = Entry {
            addr,
            connected_at: now,
            has_left: false,
        };
        let place = self.0.iter().position(|entry| entry.addr == addr);
        let oldest = || (0..self.0.len()).min_by_key(|&place| self.0[place].connected_at);
        match place {
            Some(place) if self.0[place].has_left && self.0[place].is_recent(now) => {}
            Some(place) => self.0[place] = entry,
            None if self.0.len() < REMEMBERED => self.0.push(entry),
            None => {
                if let Some(place) = oldest() {
                    self.0[place] = entry;
                }
            }
        }
    }

    fn left(&mut self, is_listed: impl Fn(IpAddr) -> bool, now: Instant) -> Left {
        for entry in &mut self.0 {
            entry.has_left = !is_listed(entry.addr);
        }
        let left = self.0.iter().filter(|entry| entry.has_left);
        left.filter(|entry| entry.is_recent(now))
            .map(|entry| entry.addr)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addrs::v4;
    use crate::time;

    const S: Duration = Duration::from_secs(1);

    fn left(last: &mut Last, listed: u8, now: Instant) -> Vec<IpAddr> {
        let mut left = last.left(|addr| addr == v4(listed), now).to_vec();
        left.sort();
        left
    }

    #[test]
    fn an_address_that_left_is_kept_for_60_s_after_its_connect() {
        let (mut last, now) = (Last::default(), time::now());
        last.connected(v4(1), now);
        last.connected(v4(2), now + S);
        assert_eq!(left(&mut last, 3, now + 59 * S), [v4(1), v4(2)]);
        assert_eq!(left(&mut last, 3, now + 60 * S), [v4(2)]);
        assert!(left(&mut last, 2, now + 60 * S).is_empty());
    }

    #[test]
    fn a_connect_to_an_address_that_left_does_not_prolong_its_time() {
        let (mut last, now) = (Last::default(), time::now());
        last.connected(v4(1), now);
        assert_eq!(left(&mut last, 2, now + S), [v4(1)]);
        last.connected(v4(1), now + 59 * S);
        assert!(left(&mut last, 2, now + 61 * S).is_empty());
        last.connected(v4(1), now + 61 * S);
        assert_eq!(left(&mut last, 2, now + 62 * S), [v4(1)], "it was back");
    }

    #[test]
    fn the_last_eight_addresses_are_remembered() {
        let (mut last, now) = (Last::default(), time::now());
        for n in 1..=10 {
            last.connected(v4(n), now + u32::from(n) * S);
        }
        let expected: Vec<_> = (3..=10).map(v4).collect();
        assert_eq!(left(&mut last, 99, now + 11 * S), expected);
    }

    #[test]
    fn a_second_connect_within_one_second_changes_nothing() {
        let (last, now) = (LastAddrs::default(), time::now());
        last.connected(v4(1), 7, now);
        last.connected(v4(1), 7, now + S / 2);
        let is_kept = |after| last.left(|_| false, now + after).len() == 1;
        assert!(!is_kept(60 * S));
        last.connected(v4(1), 8, now + 61 * S);
        assert!(is_kept(62 * S));
        last.forget();
        assert!(!is_kept(62 * S));
    }
}
