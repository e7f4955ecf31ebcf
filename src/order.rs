//! Rule: in which order addresses are dialled.

use std::cmp::Ordering;
use std::net::IpAddr;

use crate::penalty::Rank;

/// Most addresses kept of one answer; a name server may send thousands.
pub(crate) const MAX_ADDRS: usize = 64;
/// Most addresses of one family handed to a connector: hyper-util divides its connect timeout
/// among them.
pub(crate) const PER_FAMILY: usize = 4;
/// Most addresses handed to a connector: two families, or one in two lanes.
pub(crate) const MAX_DEALT: usize = 2 * PER_FAMILY;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(addr: IpAddr) -> Self {
        if addr.is_ipv6() { Self::V6 } else { Self::V4 }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

/// The addresses of an answer: no duplicates, IPv6 first, at most [`MAX_ADDRS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addrs {
    all: Box<[IpAddr]>,
    v6: usize,
}

impl Addrs {
    /// Keeps the first addresses as the name server sent them; IPv4-mapped ones are IPv4.
    pub(crate) fn new(addrs: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut all = Vec::new();
        for addr in addrs {
            let addr = addr.to_canonical();
            if !all.contains(&addr) {
                all.push(addr);
            }
            if all.len() == MAX_ADDRS {
                break;
            }
        }
        all.sort_by_key(IpAddr::is_ipv4);
        let v6 = all.partition_point(IpAddr::is_ipv6);
        Self {
            all: all.into(),
            v6,
        }
    }

    pub(crate) fn as_slice(&self) -> &[IpAddr] {
        &self.all
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn contains(&self, addr: IpAddr) -> bool {
        self.all.contains(&addr)
    }

    /// Whether an address is among these that is not among the old ones. A name server that tells
    /// some of many in turn brings no news by leaving others out.
    pub(crate) fn has_new(&self, old: &Self) -> bool {
        self.all.iter().any(|&addr| !old.contains(addr))
    }

    fn family(&self, family: Family) -> &[IpAddr] {
        match family {
            Family::V4 => &self.all[self.v6..],
            Family::V6 => &self.all[..self.v6],
        }
    }
}

/// Tells where an address stands; `None`: nothing is held against any.
pub(crate) type Ranks<'a> = Option<&'a dyn Fn(IpAddr) -> Rank>;

/// Hands out the addresses in dialling order, at most `per_family` of each family.
///
/// Each family is shuffled; a shuffle across families would make the preferred one random,
/// because connectors prefer the family of the first address. Then the better rank goes first,
/// and among equals the families take turns (RFC 8305, section 4).
pub(crate) fn deal(
    addrs: &Addrs,
    ranks: Ranks<'_>,
    prefer: Family,
    per_family: usize,
    rng: &mut fastrand::Rng,
    mut hand_out: impl FnMut(IpAddr),
) {
    let mut first = Pile::new(addrs.family(prefer), per_family, ranks, rng);
    let mut second = Pile::new(addrs.family(prefer.other()), per_family, ranks, rng);
    let mut first_has_the_turn = true;
    loop {
        let from_first = match (first.is_dealt(), second.is_dealt()) {
            (true, true) => return,
            (false, true) => true,
            (true, false) => false,
            (false, false) => match ranks.map(|rank| rank(first.top()).cmp(&rank(second.top()))) {
                Some(Ordering::Less) => true,
                Some(Ordering::Equal) | None => first_has_the_turn,
                Some(Ordering::Greater) => false,
            },
        };
        first_has_the_turn = !from_first;
        let pile = if from_first { &mut first } else { &mut second };
        hand_out(pile.top());
        pile.next += 1;
    }
}

/// One family, shuffled, the better ranks on top. Indexes, so that nothing is copied twice.
struct Pile<'a> {
    addrs: &'a [IpAddr],
    order: [u8; MAX_ADDRS],
    next: usize,
    end: usize,
}

