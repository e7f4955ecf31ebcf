//! Local faults and races that are dropped soon, which are no failure of an address.

use sidestep::{AddressState, Outcome};
use testkit::Seen;
use testkit::script::S;

use crate::faults::{self, Fault};
use crate::stage::{End, MS, Stage, connects, fails, hangs, refuses, v4, v6};

const FAULTS: [(&str, Fault); 3] = [
    ("EMFILE", faults::out_of_files),
    ("EACCES", faults::forbidden),
    ("EADDRINUSE", faults::cannot_bind),
];

fn no_address_has_failed(stage: &Stage, case: &str) {
    assert_eq!(stage.journal.failures(), [], "{case}");
    let snapshot = stage.resolver.snapshot();
    assert_eq!((snapshot.invalidations, stage.asked()), (0, 1), "{case}");
}

/// No other address would connect, so the error is returned.
#[tokio::test(start_paused = true)]
async fn a_local_fault_is_returned_at_once() {
    for (case, fault) in FAULTS {
        let stage = Stage::new([(v4(2), fails(5, fault)), (v4(3), connects(1))]);
        let (error, at) = stage.failed().await;
        assert_eq!(
            Outcome::from_error(&*error),
            Outcome::LocalError,
            "{case}: {error:?}"
        );
        assert_eq!((stage.starts(), at), (vec![(v4(2), 0)], 5), "{case}");
        no_address_has_failed(&stage, case);
    }
}

/// The race waits for the pending attempt and starts no other one.
#[tokio::test(start_paused = true)]
async fn after_a_local_fault_a_race_waits_for_pending_attempts_and_starts_none() {
    for (case, fault) in FAULTS {
        let stage = Stage::new([
            (v4(2), connects(900)),
            (v4(3), fails(5, fault)),
            (v4(4), connects(1)),
        ]);
        assert_eq!(stage.connected().await, (v4(2), 900), "{case}");
        assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 250)], "{case}");
        no_address_has_failed(&stage, case);
    }
}

/// The pending attempt fails, too. The race returns the local fault, because the caller can fix that.
#[tokio::test(start_paused = true)]
async fn if_the_pending_attempt_fails_too_the_local_fault_is_returned() {
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

/// Many local faults penalize no address and start no lookup.
#[tokio::test(start_paused = true)]
async fn many_local_faults_penalize_no_address_and_start_no_lookup() {
    let fault = fails(1, faults::out_of_files);
    let stage = Stage::new([(v4(2), fault), (v4(3), fault)]);
    for _ in 0..50 {
        stage.failed().await;
    }
    no_address_has_failed(&stage, "many local faults");
    stage.turns(v4(2), connects(1));
    stage.again();
    assert_eq!(stage.connected().await, (v4(2), 1));
}

/// If a family has no route, none of its addresses has failed, and the other family is attempted at once.
#[tokio::test(start_paused = true)]
async fn without_a_route_for_one_family_the_other_is_attempted_at_once() {
    let stage = Stage::new([
        (v6(1), fails(0, faults::no_route)),
        (v4(2), connects(10)),
        (v6(2), fails(0, faults::no_route)),
    ]);
    assert_eq!(stage.connected().await, (v4(2), 10));
    assert_eq!(stage.journal.count(|seen| *seen == Seen::NoRoute), 1);
    no_address_has_failed(&stage, "no route");
    stage.again();
    assert_eq!(stage.connected().await, (v4(2), 10));
    assert_eq!(
        stage.starts(),
        [(v4(2), 0)],
        "the family without a route goes second for a while"
    );
}

/// A race that is dropped soon records nothing, and all its attempts end.
#[tokio::test(start_paused = true)]
async fn a_race_that_is_dropped_soon_cancels_its_attempts_and_records_nothing() {
    for after in [10, 260] {
        let stage = Stage::new([2, 3, 4, 5].map(|last| (v4(last), hangs())));
        let race = tokio::time::timeout(after * MS, stage.connect()).await;
        assert!(race.is_err());
        let started = stage.dials();
        assert_eq!(started.len(), if after == 10 { 1 } else { 2 });
        for attempt in started {
            assert_eq!(attempt.ended, Some((u64::from(after), End::Cancelled)));
        }
        assert_eq!(stage.open(), 0);
        no_address_has_failed(&stage, "dropped soon");
        tokio::time::sleep(60 * S).await;
        assert!(stage.dials().len() <= 2, "no more attempts begin");
    }
}

/// A race that is dropped after 3 s records its addresses as slow.
#[tokio::test(start_paused = true)]
async fn a_race_that_is_dropped_late_records_the_slow_addresses() {
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

/// A timeout of the client may end the race just before an attempt is slow. An attempt that was pending for nine tenths
/// of the limit counts as slow.
#[tokio::test(start_paused = true)]
async fn a_race_dropped_just_before_an_attempt_is_slow_records_the_address() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), hangs())]);
    let race = tokio::time::timeout(280 * MS, stage.connect()).await;
    assert!(race.is_err());
    assert_eq!(stage.journal.failures(), [(v4(2), Outcome::Slow)]);
}
