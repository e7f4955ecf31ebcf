//! Rule: which addresses a connector has dialled, told from where it ended.
//!
//! hyper-util 0.1.21 splits the list by family (the family of the first address is preferred),
//! is strictly serial inside a family, and starts the other family 300 ms later, or as soon as
//! the preferred one has failed to its end.

use std::net::IpAddr;
use std::time::Duration;

use crate::order::Family;
use crate::outcome::Outcome;

/// Returns the addresses that must have failed when the list ended in a connection to `winner`:
/// those before it in its own family.
pub(crate) fn losers(dealt: &[IpAddr], winner: IpAddr) -> impl Iterator<Item = IpAddr> {
    let known = dealt.contains(&winner);
    let in_lane = move |addr: &&IpAddr| is_in_lane(**addr, winner);
    let before = dealt
        .iter()
        .filter(in_lane)
        .take_while(move |&&addr| addr != winner);
    before.map(IpAddr::to_canonical).filter(move |_| known)
}

/// Returns what the second lane has overtaken when it won, and how that failed. The head of the
/// list alone has kept the first lane waiting when the winner is late. One that came before the
/// second lane's start was due says that the whole first lane has failed.
///
/// This is likely and not certain, and so to be held softly: a connector that is bound to a local
/// address dials one family and never the other, and hyper-util's head start can be set. Of a
/// winner in time nothing follows for a family that the connector was never seen to reach.
pub(crate) fn overtaken(
    dealt: &[IpAddr],
    winner: IpAddr,
    late: bool,
    reach: Reach,
) -> impl Iterator<Item = (IpAddr, Outcome)> {
    let head = dealt.first().filter(|_| dealt.contains(&winner)).copied();
    let first = head.filter(|&head| !is_in_lane(head, winner));
    let (why, most) = match first {
        None => (Outcome::Unknown, 0),
        Some(_) if late => (Outcome::Stalled, 1),
        Some(head) if reach.has(Family::of(head)) => (Outcome::Failed, dealt.len()),
        Some(_) if is_mapped(winner) => (Outcome::Stalled, 1),
        Some(_) => (Outcome::Unknown, 0),
    };
    let in_first = move |addr: &&IpAddr| !is_in_lane(**addr, winner);
    let lane = dealt.iter().filter(in_first).take(most);
    let has_lost = move |addr: &IpAddr| *addr != winner.to_canonical();
    lane.map(IpAddr::to_canonical)
        .filter(has_lost)
        .map(move |addr| (addr, why))
}

/// Families that a connector has connected in: it is not bound to the other one. It takes an
/// IPv4-mapped address for IPv6.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
    /// Whether it has connected in one family though the other one led.
    pub(crate) second: bool,
}

impl Reach {
    /// Whether it has named a peer at all.
    pub(crate) fn is_any(self) -> bool {
        self.v4 || self.v6
    }

    fn has(self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

/// How long hyper-util lets the first family run before it dials the other: 300 ms.
pub(crate) const HEAD_START: Duration = Duration::from_millis(300);

fn is_in_lane(addr: IpAddr, winner: IpAddr) -> bool {
    Family::of(addr) == Family::of(winner)
}

/// Returns the addresses that a TCP error blames: it comes when every one has failed.
pub(crate) fn all(dealt: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    dealt.iter().enumerate().filter_map(|(place, addr)| {
        let addr = addr.to_canonical();
        let mut earlier = dealt.iter().take(place).map(IpAddr::to_canonical);
        (!earlier.any(|other| other == addr)).then_some(addr)
    })
}

/// Whether a TCP error says for certain that an address has failed. Of two families one may never
/// have been dialled: the connector may be bound to the other.
pub(crate) fn is_certain(dealt: &[IpAddr], addr: IpAddr, reach: Reach) -> bool {
    !has_two_families(dealt) || reach.has(Family::of(addr))
}

/// Returns the address that an error after TCP is about, as far as that can be told: the connector
/// has settled on the head of the list, unless that had failed before; either way the head is bad.
///
/// Of two families the other's head is left alone, for blamed together one that is broken would
/// take the other down with it. Unless the connector passes the first family over: it was never
/// seen to reach it, and has connected in the second.
pub(crate) fn head(dealt: &[IpAddr], reach: Reach) -> Option<IpAddr> {
    let first = Family::of(*dealt.first()?);
    let passes_over = has_two_families(dealt) && reach.second && !reach.has(first);
    let family = if passes_over { first.other() } else { first };
    let head = dealt.iter().find(|addr| Family::of(**addr) == family);
    head.map(IpAddr::to_canonical)
}

/// Returns in how many lanes a connector attempts these addresses: one for each family.
pub(crate) fn lanes(dealt: &[IpAddr]) -> usize {
    second_head(dealt).map_or(1, |_| 2)
}

/// Returns the first address of the second lane, which a connector attempts beside the first one.
pub(crate) fn second_head(dealt: &[IpAddr]) -> Option<IpAddr> {
    let first = *dealt.first()?;
    dealt
        .iter()
        .find(|addr| !is_in_lane(**addr, first))
        .copied()
}

/// Whether addresses of both families were dealt. The lanes of IPv4 are one.
pub(crate) fn has_two_families(dealt: &[IpAddr]) -> bool {
    let mut families = dealt.iter().map(|addr| Family::of(addr.to_canonical()));
    let first = families.next();
    families.any(|family| Some(family) != first)
}

fn is_mapped(addr: IpAddr) -> bool {
    addr != addr.to_canonical()
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Dealt, v4, v6};
    use std::net::Ipv4Addr;

    fn mapped(n: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, n).to_ipv6_mapped().into()
    }

