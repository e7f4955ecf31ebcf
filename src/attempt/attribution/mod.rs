//! A pure rule that infers which addresses a connector has attempted, from how the connect ended.
//!
//! hyper-util 0.1.21 splits the list of addresses by family and prefers the family of the first address. Within a
//! family the connector attempts one address after the other. The attempts of the other family start 300 ms later, or
//! as soon as every address of the preferred family has failed.

use std::net::IpAddr;
use std::time::Duration;

use crate::addrs::Family;
use crate::health::outcome::Outcome;

/// Returns the addresses that failed before the list ended in a connection to `winner`. These are the addresses before
/// the winner in its own family.
pub(crate) fn failed_before_winner(
    selected: &[IpAddr],
    winner: IpAddr,
) -> impl Iterator<Item = IpAddr> {
    let known = selected.contains(&winner);
    let in_lane = move |addr: &&IpAddr| is_in_lane(**addr, winner);
    let before = selected
        .iter()
        .filter(in_lane)
        .take_while(move |&&addr| addr != winner);
    before.map(IpAddr::to_canonical).filter(move |_| known)
}

/// Returns the addresses of the first lane that a winner in the second lane has overtaken, with their outcomes.
///
/// | the winner connected | overtaken | outcome |
/// |---|---|---|
/// | `late`, after the head start of the first lane | the head of the list, which kept the first lane waiting | [`Outcome::Slow`] |
/// | sooner, and the connector has connected in the family of the head before | the whole first lane, which has failed | [`Outcome::Failed`] |
/// | sooner, at an IPv4-mapped address | the head of the list | [`Outcome::Slow`] |
/// | sooner, otherwise | none | |
///
/// The result is likely and not certain, so the strikes must be soft. A connector that is bound to a local address
/// attempts one family and never the other, and hyper-util's head start can be set.
pub(crate) fn slower_than_winner(
    selected: &[IpAddr],
    winner: IpAddr,
    late: bool,
    families_used: FamiliesUsed,
) -> impl Iterator<Item = (IpAddr, Outcome)> {
    let head = selected
        .first()
        .filter(|_| selected.contains(&winner))
        .copied();
    let first = head.filter(|&head| !is_in_lane(head, winner));
    let (why, most) = match first {
        None => (Outcome::Unknown, 0),
        Some(_) if late => (Outcome::Slow, 1),
        Some(head) if families_used.has(Family::of(head)) => (Outcome::Failed, selected.len()),
        Some(_) if is_mapped(winner) => (Outcome::Slow, 1),
        Some(_) => (Outcome::Unknown, 0),
    };
    let in_first = move |addr: &&IpAddr| !is_in_lane(**addr, winner);
    let lane = selected.iter().filter(in_first).take(most);
    let has_lost = move |addr: &IpAddr| *addr != winner.to_canonical();
    lane.map(IpAddr::to_canonical)
        .filter(has_lost)
        .map(move |addr| (addr, why))
}

/// The families that a connector has connected in. If a connector has connected in a family, the connector is not
/// bound to the other one. An IPv4-mapped address counts as IPv6 here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FamiliesUsed {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
    /// Whether the connector has connected in one family though the list began with the other.
    pub(crate) second: bool,
}

