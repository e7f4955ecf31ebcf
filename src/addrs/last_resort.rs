//! Places the last resort of a connect behind the current addresses.

use std::net::IpAddr;

use super::{AddressList, Family, MAX_PER_FAMILY};

/// Adds the last resort `left`, sorted with its best address first, to the addresses of a whole answer.
///
/// | if | order of attempts |
/// |---|---|
/// | a current address does not go last | the current addresses that do not go last, the last resort, the other current addresses |
/// | all current addresses go last, and the best address of the last resort does not | that address, the current addresses, the rest of the last resort |
/// | all of these go last | the current addresses, the last resort |
///
/// `goes_last` returns true for an address that has just failed, because the request of that connect may now be
/// retried, and for an address that hangs.
///
/// hyper-util starts the lane of the first family at once and the other lane 300 ms later. If a current address goes
/// first, an address of the last resort therefore joins the only lane, or the second lane if the first lane has a
/// single current address. If an address of the last resort goes first, the second lane starts with a current address.
///
/// Returns how many addresses the IPv4-mapped fallback rotates; see [`AddressList::add_lane`].
pub(crate) fn add_last_resort(
    selected: &mut AddressList,
    left: &[IpAddr],
    goes_last: impl Fn(IpAddr) -> bool,
) -> usize {
    let all = std::mem::replace(selected, AddressList::new());
    let (last, current): (Vec<IpAddr>, Vec<IpAddr>) =
        all.as_slice().iter().partition(|addr| goes_last(**addr));
    let leader = last_resort_leader(all.as_slice(), left, goes_last);
    let (before, after) = match current.is_empty() {
        true => (last, Vec::new()),
        false => (current, last),
    };
    let mut push = |addr: IpAddr, kept_free: &[IpAddr]| {
        let is_like = |other: &&IpAddr| Family::of(**other) == Family::of(addr);
        let used = selected.as_slice().iter().chain(kept_free).filter(is_like);
        if used.count() < MAX_PER_FAMILY {
            selected.push(addr);
        }
    };
    let first = leader.iter().chain(&before);
    first.for_each(|&addr| push(addr, &[]));
    for &addr in &left[usize::from(leader.is_some())..] {
        if leader.is_some() || comes_last(addr, &before) {
            push(addr, &after);
        }
    }
    after.iter().for_each(|&addr| push(addr, &[]));
    leader.map_or(before.len(), |_| 2)
}

/// Returns the address of the last resort that goes before all current addresses, if there is one.
pub(crate) fn last_resort_leader(
    current: &[IpAddr],
    left: &[IpAddr],
    goes_last: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let first = left.first().filter(|addr| !goes_last(**addr))?;
    current
        .iter()
        .all(|addr| goes_last(*addr))
        .then_some(*first)
}

/// Returns whether a connector attempts an address that is placed behind `current` only after all of `current`.
fn comes_last(addr: IpAddr, current: &[IpAddr]) -> bool {
    let Some(first) = current.first().map(|&first| Family::of(first)) else {
        return true;
    };
    let in_first = current.iter().filter(|addr| Family::of(**addr) == first);
    match in_first.count() {
        all if all == current.len() => Family::of(addr) == first,
        1 => Family::of(addr) != first,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addrs::{v4, v6};

    fn selected(current: &[IpAddr], left: &[IpAddr], failed: &[IpAddr]) -> (Vec<IpAddr>, usize) {
        let mut selected = AddressList::new();
        current.iter().for_each(|&addr| selected.push(addr));
        let turned = add_last_resort(&mut selected, left, |addr| failed.contains(&addr));
        (selected.collect(), turned)
    }

    #[test]
    fn an_address_that_left_goes_behind_the_current_ones_in_both_lanes() {
        let (addrs, turned) = selected(&[v4(1), v4(2)], &[v4(9)], &[]);
        assert_eq!((&*addrs, turned), (&[v4(1), v4(2), v4(9)][..], 2));
        let mut lanes = AddressList::new();
        addrs.iter().for_each(|&addr| lanes.push(addr));
        lanes.add_lane(turned);
        let second: Vec<_> = lanes.as_slice()[3..]
            .iter()
            .map(IpAddr::to_canonical)
            .collect();
        assert_eq!(second, [v4(2), v4(1), v4(9)]);
        let (addrs, turned) = selected(&[v4(1)], &[v4(9)], &[]);
        assert_eq!(
            (&*addrs, turned),
            (&[v4(1), v4(9)][..], 1),
            "no second lane"
        );
    }

    #[test]
    fn current_addresses_that_have_just_failed_or_hang_go_last() {
        let current = [v4(1), v4(2)];
        assert_eq!(
            selected(&current, &[v4(9)], &[v4(1)]).0,
            [v4(2), v4(9), v4(1)]
        );
        let (addrs, turned) = selected(&current, &[v4(9)], &current);
        assert_eq!((&*addrs, turned), (&[v4(9), v4(1), v4(2)][..], 2));
    }

    /// A slow current address is attempted after one address of the last resort, and not after all of them.
    #[test]
    fn the_second_lane_begins_with_a_current_address_behind_one_that_left() {
        let left = [v4(7), v4(8), v4(9)];
        let (addrs, turned) = selected(&[v4(1)], &left, &[v4(1)]);
        assert_eq!(addrs, [v4(7), v4(1), v4(8), v4(9)]);
        let mut lanes = AddressList::new();
        addrs.iter().for_each(|&addr| lanes.push(addr));
        lanes.add_lane(turned);
        assert_eq!(lanes.as_slice()[4].to_canonical(), v4(1));
    }

    #[test]
    fn an_address_that_left_and_hangs_goes_behind_the_current_ones() {
        let (addrs, _) = selected(&[v4(1)], &[v4(9)], &[v4(1), v4(9)]);
        assert_eq!(addrs, [v4(1), v4(9)]);
    }

    /// The lane of one family may end before the lane of the other family starts.
    #[test]
    fn of_two_families_only_the_second_may_end_in_an_address_that_left() {
        let left = [v4(9), v6(9)];
        assert_eq!(
            selected(&[v6(1), v4(1)], &left, &[]).0,
            [v6(1), v4(1), v4(9)]
        );
        let many = [v6(1), v4(1), v6(2)];
        assert_eq!(selected(&many, &left, &[]).0, many);
        assert_eq!(selected(&[v6(1)], &left, &[]).0, [v6(1), v6(9)]);
        let all = [v6(1), v4(1)];
        assert_eq!(selected(&all, &left, &all).0, [v4(9), v6(1), v4(1), v6(9)]);
    }

    #[test]
    fn a_connect_is_given_four_addresses_of_a_family_at_most() {
        let current = [v4(1), v4(2), v4(3)];
        let (addrs, _) = selected(&current, &[v4(8), v4(9)], &[]);
        assert_eq!(addrs, [v4(1), v4(2), v4(3), v4(8)]);
        let left = [v4(8), v4(9)];
        assert_eq!(
            selected(&current, &left, &current).0,
            [v4(8), v4(1), v4(2), v4(3)]
        );
        let full = [v4(1), v4(2), v4(3), v4(4)];
        assert_eq!(selected(&full, &left, &[]).0, full);
        let all_failed = selected(&full, &left, &full).0;
        assert_eq!(
            all_failed,
            [v4(8), v4(1), v4(2), v4(3)],
            "one takes a place"
        );
    }
}
