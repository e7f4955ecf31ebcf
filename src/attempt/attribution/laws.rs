//! Laws of attribution, which hold for any list of addresses and any fate of each attempt.

use std::net::IpAddr;

use proptest::prelude::*;

use super::model::{Connector, End, Fate, Run};
use super::*;
use crate::addrs::{AddressList, v4, v6};

/// A connect of the model, and the families that its connector is known to have used.
#[derive(Clone, Debug)]
struct Case {
    connector: Connector,
    list: Vec<(IpAddr, Fate)>,
    families_used: FamiliesUsed,
}

impl Case {
    fn selected(&self) -> Vec<IpAddr> {
        self.list.iter().map(|(addr, _)| *addr).collect()
    }

    fn run(&self) -> Run {
        self.connector.run(&self.list)
    }

    fn is_plain(&self) -> bool {
        self.connector.bound.is_none() && self.connector.head_start == Some(HEAD_START_MS)
    }

    /// Returns whether only the IPv4-mapped lane is attempted, because the connector is bound to an IPv6 address.
    fn is_mapped_only(&self) -> bool {
        let connector = self.connector;
        connector.bound == Some(Family::V6) && self.list.iter().any(|(addr, _)| is_mapped(*addr))
    }

    fn of(&self, place: usize) -> IpAddr {
        self.list[place].0
    }

    /// Returns the addresses of a lane that had failed by the end.
    fn failed(&self, run: &Run, in_lane: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
        let failed = run.dials.iter().filter(|dial| dial.failed.is_some());
        let addrs = failed.map(|dial| self.of(dial.place));
        let addrs = addrs.filter(|&addr| in_lane(addr));
        addrs.map(|addr| addr.to_canonical()).collect()
    }

    fn dialled(&self, run: &Run, in_lane: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
        let addrs = run.dials.iter().map(|dial| self.of(dial.place));
        let addrs = addrs.filter(|&addr| in_lane(addr));
        addrs.map(|addr| addr.to_canonical()).collect()
    }
}

const HEAD_START_MS: u64 = HEAD_START.as_millis() as u64;

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => (0..3_u64).prop_map(Fate::Fails),
        1 => (0..900_u64).prop_map(Fate::Fails),
        1 => (0..3_u64).prop_map(Fate::RecentConnects),
        1 => (0..900_u64).prop_map(Fate::RecentConnects),
        1 => Just(Fate::Hangs),
    ]
}

fn any_list() -> impl Strategy<Value = Vec<IpAddr>> {
    let in_lanes = (1..=4_u8).prop_map(|n| {
        let mut selected = AddressList::new();
        (1..=n).for_each(|n| selected.push(v4(n)));
        selected.add_lane(n.into());
        selected.collect()
    });
    let families = (0..=4_u8, 0..=4_u8).prop_map(|(four, six)| {
        let six = (1..=six).map(|n| v6(n.into()));
        (1..=four).map(v4).chain(six).collect::<Vec<_>>()
    });
    prop_oneof![in_lanes, families.prop_shuffle()]
}

fn any_connector() -> impl Strategy<Value = Connector> {
    let bound =
        prop_oneof![4 => Just(None), 1 => Just(Some(Family::V4)), 1 => Just(Some(Family::V6))];
    let timeout = prop_oneof![2 => Just(None), 1 => (8..2_000_u64).prop_map(Some)];
    let head_start = prop_oneof![
        6 => Just(Some(HEAD_START_MS)),
        1 => (0..600_u64).prop_map(Some),
        1 => Just(None),
    ];
    (bound, timeout, head_start).prop_map(|(bound, timeout, head_start)| Connector {
        bound,
        timeout,
        head_start,
    })
}

