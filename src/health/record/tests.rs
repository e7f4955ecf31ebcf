use super::*;
use crate::health::outcome::Severity;
use crate::time;
use proptest::prelude::*;

const S: Duration = Duration::from_secs(1);

fn rng() -> fastrand::Rng {
    fastrand::Rng::with_seed(7)
}

fn of(why: Outcome) -> Failure {
    let soft = why.severity() == Severity::Soft;
    Failure {
        why,
        soft,
        error: None,
    }
}

fn failed(outcome: Outcome) -> (AddressRecord, Instant) {
    let now = time::now();
    let mut record = AddressRecord::new(now);
    assert_ne!(
        record.record_failure(&of(outcome), now, now, now, &mut rng()),
        Transition::None
    );
    (record, now)
}

fn end(record: &AddressRecord) -> Instant {
    record.end().unwrap()
}

/// A penalty ends without any other event. Then one caller tries the address, and the other callers do not.
#[test]
fn after_the_penalty_one_trial_decides() {
    let (mut record, now) = failed(Outcome::Refused);
    assert!(matches!(record.rank(now + 3 * S), Rank::Penalized(_)));
    assert!(!record.try_take_trial(now + 3 * S));
    let later = end(&record);
    assert_eq!(record.rank(later), Rank::Probation);
    assert!(record.try_take_trial(later));
    assert!(!record.try_take_trial(later), "only one at a time");
    assert!(
        record.try_take_trial(later + TRIAL),
        "a trial that never reports ends"
    );
}

#[test]
fn a_failed_trial_doubles_the_penalty_and_a_success_clears_it() {
    let (mut record, _) = failed(Outcome::Refused);
    for strikes in 2..6 {
        let now = end(&record);
        assert!(record.try_take_trial(now));
        let began = now + Duration::from_millis(1);
        assert_ne!(
            record.record_failure(&of(Outcome::Refused), began, began, began, &mut rng()),
            Transition::None
        );
        let length = end(&record) - began;
        let exact = PENALTY.delay(strikes);
        assert!(
            length >= exact.mul_f64(0.8) && length <= exact.mul_f64(1.2),
            "{length:?}"
        );
    }
    let now = end(&record);
    assert_eq!(record.record_success(now, now), Transition::Recovered);
    assert_eq!((record.rank(now), record.strikes), (Rank::Healthy, 0));
}

/// A slow connect that succeeds in the end proves that the address connects. A connect that began before a refusal
/// proves nothing.
#[test]
fn a_slow_dial_that_connects_takes_its_strike_back() {
    let (mut record, began) = failed(Outcome::Slow);
    let struck = began + S;
    let _ = record.record_failure(&of(Outcome::Slow), struck, struck, struck, &mut rng());
    let connected = struck + Duration::from_millis(20);
    assert_eq!(
        record.record_success(began, connected),
        Transition::Recovered
    );
    assert_eq!((record.rank(connected), record.strikes), (Rank::Healthy, 0));
    let (mut record, refused) = failed(Outcome::Refused);
    let earlier = refused.checked_sub(Duration::from_millis(1)).unwrap();
    assert_eq!(record.record_success(earlier, connected), Transition::None);
}

/// An address is bad from its first failure until it has recovered, however often it fails.
#[test]
fn an_address_is_bad_since_its_first_failure() {
    let (mut record, first) = failed(Outcome::Refused);
    let again = first + 3 * S;
    let _ = record.record_failure(&of(Outcome::Refused), again, again, again, &mut rng());
    let trial = end(&record);
    assert!(record.try_take_trial(trial));
    let _ = record.record_failure(
        &of(Outcome::Refused),
        trial + S,
        trial,
        trial + S,
        &mut rng(),
    );
    assert_eq!(record.state_since(), first);
    let back = end(&record);
    assert_eq!(record.record_success(back, back), Transition::Recovered);
    assert_eq!(record.state_since(), back);
    let _ = record.record_failure(&of(Outcome::Refused), back + S, back, back + S, &mut rng());
    assert_eq!(record.state_since(), back + S);
}

