//! Rule: which addresses a connector has dialled, told from where it ended.
//!
//! hyper-util 0.1.21 splits the list by family (the family of the first address is preferred),
//! is strictly serial inside a family, and starts the other family 300 ms later, or as soon as
//! the preferred one has failed to its end.

use std::net::IpAddr;
use std::time::Duration;

use crate::order::Family;

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

/// Returns the address that kept the first lane waiting until the second won.
///
/// The second lane is dialled when the head of the list has not answered for so long that it lost
/// its start, or when the whole first lane has failed. `late` tells which: of two true families
/// only a late winner says so, because a connector bound to a local address dials one family and
/// never the other.
pub(crate) fn stuck(dealt: &[IpAddr], winner: IpAddr, late: bool) -> Option<IpAddr> {
    let head = *dealt.first().filter(|_| dealt.contains(&winner))?;
    let second_lane_won = !is_in_lane(head, winner) && (late || is_mapped(winner));
    (second_lane_won && head != winner.to_canonical()).then(|| head.to_canonical())
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

/// Returns the addresses that an error after TCP may be about: the head of each family. The
/// connector had settled on one address, and in a family it settles on the head, unless that had
/// failed before; either way the head is bad. Of two heads one may be innocent.
pub(crate) fn heads(dealt: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    let of = |family| all(dealt).find(move |&addr| Family::of(addr) == family);
    [Family::V6, Family::V4].into_iter().filter_map(of)
}

fn is_mapped(addr: IpAddr) -> bool {
    addr != addr.to_canonical()
}

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
        dealt.add_lane();
        dealt.collect()
    }

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

    #[test]
    fn when_the_second_lane_wins_the_head_of_the_first_was_stuck() {
        let list = lanes(4);
        assert_eq!(stuck(&list, v4(3), true), None);
        assert_eq!(stuck(&list, mapped(2), false), Some(v4(1)));
        assert_eq!(
            stuck(&list, mapped(1), true),
            None,
            "the winner was never stuck"
        );
        assert_eq!(stuck(&list, mapped(9), true), None, "it was not dealt");
        let families = [v6(1), v4(1)];
        assert_eq!(stuck(&families, v4(1), true), Some(v6(1)));
        assert_eq!(
            stuck(&families, v4(1), false),
            None,
            "IPv6 may never have been dialled"
        );
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
        assert_eq!(heads(&list).collect::<Vec<_>>(), [v4(1)]);
        let families = [v6(1), v4(1), v6(2), v4(2)];
        assert_eq!(heads(&families).collect::<Vec<_>>(), [v6(1), v4(1)]);
        assert_eq!(heads(&[]).count(), 0);
    }
}
