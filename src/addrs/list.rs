//! The list of addresses that one connect is given.

use std::net::IpAddr;

use super::MAX_LIST;

/// The addresses that one connect is given, in the order of its attempts.
///
/// The list allocates no memory.
#[derive(Clone, Debug)]
pub(crate) struct AddressList {
    addrs: [IpAddr; MAX_LIST],
    len: usize,
    next: usize,
}

impl AddressList {
    pub(crate) fn new() -> Self {
        Self {
            addrs: [IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED); MAX_LIST],
            len: 0,
            next: 0,
        }
    }

    /// Appends an address, unless the list is full.
    #[inline]
    pub(crate) fn push(&mut self, addr: IpAddr) {
        if let Some(place) = self.addrs.get_mut(self.len) {
            *place = addr;
            self.len += 1;
        }
    }

    /// Calls `write` to fill the list in place; `write` returns the number of addresses.
    #[inline]
    pub(crate) fn fill(&mut self, write: impl FnOnce(&mut [IpAddr]) -> usize) {
        self.len = write(&mut self.addrs).min(MAX_LIST);
    }

    pub(crate) fn as_slice(&self) -> &[IpAddr] {
        &self.addrs[..self.len]
    }

    /// Adds the IPv4-mapped fallback: a second lane with each IPv4 address as an IPv4-mapped IPv6 address.
    ///
    /// In the second lane the first `turned` addresses are rotated by one, and the later addresses keep their places.
    /// If `turned` is less than two, or if the list has an IPv6 address, the method adds no lane.
    ///
    /// hyper-util races the families 300 ms apart, and attempts the addresses of one family one after another. With two
    /// lanes, a first address that drops packets costs 300 ms and not minutes. The rotation makes the second lane start
    /// with an address that the first lane is not waiting for.
    pub(crate) fn add_lane(&mut self, turned: usize) {
        let mut second = self.clone();
        if turned < 2 || second.as_slice().iter().any(IpAddr::is_ipv6) {
            return;
        }
        second.addrs[..turned].rotate_left(1);
        for addr in second {
            if let IpAddr::V4(addr) = addr {
                self.push(addr.to_ipv6_mapped().into());
            }
        }
    }
}

impl AddressList {
    /// Returns a reference to the next address.
    #[inline]
    pub(crate) fn take_next(&mut self) -> Option<&IpAddr> {
        let place = self.next;
        if place == self.len {
            return None;
        }
        self.next += 1;
        self.addrs.get(place)
    }
}

impl Iterator for AddressList {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        self.take_next().copied()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.len - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for AddressList {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addrs::{v4, v6};

    #[test]
    fn lanes_hold_every_address_twice_and_start_apart() {
        let mut selected = AddressList::new();
        for n in 1..=4 {
            selected.push(v4(n));
        }
        selected.add_lane(4);
        let addrs: Vec<IpAddr> = selected.collect();
        let canonical: Vec<IpAddr> = addrs.iter().map(IpAddr::to_canonical).collect();
        assert_eq!(
            canonical,
            [v4(1), v4(2), v4(3), v4(4), v4(2), v4(3), v4(4), v4(1)]
        );
        assert!(addrs[4..].iter().all(IpAddr::is_ipv6));
    }

    #[test]
    fn no_second_lane_for_one_address_or_two_families() {
        for addrs in [vec![v4(1)], vec![v6(1), v4(1)], vec![v6(1), v6(2)], vec![]] {
            let mut selected = AddressList::new();
            addrs.iter().for_each(|&addr| selected.push(addr));
            selected.add_lane(addrs.len());
            assert_eq!(selected.collect::<Vec<_>>(), addrs);
        }
    }
}
