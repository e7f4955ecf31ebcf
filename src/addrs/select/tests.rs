//! Tests of the order of attempts, by examples and by properties.

use super::*;
use crate::addrs::{MAX_PER_FAMILY, v4, v6};
use proptest::prelude::*;
use std::net::Ipv6Addr;
use std::time::Duration;

const ALL: SelectParams = SelectParams {
    order: AddressOrder::Shuffle,
    prefer: Family::V6,
    per_family: MAX_ADDRS,
    turn: 0,
};

const FOUR: SelectParams = SelectParams {
    per_family: MAX_PER_FAMILY,
    ..ALL
};

fn selected(addrs: &AddressSet, rank: impl Fn(IpAddr) -> Rank, seed: u64) -> Vec<IpAddr> {
    let mut rng = fastrand::Rng::with_seed(seed);
    selected_so(addrs, Some(&rank), ALL, &mut rng)
}

fn selected_so(
    addrs: &AddressSet,
    ranks: RankFn<'_>,
    how: SelectParams,
    rng: &mut fastrand::Rng,
) -> Vec<IpAddr> {
    let mut out = [v4(0); MAX_ADDRS];
    let selected = select(addrs, ranks, how, rng, &mut out);
    out[..selected].to_vec()
}

/// Families take turns, IPv6 first, whatever order the name server chose.
#[test]
fn families_take_turns_and_ipv6_leads() {
    let addrs = AddressSet::new([v4(1), v4(2), v6(1), v4(3), v6(2)]);
    for seed in 0..100 {
        let families: String = selected(&addrs, |_| Rank::Healthy, seed)
            .iter()
            .map(|a| if a.is_ipv6() { '6' } else { '4' })
            .collect();
        assert_eq!(families, "64644", "seed {seed}");
    }
}

/// The better rank goes first across families, and the first address decides which family a
/// connector prefers.
#[test]
fn a_penalized_family_does_not_lead() {
    let now = crate::time::now();
    let addrs = AddressSet::new([v6(1), v6(2), v4(1), v4(2)]);
    let rank = |addr: IpAddr| match addr {
        IpAddr::V6(_) => Rank::Penalized(now),
        IpAddr::V4(_) => Rank::Healthy,
    };
    for seed in 0..100 {
        assert!(
            selected(&addrs, rank, seed)[..2]
                .iter()
                .all(IpAddr::is_ipv4),
            "seed {seed}"
        );
    }
}

#[test]
fn when_all_are_bad_the_one_whose_penalty_ends_first_leads() {
    let now = crate::time::now();
    let addrs = AddressSet::new([v4(1), v4(2), v6(3), v6(4)]);
    let ends = [(v4(1), 9), (v4(2), 2), (v6(3), 5), (v6(4), 7)];
    let rank = |addr| {
        let (_, secs) = ends
            .iter()
            .find(|(a, _)| *a == addr)
            .expect("each address has an end");
        Rank::Penalized(now + Duration::from_secs(*secs))
    };
    assert_eq!(selected(&addrs, rank, 1), [v4(2), v6(3), v6(4), v4(1)]);
}

/// The test makes 1 000 selections for each possible order, with a fixed seed. chi² stays below its mean plus four
/// deviations.
#[test]
fn every_order_is_as_likely_as_any_other() {
    for len in [2, 3, 4, 5] {
        let (orders, rng) = ((1..=len).product::<u32>(), &mut fastrand::Rng::with_seed(1));
        let addrs = AddressSet::new((1..=len).map(|n| v4(n as u8)));
        let mut seen = std::collections::HashMap::new();
        for _ in 0..1_000 * orders {
            *seen
                .entry(selected_so(&addrs, None, ALL, rng))
                .or_insert(0_u32) += 1;
        }
        assert_eq!(seen.len(), orders as usize, "of {len}");
        let chi2: f64 = seen
            .values()
            .map(|&n| (f64::from(n) - 1e3).powi(2) / 1e3)
            .sum();
        let freedom = f64::from(orders - 1);
        assert!(
            chi2 < freedom + 4.0 * (2.0 * freedom).sqrt(),
            "of {len}: chi² {chi2}"
        );
    }
}

/// Four of ten addresses are selected, and each of the ten goes first equally often: chi² stays under 27.9 (0.1 % for
/// 9 degrees of freedom).
#[test]
fn of_many_each_leads_equally_often() {
    let addrs = AddressSet::new((1..=10).map(v6));
    let mut rng = fastrand::Rng::with_seed(20_261_122);
    let mut leads = std::collections::HashMap::new();
    for _ in 0..100_000 {
        *leads
            .entry(selected_so(&addrs, None, FOUR, &mut rng)[0])
            .or_insert(0_u32) += 1;
    }
    let chi2: f64 = leads
        .values()
        .map(|&n| (f64::from(n) - 1e4).powi(2) / 1e4)
        .sum();
    assert!(leads.len() == 10 && chi2 < 27.9, "chi² {chi2}: {leads:?}");
}