/// A thousand callers that fail at the same moment are one strike.
#[test]
fn failures_inside_a_penalty_only_start_it_anew() {
    let (mut record, now) = failed(Outcome::Refused);
    let until = end(&record);
    for ms in 0..1000 {
        let now = now + Duration::from_millis(ms);
        assert_eq!(
            record.record_failure(&of(Outcome::Refused), now, now, now, &mut rng()),
            Transition::None
        );
    }
    assert_eq!(record.strikes, 1);
    assert!(end(&record) > until, "it counts from the last failure");
    let later = now + 2 * S;
    let _ = record.record_failure(
        &of(Outcome::Refused),
        later,
        later + 9 * S,
        later,
        &mut rng(),
    );
    assert!(end(&record) < later + 7 * S, "and is no longer than before");
    assert!(
        record.turn() > Some(later + 9 * S),
        "but all others have their turn first"
    );
}

#[test]
fn a_failure_that_began_before_the_address_recovered_is_old_news() {
    let (mut record, began) = failed(Outcome::TimedOut);
    let cleared = began + 2 * S;
    let _ = record.record_success(cleared, cleared);
    let late = record.record_failure(
        &of(Outcome::TimedOut),
        began,
        cleared + S,
        cleared + S,
        &mut rng(),
    );
    assert_eq!(
        (late, record.rank(cleared + S)),
        (Transition::None, Rank::Healthy)
    );
    let fresh = record.record_failure(
        &of(Outcome::TimedOut),
        cleared + S,
        cleared + S,
        cleared + S,
        &mut rng(),
    );
    assert!(matches!(fresh, Transition::Penalized(_)));
}

/// The first soft strike only orders the address behind healthy ones. The second one penalizes the address.
#[test]
fn a_soft_mark_penalizes_at_the_second_strike() {
    let (mut record, now) = failed(Outcome::ClosedEarly);
    assert_eq!(record.rank(now), Rank::Probation);
    let again = now + S;
    let second = record.record_failure(&of(Outcome::ClosedEarly), again, again, again, &mut rng());
    assert!(matches!(second, Transition::Penalized(_)));
    assert!(matches!(record.rank(again), Rank::Penalized(_)));
}

/// If a slow connect fails, its address is penalized and has one strike.
#[test]
fn a_slow_dial_that_fails_is_penalized_once() {
    let (mut record, began) = failed(Outcome::Slow);
    let given_up = began + 9 * S;
    let change = record.record_failure(
        &of(Outcome::TimedOut),
        began,
        given_up,
        given_up,
        &mut rng(),
    );
    assert!(matches!(change, Transition::Penalized(_)));
    assert_eq!(record.strikes, 1);
}

/// An address that accepts and closes connections connects each time. Its strikes still add up.
#[test]
fn connecting_does_not_excuse_an_edge_that_fails_after_it() {
    for why in [Outcome::ClosedEarly, Outcome::Unavailable] {
        let (mut record, _) = failed(why);
        for strikes in 2..5 {
            let now = end(&record);
            assert!(record.try_take_trial(now));
            let made = now + Duration::from_millis(1);
            assert_eq!(record.record_success(now, made), Transition::Recovered);
            let then = now + Duration::from_millis(2);
            let change = record.record_failure(&of(why), then, then, then, &mut rng());
            assert!(matches!(change, Transition::Penalized(_)), "{why}");
            assert_eq!(record.strikes, strikes, "{why}");
        }
        let now = end(&record);
        let _ = record.record_success(now, now);
        assert!(!record.is_spent(now), "{why}");
        let later = now + 10 * 60 * S;
        assert!(
            record.is_spent(later),
            "{why}: after a quiet time it is forgotten"
        );
    }
}

/// Connects that succeed meanwhile neither clear an early close nor undo a later failure.
#[test]
fn a_success_that_began_before_the_failure_is_old_news() {
    let (mut record, began) = failed(Outcome::TlsFailed);
    let early = began - S;
    assert_eq!(record.record_success(early, began + S), Transition::None);
    assert!(matches!(record.rank(began + S), Rank::Penalized(_)));
    let (mut closer, began) = failed(Outcome::ClosedEarly);
    assert_eq!(
        closer.record_success(began + S, began + S),
        Transition::None
    );
    assert_eq!(closer.rank(began + S), Rank::Probation);
}

