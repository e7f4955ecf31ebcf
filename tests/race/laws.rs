//! Properties of every race, over any addresses and several connects in a row.

use std::collections::HashSet;
use std::net::IpAddr;

use proptest::prelude::*;
use sidestep::Outcome;
use testkit::script::S;

use crate::faults;
use crate::stage::{
    End, Fate, Stage, Step, attempts, connects, fails, hangs, in_tls, refuses, v4, v6,
};

/// What an address does, and whether a connect to it succeeds.
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

/// What each address does in each of several connects.
fn any_rounds() -> impl Strategy<Value = Vec<Vec<(Fate, bool)>>> {
    (1_usize..10).prop_flat_map(|addrs| {
        let round = prop::collection::vec(any_fate(), addrs);
        prop::collection::vec(round, 1..5)
    })
}

fn addr(place: usize) -> IpAddr {
    let last = u8::try_from(2 + place).expect("there are few");
    match place % 3 {
        2 => v6(last.into()),
        _ => v4(last),
    }
}

/// Runs one connect, checks its properties, and returns whether it succeeded.
async fn check_connect(stage: &Stage) -> bool {
    stage.again();
    let connected = stage.connect().await.map(drop);
    let (started, at) = (stage.dials(), stage.now());
    assert_eq!(
        started[0].begun, 0,
        "the first attempt begins at once: {started:?}"
    );
    let addrs: HashSet<IpAddr> = started.iter().map(|attempt| attempt.addr).collect();
    assert_eq!(
        addrs.len(),
        started.len(),
        "each address is attempted once at most: {started:?}"
    );
    assert!(started.len() <= 16, "{started:?}");
    assert!(at <= 30_000, "the race ends in time: {at}");
    assert_eq!(
        stage.pending(),
        0,
        "no attempt is left pending: {started:?}"
    );
    let is_connected = |end| matches!(end, Some((_, End::Connected)));
    let connections = started
        .iter()
        .filter(|attempt| is_connected(attempt.ended))
        .count();
    assert_eq!(
        connections,
        usize::from(connected.is_ok()),
        "a race that succeeds makes one connection: {started:?}"
    );
    // A fresh answer without the pending addresses starts one attempt at once. That happens at most twice.
    let mut fresh_answers = 2;
    for (earlier, later) in started.iter().zip(&started[1..]) {
        let gap = later.begun - earlier.begun;
        let mut ends = started.iter().filter_map(|attempt| attempt.ended);
        let failed = |(end, _): (u64, End)| end == later.begun;
        let is_due = gap >= 250 || ends.any(failed) || {
            fresh_answers -= 1;
            fresh_answers >= 0
        };
        assert!(
            is_due,
            "attempts begin a delay apart or at the end of another: {started:?}"
        );
    }
    if let Err(error) = &connected {
        let results = attempts(error);
        let is_listed = |addr: &IpAddr| results.iter().any(|(other, _)| other == addr);
        assert!(
            addrs.iter().all(is_listed),
            "the error lists each attempt: {error}"
        );
        assert!(
            results
                .iter()
                .all(|(_, outcome)| *outcome != Some(Outcome::Unknown))
        );
    }
    assert_eq!(stage.open(), 0);
    connected.is_ok()
}

fn run(race: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(race);
}

fn stage(round: &[(Fate, bool)]) -> Stage {
    let each = round.iter().enumerate();
    let cast: Vec<_> = each
        .map(|(place, (fate, _))| (addr(place), *fate))
        .collect();
    Stage::of(&cast, |builder| builder)
}

fn set_fates(stage: &Stage, round: &[(Fate, bool)]) {
    for (place, (fate, _)) in round.iter().enumerate() {
        stage.turns(addr(place), *fate);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_race_connects_if_any_address_connects(rounds in any_rounds(), reports_tcp in any::<bool>()) {
        run(async {
            let stage = stage(&rounds[0]);
            let stage = if reports_tcp { stage.telling_of_tcp() } else { stage };
            for round in &rounds {
                set_fates(&stage, round);
                let can_connect = round.iter().any(|(_, connects)| *connects);
                assert_eq!(check_connect(&stage).await, can_connect, "{:?}", stage.dials());
                tokio::time::sleep(3 * S).await;
            }
        });
    }

    /// In each round the answer has some of the addresses, and the cached answer is that of the round before.
    #[test]
    fn a_race_connects_if_any_address_of_a_fresh_answer_connects(
        rounds in any_rounds(),
        listed in prop::collection::vec(prop::collection::vec(any::<bool>(), 10), 5),
    ) {
        run(async {
            let stage = stage(&rounds[0]);
            let mut cached = rounds[0].len();
            for (round, listed) in rounds.iter().zip(&listed) {
                set_fates(&stage, round);
                let listed: Vec<usize> = (0..round.len()).filter(|&place| listed[place] || place == 0).collect();
                let addrs: Vec<_> = listed.iter().map(|&place| addr(place)).collect();
                stage.says(&addrs);
                let can_connect = listed.iter().any(|&place| round[place].1);
                let connected = check_connect(&stage).await;
                let attempts = stage.dials().len();
                // The limit is twice the number of addresses of the first answer, whatever the next answer has.
                let is_used_up = attempts == 2 * cached || attempts == 2 * listed.len();
                assert!(connected || !can_connect || is_used_up, "{:?}", stage.dials());
                cached = listed.len();
                // This is shorter than the lifetime of the answer, and longer than any interval between two lookups.
                tokio::time::sleep(40 * S).await;
            }
        });
    }
}
