//! What one connect is handed.

use std::net::IpAddr;

use super::MAX_DEALT;

/// The addresses dealt to one connect, in the order in which they will be dialled. Lives on the
/// stack.
#[derive(Clone, Debug)]
pub(crate) struct Dealt {
    addrs: [IpAddr; MAX_DEALT],
    len: usize,
    next: usize,
}

impl Dealt {
    pub(crate) fn new() -> Self {
        Self {
            addrs: [IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED); MAX_DEALT],
            len: 0,
            next: 0,
        }
    }

    /// Adds an address; what is over the room is left out.
    #[inline]
    pub(crate) fn push(&mut self, addr: IpAddr) {
        if let Some(place) = self.addrs.get_mut(self.len) {
            *place = addr;
            self.len += 1;
        }
    }

    /// Lets addresses be written in place; `write` returns how many.
    #[inline]
    pub(crate) fn fill(&mut self, write: impl FnOnce(&mut [IpAddr]) -> usize) {
        self.len = write(&mut self.addrs).min(MAX_DEALT);
    }

    pub(crate) fn as_slice(&self) -> &[IpAddr] {
        &self.addrs[..self.len]
    }

    /// Adds the second lane: every IPv4 address once more as an IPv4-mapped IPv6 address,
    /// turned by one among the first `turned`; what comes behind those stays behind them.
    ///
    /// hyper-util races the families 300 ms apart and is serial inside one; so the lanes race
    /// each other, and a black hole at the head of the first costs 300 ms and not minutes. The
    /// turn makes the second lane begin with an address that the first is not waiting for.
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

impl Dealt {
    /// The next address, where it lies.
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

impl Iterator for Dealt {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        self.take_next().copied()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.len - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Dealt {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{v4, v6};

    #[test]
    fn lanes_hold_every_address_twice_and_start_apart() {
        let mut dealt = Dealt::new();
        for n in 1..=4 {
            dealt.push(v4(n));
        }
        dealt.add_lane(4);
        let addrs: Vec<IpAddr> = dealt.collect();
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
            let mut dealt = Dealt::new();
            addrs.iter().for_each(|&addr| dealt.push(addr));
            dealt.add_lane(addrs.len());
            assert_eq!(dealt.collect::<Vec<_>>(), addrs);
        }
    }
}
