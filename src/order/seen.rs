//! Which addresses the answers of a host have named, where the kept addresses do not tell.

use std::hash::BuildHasher as _;
use std::net::IpAddr;

/// The addresses of an answer that was cut, and of the answers before it, as 32 bits each.
///
/// Two addresses share their bits once in four billion; then a new one is taken for a known one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen(Vec<u32>);

/// Addresses that are remembered of one host: 4 KiB.
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

    /// Whether an address is among these that is not among the old ones.
    pub(super) fn has_new(&self, old: &Self) -> bool {
        let is_new = |bits: &u32| old.0.binary_search(bits).is_err();
        self.0.iter().any(is_new)
    }

    /// Adds the old ones, as far as there is room.
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
