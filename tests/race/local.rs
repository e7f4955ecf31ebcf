//! Faults of this machine, and callers that leave: nothing is held against an address for them.

use sidestep::{AddressState, Outcome};

use crate::common::Seen;
use crate::faults::{self, Fault};
use crate::script::S;
use crate::stage::{End, MS, Stage, connects, fails, hangs, refuses, v4, v6};

const FAULTS: [(&str, Fault); 3] = [
    ("EMFILE", faults::out_of_files),
    ("EACCES", faults::forbidden),
    ("EADDRINUSE", faults::cannot_bind),
];

fn nobody_is_blamed(stage: &Stage, case: &str) {
    assert_eq!(stage.journal.failures(), [], "{case}");
    let snapshot = stage.resolver.snapshot();
    assert_eq!((snapshot.invalidations, stage.asked()), (0, 1), "{case}");
}

/// No other address would fare better: the error is returned.
#[tokio::test(start_paused = true)]
async fn a_fault_of_this_machine_is_returned_at_once() {
    for (case, fault) in FAULTS {
        let stage = Stage::new([(v4(2), fails(5, fault)), (v4(3), connects(1))]);
        let (error, at) = stage.failed().await;
        assert_eq!(
            Outcome::from_error(&*error),
            Outcome::LocalError,
            "{case}: {error:?}"
        );
        assert_eq!((stage.starts(), at), (vec![(v4(2), 0)], 5), "{case}");
        nobody_is_blamed(&stage, case);
    }
}

/// What is in the air is waited for, and nothing more is started.
#[tokio::test(start_paused = true)]
async fn beside_one_that_is_still_at_it_a_local_fault_starts_no_more() {
    for (case, fault) in FAULTS {
        let stage = Stage::new([
            (v4(2), connects(900)),
            (v4(3), fails(5, fault)),
            (v4(4), connects(1)),
        ]);
        assert_eq!(stage.connected().await, (v4(2), 900), "{case}");
        assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 250)], "{case}");
        nobody_is_blamed(&stage, case);
    }
}

/// The same, and the one in the air fails: the fault is what the caller can do something about.
#[tokio::test(start_paused = true)]
async fn when_what_was_in_the_air_has_failed_the_local_fault_is_returned() {
    let stage = Stage::new([
        (v4(2), refuses(900)),
        (v4(3), fails(5, faults::out_of_files)),
        (v4(4), connects(1)),
    ]);
    let (error, at) = stage.failed().await;
    assert_eq!(at, 900);
    assert_eq!(
        Outcome::from_error(&*error),
        Outcome::LocalError,
        "{error:?}"
    );
    assert_eq!(stage.starts().len(), 2);
    assert_eq!(stage.journal.failures(), [(v4(2), Outcome::Refused)]);
}

/// A storm of them evicts nothing and asks nobody.
#[tokio::test(start_paused = true)]
async fn a_storm_of_local_faults_evicts_nothing() {
    let fault = fails(1, faults::out_of_files);
    let stage = Stage::new([(v4(2), fault), (v4(3), fault)]);
    for _ in 0..50 {
        stage.failed().await;
    }
    nobody_is_blamed(&stage, "a storm");
    stage.turns(v4(2), connects(1));
    stage.again();
    assert_eq!(stage.connected().await, (v4(2), 1));
}

/// Of a family that has no route no address is to blame, and the other family is dialled at once.
#[tokio::test(start_paused = true)]
async fn without_a_route_for_one_family_the_other_is_dialled_at_once() {
    let stage = Stage::new([
        (v6(1), fails(0, faults::no_route)),
        (v4(2), connects(10)),
        (v6(2), fails(0, faults::no_route)),
    ]);
    assert_eq!(stage.connected().await, (v4(2), 10));
    assert_eq!(stage.journal.count(|seen| *seen == Seen::NoRoute), 1);
    nobody_is_blamed(&stage, "no route");
    stage.again();
    assert_eq!(stage.connected().await, (v4(2), 10));
    assert_eq!(stage.starts(), [(v4(2), 0)], "it goes second for a while");
}

/// A caller that leaves soon says nothing; every dial ends with it.
#[tokio::test(start_paused = true)]
async fn a_race_that_is_dropped_soon_cancels_all_and_says_nothing() {
    for after in [10, 260] {
        let stage = Stage::new([2, 3, 4, 5].map(|last| (v4(last), hangs())));
        let race = tokio::time::timeout(after * MS, stage.connect()).await;
        assert!(race.is_err());
        let begun = stage.dials();
        assert_eq!(begun.len(), if after == 10 { 1 } else { 2 });
        for dial in begun {
            assert_eq!(dial.ended, Some((u64::from(after), End::Cancelled)));
        }
        assert_eq!(stage.open(), 0);
        nobody_is_blamed(&stage, "dropped soon");
        tokio::time::sleep(60 * S).await;
        assert!(stage.dials().len() <= 2, "and no more are begun");
    }
}

/// One that leaves after three seconds has seen who hangs.
#[tokio::test(start_paused = true)]
async fn a_race_that_is_dropped_late_has_seen_who_hangs() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), hangs())]);
    let race = tokio::time::timeout(3 * S, stage.connect()).await;
    assert!(race.is_err());
    assert_eq!(stage.pending(), 0);
    let both = [2, 3].map(|last| (v4(last), Outcome::Slow));
    assert_eq!(stage.journal.failures(), both);
    for last in [2, 3] {
        assert_eq!(stage.standing(v4(last)), AddressState::Probation);
    }
}

/// A timeout of the client as long as the watch ends a moment before it: who was pending for nine
/// tenths of it counts.
#[tokio::test(start_paused = true)]
async fn a_race_that_is_dropped_just_before_its_time_has_seen_who_hangs() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), hangs())]);
    let race = tokio::time::timeout(280 * MS, stage.connect()).await;
    assert!(race.is_err());
    assert_eq!(stage.journal.failures(), [(v4(2), Outcome::Slow)]);
}