impl<'a> Pile<'a> {
    fn new(addrs: &'a [IpAddr], most: usize, ranks: Ranks<'_>, rng: &mut fastrand::Rng) -> Self {
        let mut order = IN_ORDER;
        let (len, end) = (addrs.len(), addrs.len().min(most));
        // Of those that are handed out each is drawn from all that are left (Fisher and Yates);
        // ranks can bring any to the top, so then all are drawn.
        let drawn = if ranks.is_some() { len } else { end };
        for place in 0..drawn.min(len.saturating_sub(1)) {
            order.swap(place, rng.usize(place..len));
        }
        if let Some(rank) = ranks {
            order[..len].sort_by_key(|&index| rank(addrs[usize::from(index)]));
        }
        Self {
            addrs,
            order,
            next: 0,
            end,
        }
    }

    fn is_dealt(&self) -> bool {
        self.next == self.end
    }

    fn top(&self) -> IpAddr {
        self.addrs[usize::from(self.order[self.next])]
    }
}

const IN_ORDER: [u8; MAX_ADDRS] = {
    let mut order = [0; MAX_ADDRS];
    let mut place = 0;
    while place < MAX_ADDRS {
        order[place] = place as u8;
        place += 1;
    }
    order
};

/// The addresses dealt to one connect, in the order in which they will be dialled. Lives on the
/// stack.
#[derive(Clone, Debug)]
pub(crate) struct Dealt {
    addrs: [IpAddr; MAX_DEALT],
    len: u8,
    next: u8,
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
    pub(crate) fn push(&mut self, addr: IpAddr) {
        if let Some(place) = self.addrs.get_mut(usize::from(self.len)) {
            *place = addr;
            self.len += 1;
        }
    }

    pub(crate) fn as_slice(&self) -> &[IpAddr] {
        &self.addrs[..usize::from(self.len)]
    }

    /// Adds the second lane: every IPv4 address once more as an IPv4-mapped IPv6 address,
    /// turned by one.
    ///
    /// hyper-util races the families 300 ms apart and is serial inside one; so the lanes race
    /// each other, and a black hole at the head of the first costs 300 ms and not minutes. The
    /// turn makes the second lane begin with an address that the first is not waiting for.
    pub(crate) fn add_lane(&mut self) {
        let first = self.clone();
        let addrs = first.as_slice();
        if addrs.len() < 2 || addrs.iter().any(IpAddr::is_ipv6) {
            return;
        }
        for &addr in addrs[1..].iter().chain(&addrs[..1]) {
            if let IpAddr::V4(addr) = addr {
                self.push(addr.to_ipv6_mapped().into());
            }
        }
    }
}