/// A doubt waits for its probe while no port is known, and then for the end of the probe.
#[test]
fn a_doubt_ends_after_its_time() {
    for (awaits_probe, lasts) in [(false, DOUBT), (true, UNPROBED_DOUBT)] {
        let now = time::now();
        let mut record = AddressRecord::new(now);
        assert!(record.doubt(awaits_probe, now));
        assert!(!record.doubt(awaits_probe, now + S), "it is no news");
        assert_eq!(record.awaits_probe(now), awaits_probe);
        let last = (now + lasts).checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(record.rank(last), Rank::Doubtful);
        assert_eq!(record.rank(now + lasts), Rank::Healthy);
        assert!(!record.try_take_probe(now + lasts), "none is needed");
        assert!(record.doubt(awaits_probe, now + lasts), "it is news again");
    }
    let now = time::now();
    let mut record = AddressRecord::new(now);
    assert!(record.doubt(true, now));
    let probed = now + 40 * S;
    assert!(record.try_take_probe(probed));
    assert!(!record.try_take_probe(probed), "only one at a time");
    assert_eq!(record.rank(probed + 4 * S), Rank::Doubtful);
    assert_eq!(record.rank(probed + DOUBT), Rank::Healthy);
}

/// Only a healthy address can be put in doubt. A connect or a probe ends the doubt, or a failure makes it a penalty.
#[test]
fn a_doubt_is_no_penalty() {
    let (mut bad, now) = failed(Outcome::Refused);
    assert!(!bad.doubt(true, now));
    assert!(matches!(bad.rank(now), Rank::Penalized(_)));
    let doubted = || {
        let mut record = AddressRecord::new(now);
        assert!(record.doubt(true, now));
        record
    };
    for ends in [AddressRecord::record_success, AddressRecord::accept] {
        let mut record = doubted();
        assert_eq!(ends(&mut record, now, now), Transition::None, "no failure");
        assert_eq!(record.rank(now), Rank::Healthy);
    }
    let mut record = doubted();
    assert!(!record.try_take_trial(now + 10 * S), "no request tries it");
    let change = record.record_failure(&of(Outcome::TimedOut), now, now, now, &mut rng());
    assert!(matches!(change, Transition::Penalized(_)));
    assert_eq!((record.strikes, record.state_since()), (1, now));
    assert!(!record.awaits_probe(now));
}

/// A doubt does not restore a failure that a connect has cleared.
#[test]
fn a_failure_that_began_before_the_address_recovered_is_old_news_in_doubt_too() {
    let (mut record, began) = failed(Outcome::TimedOut);
    let cleared = began + 2 * S;
    let _ = record.record_success(cleared, cleared);
    assert!(record.doubt(true, cleared + S));
    let mut fail = |began| {
        let now = cleared + 2 * S;
        record.record_failure(&of(Outcome::TimedOut), began, now, now, &mut rng())
    };
    assert_eq!(fail(began), Transition::None);
    assert!(matches!(fail(cleared + S), Transition::Penalized(_)));
}

proptest! {
    /// Every penalty ends without another event, and never exceeds the cap.
    #[test]
    fn every_penalty_ends(steps in prop::collection::vec((0_u8..7, 0_u64..400_000), 0..60), seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut now = time::now();
        let mut record = AddressRecord::new(now);
        for (step, ms) in steps {
            now += Duration::from_millis(ms);
            match step {
                0 => { let _ = record.record_success(now, now); }
                1 => { let _ = record.try_take_trial(now); }
                2 => { let _ = record.doubt(ms % 2 == 0, now); }
                3 => { let _ = record.try_take_probe(now); }
                4 => { let _ = record.accept(now, now); }
                5 => { let _ = record.record_failure(&of(Outcome::Slow), now, now, now, &mut rng); }
                _ => { let _ = record.record_failure(&of(Outcome::Refused), now, now, now, &mut rng); }
            }
            let over = now + PENALTY.most.mul_f64(1.21);
            prop_assert!(record.rank(over) <= Rank::Probation);
        }
    }
}