/// Each selection starts with the next address, in one cycle over all addresses.
#[test]
fn in_turn_each_lookup_begins_with_the_next() {
    let addrs = AddressSet::new([v4(1), v4(2), v4(3)]);
    let of_turn = |turn| {
        let how = SelectParams {
            order: AddressOrder::RoundRobin,
            turn,
            ..ALL
        };
        selected_so(&addrs, None, how, &mut fastrand::Rng::with_seed(1))
    };
    assert_eq!(of_turn(0), [v4(1), v4(2), v4(3)]);
    assert_eq!(of_turn(1), [v4(2), v4(3), v4(1)]);
    assert_eq!(of_turn(5), [v4(3), v4(1), v4(2)]);
}

/// Addresses keep the order of the name server, except that penalized addresses go last.
#[test]
fn as_given_nothing_is_moved_but_what_is_bad() {
    let now = crate::time::now();
    let addrs = AddressSet::new([v4(3), v4(1), v4(2)]);
    let how = SelectParams {
        order: AddressOrder::Preserve,
        ..ALL
    };
    let rng = &mut fastrand::Rng::with_seed(1);
    assert_eq!(selected_so(&addrs, None, how, rng), [v4(3), v4(1), v4(2)]);
    let rank = |addr| {
        if addr == v4(3) {
            Rank::Penalized(now)
        } else {
            Rank::Healthy
        }
    };
    assert_eq!(
        selected_so(&addrs, Some(&rank), how, rng),
        [v4(1), v4(2), v4(3)]
    );
}

/// The better class of RFC 6724 goes first, each class is shuffled, and the rank counts before the class.
#[test]
fn a_shuffle_stays_within_a_class() {
    let now = crate::time::now();
    let ula = |n| IpAddr::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n));
    let source = |_: IpAddr| Some(v6(9));
    let addrs = AddressSet::new([ula(1), v6(1), ula(2), v6(2)]).classed(source);
    let mut firsts = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let out = selected_so(&addrs, None, FOUR, &mut fastrand::Rng::with_seed(seed));
        assert!(
            out[2..]
                .iter()
                .all(|&addr| addr == ula(1) || addr == ula(2)),
            "{out:?}"
        );
        firsts.insert(out[0]);
        let rank = |addr| {
            if addr == v6(1) {
                Rank::Penalized(now)
            } else {
                Rank::Healthy
            }
        };
        assert_eq!(selected(&addrs, rank, seed)[3], v6(1), "seed {seed}");
    }
    assert_eq!(firsts.len(), 2, "shuffled inside");
}

/// IPv6 does not go first if it has no route or only a local source address.
#[test]
fn the_family_of_the_best_destination_leads() {
    let leads = |source: fn(IpAddr) -> Option<IpAddr>| {
        AddressSet::new([v6(1), v4(1)]).classed(source).leads()
    };
    assert_eq!(leads(Some), Family::V6);
    assert_eq!(leads(|addr| addr.is_ipv4().then_some(addr)), Family::V4);
    assert_eq!(leads(|_| None), Family::V6, "with neither, as if both");
    let tunnel: fn(IpAddr) -> Option<IpAddr> = |addr| match addr {
        IpAddr::V4(_) => Some(addr),
        IpAddr::V6(_) => Some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2).into()),
    };
    assert_eq!(leads(tunnel), Family::V4, "a unique local source");
}

fn any_addrs() -> impl Strategy<Value = Vec<IpAddr>> {
    prop::collection::vec(
        prop_oneof![(0_u8..40).prop_map(v4), (0_u16..40).prop_map(v6)],
        0..100,
    )
}

proptest! {
    /// The order is a permutation: no address is lost, no address is added, and penalized addresses come last.
    #[test]
    fn order_is_a_permutation(
        list in any_addrs(),
        bad in any_addrs(),
        unroutable in any_addrs(),
        order in prop::sample::select(&[AddressOrder::Shuffle, AddressOrder::RoundRobin, AddressOrder::Preserve]),
        turn: usize,
        seed: u64,
    ) {
        let now = crate::time::now();
        let source = |addr| (!unroutable.contains(&addr)).then_some(addr);
        let addrs = AddressSet::new(list).classed(source);
        let rank = |a| if bad.contains(&a) { Rank::Penalized(now) } else { Rank::Healthy };
        let how = SelectParams { order, turn, ..ALL };
        let mut out = selected_so(&addrs, Some(&rank), how, &mut fastrand::Rng::with_seed(seed));
        prop_assert!(out.is_sorted_by_key(|&a| bad.contains(&a)));
        out.sort();
        let mut all = addrs.as_slice().to_vec();
        all.sort();
        prop_assert_eq!(out, all);
    }

    #[test]
    fn no_connector_is_handed_more_than_four_of_a_family(list in any_addrs(), seed: u64) {
        let addrs = AddressSet::new(list);
        let mut rng = fastrand::Rng::with_seed(seed);
        let selected = selected_so(&addrs, None, FOUR, &mut rng);
        for family in [Family::V4, Family::V6] {
            let handed = selected.iter().filter(|&&a| Family::of(a) == family).count();
            prop_assert_eq!(handed, addrs.family(family).0.len().min(MAX_PER_FAMILY));
        }
    }

    #[test]
    fn an_answer_is_bounded_and_without_duplicates(list in any_addrs()) {
        let addrs = AddressSet::new(list);
        prop_assert!(addrs.as_slice().len() <= MAX_ADDRS);
        for (i, addr) in addrs.as_slice().iter().enumerate() {
            prop_assert!(!addrs.as_slice()[..i].contains(addr));
        }
    }
}