    fn lanes(n: u8) -> Vec<IpAddr> {
        let mut dealt = Dealt::new();
        (1..=n).for_each(|n| dealt.push(v4(n)));
        dealt.add_lane(n.into());
        dealt.collect()
    }

    const NEW: Reach = Reach {
        v4: false,
        v6: false,
        second: false,
    };
    const BOTH: Reach = Reach {
        v4: true,
        v6: true,
        second: true,
    };
    const PASSES_V6_OVER: Reach = Reach { v6: false, ..BOTH };

    fn lost(dealt: &[IpAddr], winner: IpAddr) -> Vec<IpAddr> {
        losers(dealt, winner).collect()
    }

    #[test]
    fn all_before_the_winner_in_its_family_have_failed() {
        let list = [v6(1), v4(1), v6(2), v4(2), v6(3)];
        assert!(lost(&list, v6(1)).is_empty());
        assert_eq!(lost(&list, v6(3)), [v6(1), v6(2)]);
        assert_eq!(
            lost(&list, v4(2)),
            [v4(1)],
            "the other family may never have been dialled"
        );
    }

    #[test]
    fn in_lanes_too_all_before_the_winner_in_its_lane_have_failed() {
        let list = lanes(4);
        assert!(lost(&list, v4(1)).is_empty());
        assert_eq!(lost(&list, v4(3)), [v4(1), v4(2)]);
        assert!(lost(&list, mapped(2)).is_empty());
        assert_eq!(lost(&list, mapped(1)), [v4(2), v4(3), v4(4)]);
    }

    fn overtook(dealt: &[IpAddr], winner: IpAddr, late: bool, reach: Reach) -> Vec<IpAddr> {
        let all = overtaken(dealt, winner, late, reach);
        all.map(|(addr, _)| addr).collect()
    }

    #[test]
    fn a_late_winner_in_the_second_lane_says_that_the_head_was_stuck() {
        let list = lanes(4);
        for reach in [NEW, BOTH] {
            assert!(overtook(&list, v4(3), true, reach).is_empty());
            assert_eq!(overtook(&list, mapped(2), true, reach), [v4(1)]);
            assert!(
                overtook(&list, mapped(1), true, reach).is_empty(),
                "the winner was never stuck"
            );
            assert!(overtook(&list, mapped(9), true, reach).is_empty());
            assert_eq!(overtook(&[v6(1), v4(1)], v4(1), true, reach), [v6(1)]);
        }
    }

    #[test]
    fn one_in_time_says_that_the_first_lane_has_failed_if_the_connector_dials_it() {
        let families = [v6(1), v4(1), v6(2), v4(2)];
        assert_eq!(overtook(&families, v4(2), false, BOTH), [v6(1), v6(2)]);
        let bound = PASSES_V6_OVER;
        assert!(overtook(&families, v4(2), false, bound).is_empty());
        let list = lanes(3);
        assert_eq!(overtook(&list, mapped(2), false, BOTH), [v4(1), v4(3)]);
        assert_eq!(overtook(&list, mapped(2), false, NEW), [v4(1)]);
    }

    #[test]
    fn a_winner_that_was_not_dealt_blames_nobody() {
        assert!(lost(&lanes(3), v4(9)).is_empty());
        assert!(lost(&[], v4(9)).is_empty());
    }

    #[test]
    fn a_tcp_error_blames_all_and_a_later_one_the_head() {
        let list = lanes(3);
        assert_eq!(all(&list).collect::<Vec<_>>(), [v4(1), v4(2), v4(3)]);
        for reach in [NEW, BOTH, PASSES_V6_OVER] {
            assert_eq!(head(&list, reach), Some(v4(1)));
        }
        assert!(is_certain(&list, v4(1), NEW));
        let families = [v6(1), v4(1)];
        assert!(!is_certain(&families, v6(1), NEW));
        assert!(is_certain(&families, v6(1), BOTH));
        assert_eq!(head(&families, NEW), Some(v6(1)));
        assert_eq!(head(&families, BOTH), Some(v6(1)));
        assert_eq!(head(&families, PASSES_V6_OVER), Some(v4(1)));
        assert_eq!(head(&[], NEW), None);
    }
}