impl FamiliesUsed {
    /// Returns whether a connection of the connector has named its remote address at all.
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

/// The time after which hyper-util attempts the second family beside the first, 300 ms.
pub(crate) const HEAD_START: Duration = Duration::from_millis(300);

fn is_in_lane(addr: IpAddr, winner: IpAddr) -> bool {
    Family::of(addr) == Family::of(winner)
}

/// Returns all addresses, each once. A TCP error counts against all of them, because every address has failed then.
pub(crate) fn every_address(selected: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    selected.iter().enumerate().filter_map(|(place, addr)| {
        let addr = addr.to_canonical();
        let mut earlier = selected.iter().take(place).map(IpAddr::to_canonical);
        (!earlier.any(|other| other == addr)).then_some(addr)
    })
}

/// Returns whether a TCP error proves that an address has failed. The addresses of one of two families may never have
/// been attempted, because the connector may be bound to the other.
pub(crate) fn is_certain(selected: &[IpAddr], addr: IpAddr, families_used: FamiliesUsed) -> bool {
    !has_two_families(selected) || families_used.has(Family::of(addr))
}

/// Returns the address that an error after TCP is attributed to, which is the head of its family.
///
/// The connector has connected to the head of the list, unless the head had failed before. Either way the head is bad.
///
/// If there are two families, the head of the other one is left alone. If both heads were to count, one broken family
/// would take the other family down too. If the connector passes over the first family, the head of the second family
/// is returned. The connector passes over the first family if the connector was never seen to connect in that family,
/// and has connected in the second.
pub(crate) fn first_candidate(selected: &[IpAddr], families_used: FamiliesUsed) -> Option<IpAddr> {
    let first = Family::of(*selected.first()?);
    let passes_over =
        has_two_families(selected) && families_used.second && !families_used.has(first);
    let family = if passes_over { first.other() } else { first };
    let head = selected.iter().find(|addr| Family::of(**addr) == family);
    head.map(IpAddr::to_canonical)
}

/// Returns the number of lanes in which a connector attempts these addresses, one for each family.
pub(crate) fn lanes(selected: &[IpAddr]) -> usize {
    second_candidate(selected).map_or(1, |_| 2)
}

/// Returns the first address of the second lane, which a connector attempts beside the first lane.
pub(crate) fn second_candidate(selected: &[IpAddr]) -> Option<IpAddr> {
    let first = *selected.first()?;
    selected
        .iter()
        .find(|addr| !is_in_lane(**addr, first))
        .copied()
}

/// Returns whether there are addresses of both families. The two lanes of an IPv4 host are one family.
pub(crate) fn has_two_families(selected: &[IpAddr]) -> bool {
    let mut families = selected.iter().map(|addr| Family::of(addr.to_canonical()));
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
    use crate::addrs::{AddressList, v4, v6};
    use std::net::Ipv4Addr;

    fn mapped(n: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, n).to_ipv6_mapped().into()
    }

    fn lanes(n: u8) -> Vec<IpAddr> {
        let mut selected = AddressList::new();
        (1..=n).for_each(|n| selected.push(v4(n)));
        selected.add_lane(n.into());
        selected.collect()
    }

    const NEW: FamiliesUsed = FamiliesUsed {
        v4: false,
        v6: false,
        second: false,
    };
    const BOTH: FamiliesUsed = FamiliesUsed {
        v4: true,
        v6: true,
        second: true,
    };
    const PASSES_V6_OVER: FamiliesUsed = FamiliesUsed { v6: false, ..BOTH };

    fn lost(selected: &[IpAddr], winner: IpAddr) -> Vec<IpAddr> {
        failed_before_winner(selected, winner).collect()
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

    fn overtook(
        selected: &[IpAddr],
        winner: IpAddr,
        late: bool,
        families_used: FamiliesUsed,
    ) -> Vec<IpAddr> {
        let all = slower_than_winner(selected, winner, late, families_used);
        all.map(|(addr, _)| addr).collect()
    }

    #[test]
    fn a_late_winner_in_the_second_lane_says_that_the_head_was_stuck() {
        let list = lanes(4);
        for families_used in [NEW, BOTH] {
            assert!(overtook(&list, v4(3), true, families_used).is_empty());
            assert_eq!(overtook(&list, mapped(2), true, families_used), [v4(1)]);
            assert!(
                overtook(&list, mapped(1), true, families_used).is_empty(),
                "the winner was never stuck"
            );
            assert!(overtook(&list, mapped(9), true, families_used).is_empty());
            assert_eq!(
                overtook(&[v6(1), v4(1)], v4(1), true, families_used),
                [v6(1)]
            );
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
        assert_eq!(
            every_address(&list).collect::<Vec<_>>(),
            [v4(1), v4(2), v4(3)]
        );
        for families_used in [NEW, BOTH, PASSES_V6_OVER] {
            assert_eq!(first_candidate(&list, families_used), Some(v4(1)));
        }
        assert!(is_certain(&list, v4(1), NEW));
        let families = [v6(1), v4(1)];
        assert!(!is_certain(&families, v6(1), NEW));
        assert!(is_certain(&families, v6(1), BOTH));
        assert_eq!(first_candidate(&families, NEW), Some(v6(1)));
        assert_eq!(first_candidate(&families, BOTH), Some(v6(1)));
        assert_eq!(first_candidate(&families, PASSES_V6_OVER), Some(v4(1)));
        assert_eq!(first_candidate(&[], NEW), None);
    }
}