impl Iterator for Dealt {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        let addr = self.as_slice().get(usize::from(self.next)).copied()?;
        self.next += 1;
        Some(addr)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.len - self.next);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Dealt {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    fn v4(n: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, n).into()
    }

    fn v6(n: u16) -> IpAddr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into()
    }

    fn dealt(addrs: &Addrs, rank: impl Fn(IpAddr) -> Rank, seed: u64) -> Vec<IpAddr> {
        let mut out = Vec::new();
        let mut rng = fastrand::Rng::with_seed(seed);
        deal(
            addrs,
            Some(&rank),
            Family::V6,
            MAX_ADDRS,
            &mut rng,
            |addr| out.push(addr),
        );
        out
    }

    /// Families take turns, IPv6 first, whatever order the name server chose.
    #[test]
    fn families_take_turns_and_ipv6_leads() {
        let addrs = Addrs::new([v4(1), v4(2), v6(1), v4(3), v6(2)]);
        for seed in 0..100 {
            let families: String = dealt(&addrs, |_| Rank::Healthy, seed)
                .iter()
                .map(|a| if a.is_ipv6() { '6' } else { '4' })
                .collect();
            assert_eq!(families, "64644", "seed {seed}");
        }
    }

    /// The better rank goes first across families, and the first address decides which family a
    /// connector prefers.
    #[test]
    fn a_penalised_family_does_not_lead() {
        let now = crate::time::now();
        let addrs = Addrs::new([v6(1), v6(2), v4(1), v4(2)]);
        let rank = |addr: IpAddr| match addr {
            IpAddr::V6(_) => Rank::Penalised(now),
            IpAddr::V4(_) => Rank::Healthy,
        };
        for seed in 0..100 {
            assert!(
                dealt(&addrs, rank, seed)[..2].iter().all(IpAddr::is_ipv4),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn when_all_are_bad_the_one_whose_penalty_ends_first_leads() {
        let now = crate::time::now();
        let addrs = Addrs::new([v4(1), v4(2), v6(3), v6(4)]);
        let ends = [(v4(1), 9), (v4(2), 2), (v6(3), 5), (v6(4), 7)];
        let rank = |addr| {
            let (_, secs) = ends
                .iter()
                .find(|(a, _)| *a == addr)
                .expect("each address has an end");
            Rank::Penalised(now + Duration::from_secs(*secs))
        };
        assert_eq!(dealt(&addrs, rank, 1), [v4(2), v6(3), v6(4), v4(1)]);
    }

    /// With a seed: over 40 000 deals of four, each address leads 10 000 times, chi² under 16.3
    /// (0.1 % for 3 degrees of freedom).
    #[test]
    fn every_address_leads_equally_often() {
        let addrs = Addrs::new([v4(1), v4(2), v4(3), v4(4), v6(1), v6(2), v6(3), v6(4)]);
        let mut rng = fastrand::Rng::with_seed(20_261_122);
        let mut leads = [[0_u32; 4]; 2];
        for _ in 0..40_000 {
            let mut out = Vec::new();
            deal(&addrs, None, Family::V6, PER_FAMILY, &mut rng, |a| {
                out.push(a)
            });
            for (family, addr) in [out[0], out[1]].into_iter().enumerate() {
                let place = match addr {
                    IpAddr::V4(a) => a.octets()[3] - 1,
                    IpAddr::V6(a) => a.octets()[15] - 1,
                };
                leads[family][usize::from(place)] += 1;
            }
        }
        for family in leads {
            let chi2: f64 = family
                .iter()
                .map(|&n| (f64::from(n) - 1e4).powi(2) / 1e4)
                .sum();
            assert!(chi2 < 16.3, "{family:?}: chi² {chi2}");
        }
    }

    #[test]
    fn lanes_hold_every_address_twice_and_start_apart() {
        let mut dealt = Dealt::new();
        for n in 1..=4 {
            dealt.push(v4(n));
        }
        dealt.add_lane();
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
            dealt.add_lane();
            assert_eq!(dealt.collect::<Vec<_>>(), addrs);
        }
    }

    fn any_addrs() -> impl Strategy<Value = Vec<IpAddr>> {
        prop::collection::vec(
            prop_oneof![(0_u8..40).prop_map(v4), (0_u16..40).prop_map(v6)],
            0..100,
        )
    }

    proptest! {
        /// Order is a permutation: nothing is lost, nothing is added, bad ones come last.
        #[test]
        fn order_is_a_permutation(list in any_addrs(), bad in any_addrs(), seed: u64) {
            let now = crate::time::now();
            let addrs = Addrs::new(list);
            let rank = |a| if bad.contains(&a) { Rank::Penalised(now) } else { Rank::Healthy };
            let mut out = dealt(&addrs, rank, seed);
            prop_assert!(out.is_sorted_by_key(|&a| bad.contains(&a)));
            out.sort();
            let mut all = addrs.as_slice().to_vec();
            all.sort();
            prop_assert_eq!(out, all);
        }

        #[test]
        fn no_connector_is_handed_more_than_four_of_a_family(list in any_addrs(), seed: u64) {
            let addrs = Addrs::new(list);
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut dealt = Dealt::new();
            deal(&addrs, None, Family::V6, PER_FAMILY, &mut rng, |a| dealt.push(a));
            for family in [Family::V4, Family::V6] {
                let handed = dealt.as_slice().iter().filter(|&&a| Family::of(a) == family).count();
                prop_assert_eq!(handed, addrs.family(family).len().min(PER_FAMILY));
            }
        }

        #[test]
        fn an_answer_is_bounded_and_without_duplicates(list in any_addrs()) {
            let addrs = Addrs::new(list);
            prop_assert!(addrs.as_slice().len() <= MAX_ADDRS);
            for (i, addr) in addrs.as_slice().iter().enumerate() {
                prop_assert!(!addrs.as_slice()[..i].contains(addr));
            }
        }
    }
}
