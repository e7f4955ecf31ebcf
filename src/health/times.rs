//! Times of recent connects by address, without a lock.

use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

const TIME_BITS: u32 = 40;

/// The time of the last connect to each of a few addresses.
///
/// If two addresses share one of the `N` places, the place holds the time that was recorded last. A place holds 24 bits
/// of the hash of its address and the low 40 bits of the time. The caller chooses the unit of the time; 40 bits of
/// milliseconds last for 34 years.
#[derive(Debug)]
pub(super) struct AddrTimes<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for AddrTimes<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl<const N: usize> AddrTimes<N> {
    /// Records the time of an address, and returns whether the place held another record before.
    pub(super) fn record(&self, addr: IpAddr, time: u64) -> bool {
        let hash = hash(addr);
        let record = hash << TIME_BITS | low(time);
        let is_new = self.place(hash).load(Ordering::Relaxed) != record;
        if is_new {
            self.place(hash).store(record, Ordering::Relaxed);
        }
        is_new
    }

    /// Returns whether the recorded time of an address is later than `time`.
    pub(super) fn is_later(&self, addr: IpAddr, time: u64) -> bool {
        let hash = hash(addr);
        let record = self.place(hash).load(Ordering::Relaxed);
        record >> TIME_BITS == hash && low(record) > low(time)
    }

    pub(super) fn forget(&self) {
        for place in &self.0 {
            place.store(0, Ordering::Relaxed);
        }
    }

    fn place(&self, hash: u64) -> &AtomicU64 {
        &self.0[hash as usize % N]
    }
}

fn hash(addr: IpAddr) -> u64 {
    foldhash::fast::FixedState::default().hash_one(addr) >> TIME_BITS
}

fn low(number: u64) -> u64 {
    number & ((1 << TIME_BITS) - 1)
}
