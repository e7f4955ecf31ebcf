//! Remembers which addresses the answers of a host named, beyond the addresses that are kept.

use std::hash::BuildHasher as _;
use std::net::IpAddr;

/// The addresses that an answer and the answers before it named, as a hash of 32 bits each.
///
/// Two addresses have the same hash once in four billion. Then a new address counts as named before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen(Vec<u32>);

/// Maximum number of addresses remembered for one host, which take 4 KiB.
const REMEMBERED: usize = 1024;

impl Seen {
    pub(super) fn of(addrs: &[IpAddr]) -> Self {
        let mut bits: Vec<u32> = addrs.iter().map(bits).collect();
        bits.sort_unstable();
        bits.dedup();
        Self(bits)
    }

    pub(super) fn contains(&self, addr: &IpAddr) -> bool {
        self.0.binary_search(&bits(addr)).is_ok()
    }

    /// Returns whether `self` has an address that `old` does not have.
    pub(super) fn has_new(&self, old: &Self) -> bool {
        let is_new = |bits: &u32| old.0.binary_search(bits).is_err();
        self.0.iter().any(is_new)
    }

    /// Adds the addresses of `old`, as far as [`REMEMBERED`] allows.
    pub(super) fn and(mut self, old: &Self) -> Self {
        let room = REMEMBERED.saturating_sub(self.0.len());
        let mut older: Vec<u32> = old.0.clone();
        older.retain(|bits| self.0.binary_search(bits).is_err());
        older.truncate(room);
        self.0.append(&mut older);
        self.0.sort_unstable();
        self
    }
}

fn bits(addr: &IpAddr) -> u32 {
    let hash = foldhash::fast::FixedState::default().hash_one(addr);
    (hash >> 32) as u32
}
