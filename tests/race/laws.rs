//! What holds of any race, over any addresses and one connect after another.

use std::collections::HashSet;
use std::net::IpAddr;

use proptest::prelude::*;
use sidestep::Outcome;

use crate::faults;
use crate::script::S;
use crate::stage::{
    End, Fate, Stage, Step, attempts, connects, fails, hangs, in_tls, refuses, v4, v6,
};

/// What an address does, and whether it can be connected to.
fn any_fate() -> impl Strategy<Value = (Fate, bool)> {
    let broken = |after| in_tls(after, Step::Fails(after, faults::cut_in_tls));
    prop_oneof![
        (0_u64..900).prop_map(|after| (connects(after), true)),
        (0_u64..400, 0_u64..400).prop_map(|(tcp, tls)| (in_tls(tcp, Step::Up(tls)), true)),
        (0_u64..2_000).prop_map(|after| (refuses(after), false)),
        (0_u64..2_000).prop_map(|after| (fails(after, faults::unreachable), false)),
        (0_u64..500).prop_map(move |after| (broken(after), false)),
        (0_u64..500).prop_map(|after| (in_tls(after, Step::Hangs), false)),
        Just((hangs(), false)),
    ]
}

/// What every address does at each of several connects.
fn any_days() -> impl Strategy<Value = Vec<Vec<(Fate, bool)>>> {
    (1_usize..10).prop_flat_map(|addrs| {
        let day = prop::collection::vec(any_fate(), addrs);
        prop::collection::vec(day, 1..5)
    })
}

fn addr(place: usize) -> IpAddr {
    let last = u8::try_from(2 + place).expect("there are few");
    match place % 3 {
        2 => v6(last.into()),
        _ => v4(last),
    }
}

/// One connect, and what holds of it.
async fn holds(stage: &Stage) -> bool {
    stage.again();
    let connected = stage.connect().await.map(drop);
    let (dials, at) = (stage.dials(), stage.now());
    assert_eq!(dials[0].begun, 0, "nobody waits to begin: {dials:?}");
    let each: HashSet<IpAddr> = dials.iter().map(|dial| dial.addr).collect();
    assert_eq!(each.len(), dials.len(), "each once at most: {dials:?}");
    assert!(dials.len() <= 16, "{dials:?}");
    assert!(at <= 30_000, "it ends: {at}");
    assert_eq!(stage.pending(), 0, "nothing goes on: {dials:?}");
    let is_up = |end| matches!(end, Some((_, End::Connected)));
    let up = dials.iter().filter(|dial| is_up(dial.ended)).count();
    assert_eq!(up, usize::from(connected.is_ok()), "one is made: {dials:?}");
    // A fresh answer that has none of the pending addresses starts one attempt at once: twice at most.
    let mut fresh_answers = 2;
    for (earlier, later) in dials.iter().zip(&dials[1..]) {
        let gap = later.begun - earlier.begun;
        let mut ends = dials.iter().filter_map(|dial| dial.ended);
        let failed = |(end, _): (u64, End)| end == later.begun;
        let is_due = gap >= 250 || ends.any(failed) || {
            fresh_answers -= 1;
            fresh_answers >= 0
        };
        assert!(is_due, "a delay apart, or at an end: {dials:?}");
    }
    if let Err(error) = &connected {
        let told = attempts(error);
        let is_told = |addr: &IpAddr| told.iter().any(|(other, _)| other == addr);
        assert!(each.iter().all(is_told), "each is told: {error}");
        assert!(told.iter().all(|(_, why)| *why != Some(Outcome::Unknown)));
    }
    assert_eq!(stage.open(), 0);
    connected.is_ok()
}

fn run(race: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(race);
}

fn stage(day: &[(Fate, bool)]) -> Stage {
    let each = day.iter().enumerate();
    let cast: Vec<_> = each
        .map(|(place, (fate, _))| (addr(place), *fate))
        .collect();
    Stage::of(&cast, |builder| builder)
}

fn turn(stage: &Stage, day: &[(Fate, bool)]) {
    for (place, (fate, _)) in day.iter().enumerate() {
        stage.turns(addr(place), *fate);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_the_addresses_do_a_live_one_is_found(days in any_days(), tells in any::<bool>()) {
        run(async {
            let stage = stage(&days[0]);
            let stage = if tells { stage.telling_of_tcp() } else { stage };
            for day in &days {
                turn(&stage, day);
                let lives = day.iter().any(|(_, lives)| *lives);
                assert_eq!(holds(&stage).await, lives, "{:?}", stage.dials());
                tokio::time::sleep(3 * S).await;
            }
        });
    }

    /// Each day the name server names some of them, and what is known is a day old.
    #[test]
    fn wherever_the_name_has_moved_a_live_one_is_found(
        days in any_days(),
        named in prop::collection::vec(prop::collection::vec(any::<bool>(), 10), 5),
    ) {
        run(async {
            let stage = stage(&days[0]);
            let mut known = days[0].len();
            for (day, named) in days.iter().zip(&named) {
                turn(&stage, day);
                let named: Vec<usize> = (0..day.len()).filter(|&place| named[place] || place == 0).collect();
                let addrs: Vec<_> = named.iter().map(|&place| addr(place)).collect();
                stage.says(&addrs);
                let lives = named.iter().any(|&place| day[place].1);
                let connected = holds(&stage).await;
                let attempts = stage.dials().len();
                // Twice the addresses of the first answer, whatever the next one names.
                let is_used_up = attempts == 2 * known || attempts == 2 * named.len();
                assert!(connected || !lives || is_used_up, "{:?}", stage.dials());
                known = named.len();
                // Shorter than the answer's life, and longer than any pause between two lookups.
                tokio::time::sleep(40 * S).await;
            }
        });
    }
}