/// Returns any connect. The connector is known to have used only families that the connector attempts.
fn any_case() -> impl Strategy<Value = Case> {
    let fates = prop::collection::vec(any_fate(), 8);
    let parts = (any_connector(), any_list(), fates, any::<[bool; 3]>());
    parts.prop_map(|(connector, addrs, fates, [v4, v6, second])| {
        let (v4, v6) = (
            v4 && connector.dials(Family::V4),
            v6 && connector.dials(Family::V6),
        );
        let second = second && (v4 || v6);
        let list = addrs.into_iter().zip(fates).collect();
        Case {
            connector,
            list,
            families_used: FamiliesUsed { v4, v6, second },
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// For any connector, every address that counts as failed for certain was attempted and has failed. No failed
    /// address of the winner's lane is missed.
    #[test]
    fn a_winner_blames_for_certain_those_who_failed_in_its_lane(case in any_case()) {
        let run = case.run();
        let End::Connected { place, .. } = run.end else { return Ok(()) };
        let winner = case.of(place);
        let blamed: Vec<_> = failed_before_winner(&case.selected(), winner).collect();
        prop_assert_eq!(&blamed, &case.failed(&run, |addr| is_in_lane(addr, winner)));
        prop_assert!(!blamed.contains(&winner.to_canonical()));
    }

    /// An overtaken address was attempted, and was pending or had failed. If the second lane won before its start was
    /// due, no failed address of the first lane is missed.
    #[test]
    fn whom_the_second_lane_overtook_was_dialled_in_the_first(case in any_case()) {
        let run = case.run();
        let End::Connected { place, at } = run.end else { return Ok(()) };
        let (winner, selected) = (case.of(place), case.selected());
        let late = at >= HEAD_START_MS;
        let soft: Vec<_> = slower_than_winner(&selected, winner, late, case.families_used).collect();
        let first = |addr| !is_in_lane(addr, winner);
        for (addr, why) in &soft {
            prop_assert_ne!(*addr, winner.to_canonical());
            let has_failed = case.failed(&run, first).contains(addr);
            let was_dialled = case.dialled(&run, first).contains(addr);
            prop_assert!(was_dialled || !case.is_plain(), "{:?}", run);
            prop_assert!(has_failed || *why == Outcome::Slow || !case.is_plain(), "{:?}", run);
        }
        if case.is_plain() && !late && case.families_used.v4 && case.families_used.v6 {
            for addr in case.failed(&run, first) {
                let is_told = soft.contains(&(addr, Outcome::Failed));
                prop_assert!(is_told || addr == winner.to_canonical());
            }
        }
    }

    /// If a connector that is bound to one family connects in time, every overtaken address was attempted.
    #[test]
    fn a_bound_connector_in_time_blames_nobody_of_the_other_family(case in any_case()) {
        let run = case.run();
        let End::Connected { place, at } = run.end else { return Ok(()) };
        let is_bound = case.connector.bound.is_some() && case.connector.head_start.is_some();
        if is_bound && at < HEAD_START_MS && !case.is_mapped_only() {
            let winner = case.of(place);
            let soft: Vec<_> = slower_than_winner(&case.selected(), winner, false, case.families_used).collect();
            let dialled = case.dialled(&run, |_| true);
            prop_assert!(soft.iter().all(|(addr, _)| dialled.contains(addr)), "{soft:?}");
        }
    }

    /// A TCP error counts against all addresses that failed, and counts for certain only against them.
    #[test]
    fn a_tcp_error_blames_all_and_for_certain_those_who_failed(case in any_case()) {
        let run = case.run();
        // If no address was attempted, hyper-util's error counts against none.
        if run.end != End::Failed || run.dials.is_empty() { return Ok(()) }
        let (selected, failed) = (case.selected(), case.failed(&run, |_| true));
        for addr in every_address(&selected) {
            let certain = is_certain(&selected, addr, case.families_used);
            prop_assert!(!certain || failed.contains(&addr), "{addr}");
            prop_assert!(failed.contains(&addr) || case.connector.bound.is_some(), "{addr}");
        }
        prop_assert!(failed.iter().all(|failed| every_address(&selected).any(|addr| addr == *failed)));
    }

    /// The address that an error after TCP or a hanging connect counts against was attempted.
    ///
    /// A bound connector may break this law until the connector is known to have passed a family over. Until then the
    /// strike is soft.
    #[test]
    fn after_tcp_the_head_is_blamed_and_was_dialled(case in any_case()) {
        let (run, selected) = (case.run(), case.selected());
        if run.end == End::Failed || case.is_mapped_only() { return Ok(()) }
        let head = first_candidate(&selected, case.families_used);
        let was_dialled = head.is_some_and(|head| case.dialled(&run, |_| true).contains(&head));
        let is_bound = case.connector.bound.is_some() && case.connector.head_start.is_some();
        let may_err = has_two_families(&selected) && is_bound != case.families_used.second;
        prop_assert!(was_dialled || may_err, "{:?}", run);
    }
}
