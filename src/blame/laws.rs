//! Laws that whom we blame keeps, whatever is dealt and whatever becomes of each dial.

use std::net::IpAddr;

use proptest::prelude::*;

use super::model::{Connector, End, Fate, Run};
use super::*;
use crate::order::{Dealt, v4, v6};

/// A connect as it went, and what a layer knows of it.
#[derive(Clone, Debug)]
struct Case {
    connector: Connector,
    list: Vec<(IpAddr, Fate)>,
    reach: Reach,
}

impl Case {
    fn dealt(&self) -> Vec<IpAddr> {
        self.list.iter().map(|(addr, _)| *addr).collect()
    }

    fn run(&self) -> Run {
        self.connector.run(&self.list)
    }

    fn is_plain(&self) -> bool {
        self.connector.bound.is_none() && self.connector.head_start == Some(HEAD_START_MS)
    }

    /// Where the lanes are dialled but the first: to IPv4 hosts from a bound IPv6 address.
    fn is_mapped_only(&self) -> bool {
        let connector = self.connector;
        connector.bound == Some(Family::V6) && self.list.iter().any(|(addr, _)| is_mapped(*addr))
    }

    fn of(&self, place: usize) -> IpAddr {
        self.list[place].0
    }

    /// What had failed by the end, in a lane.
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
        1 => (0..3_u64).prop_map(Fate::Connects),
        1 => (0..900_u64).prop_map(Fate::Connects),
        1 => Just(Fate::Hangs),
    ]
}

fn any_list() -> impl Strategy<Value = Vec<IpAddr>> {
    let in_lanes = (1..=4_u8).prop_map(|n| {
        let mut dealt = Dealt::new();
        (1..=n).for_each(|n| dealt.push(v4(n)));
        dealt.add_lane(n.into());
        dealt.collect()
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

/// A connector is only seen to reach what it dials.
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
            reach: Reach { v4, v6, second },
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// However the connector is set up: whoever is blamed for certain was dialled and has failed,
    /// and in the winner's lane nobody who has failed is missed.
    #[test]
    fn a_winner_blames_for_certain_those_who_failed_in_its_lane(case in any_case()) {
        let run = case.run();
        let End::Connected { place, .. } = run.end else { return Ok(()) };
        let winner = case.of(place);
        let blamed: Vec<_> = losers(&case.dealt(), winner).collect();
        prop_assert_eq!(&blamed, &case.failed(&run, |addr| is_in_lane(addr, winner)));
        prop_assert!(!blamed.contains(&winner.to_canonical()));
    }

    /// Who was overtaken has been dialled and was pending or failed, and when the second lane won
    /// ahead of its time, nobody of the first is missed.
    #[test]
    fn whom_the_second_lane_overtook_was_dialled_in_the_first(case in any_case()) {
        let run = case.run();
        let End::Connected { place, at } = run.end else { return Ok(()) };
        let (winner, dealt) = (case.of(place), case.dealt());
        let late = at >= HEAD_START_MS;
        let soft: Vec<_> = overtaken(&dealt, winner, late, case.reach).collect();
        let first = |addr| !is_in_lane(addr, winner);
        for (addr, why) in &soft {
            prop_assert_ne!(*addr, winner.to_canonical());
            let has_failed = case.failed(&run, first).contains(addr);
            let was_dialled = case.dialled(&run, first).contains(addr);
            prop_assert!(was_dialled || !case.is_plain(), "{:?}", run);
            prop_assert!(has_failed || *why == Outcome::Stalled || !case.is_plain(), "{:?}", run);
        }
        if case.is_plain() && !late && case.reach.v4 && case.reach.v6 {
            for addr in case.failed(&run, first) {
                let is_told = soft.contains(&(addr, Outcome::Failed));
                prop_assert!(is_told || addr == winner.to_canonical());
            }
        }
    }

    /// A connector that is bound to one family never blames the other, unless it was slow.
    #[test]
    fn a_bound_connector_in_time_blames_nobody_of_the_other_family(case in any_case()) {
        let run = case.run();
        let End::Connected { place, at } = run.end else { return Ok(()) };
        let is_bound = case.connector.bound.is_some() && case.connector.head_start.is_some();
        if is_bound && at < HEAD_START_MS && !case.is_mapped_only() {
            let winner = case.of(place);
            let soft: Vec<_> = overtaken(&case.dealt(), winner, false, case.reach).collect();
            let dialled = case.dialled(&run, |_| true);
            prop_assert!(soft.iter().all(|(addr, _)| dialled.contains(addr)), "{soft:?}");
        }
    }

    /// An error in TCP: all who failed are blamed, and for certain only they.
    #[test]
    fn a_tcp_error_blames_all_and_for_certain_those_who_failed(case in any_case()) {
        let run = case.run();
        // Nobody was dialled: hyper-util's error blames nobody.
        if run.end != End::Failed || run.dials.is_empty() { return Ok(()) }
        let (dealt, failed) = (case.dealt(), case.failed(&run, |_| true));
        for addr in all(&dealt) {
            let certain = is_certain(&dealt, addr, case.reach);
            prop_assert!(!certain || failed.contains(&addr), "{addr}");
            prop_assert!(failed.contains(&addr) || case.connector.bound.is_some(), "{addr}");
        }
        prop_assert!(failed.iter().all(|failed| all(&dealt).any(|addr| addr == *failed)));
    }

    /// An error after TCP, and a connect that hangs: the head was dialled. One that is bound is known
    /// by that once it has passed a family over; until then its head is not blamed for certain.
    #[test]
    fn after_tcp_the_head_is_blamed_and_was_dialled(case in any_case()) {
        let (run, dealt) = (case.run(), case.dealt());
        if run.end == End::Failed || case.is_mapped_only() { return Ok(()) }
        let head = head(&dealt, case.reach);
        let was_dialled = head.is_some_and(|head| case.dialled(&run, |_| true).contains(&head));
        let is_bound = case.connector.bound.is_some() && case.connector.head_start.is_some();
        let may_err = has_two_families(&dealt) && is_bound != case.reach.second;
        prop_assert!(was_dialled || may_err, "{:?}", run);
    }
}
