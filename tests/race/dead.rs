//! When everything is dead, and what is said of it: gRPC's `AllServersDown`, OkHttp's
//! `failsWhenBothServersAreDown`, and limits of time.

use std::time::Duration;

use sidestep::{ConnectError, Outcome};

use crate::faults;
use crate::script::S;
use crate::stage::{
    End, Stage, Step, attempts, connects, fails, hangs, in_tls, primary, refuses, v4,
};

/// OkHttp `failsWhenBothServersAreDown`; gRPC `AllServersDown`: each once, and each in the error.
#[tokio::test(start_paused = true)]
async fn when_all_are_dead_each_is_dialled_once_and_told_of() {
    let cast: Vec<_> = (2..=13).map(|last| (v4(last), refuses(1))).collect();
    let stage = Stage::of(&cast, |builder| builder);
    let (error, at) = stage.failed().await;
    let each: Vec<_> = (2..=13)
        .map(|last| (v4(last), Some(Outcome::Refused)))
        .collect();
    assert_eq!((attempts(&error), at), (each, 12));
    assert_eq!(stage.starts().len(), 12);
    assert_eq!(
        stage.most(),
        1,
        "each begins when the one before has failed"
    );
    let failed: Vec<_> = (2..=13).map(|last| (v4(last), Outcome::Refused)).collect();
    assert_eq!(stage.journal.failures(), failed);
}

/// gRPC `StickyTransientFailure`: there calls fail without a dial until one connects. Here each
/// connect dials, at once, for a penalty is no reason to wait.
#[tokio::test(start_paused = true)]
async fn the_next_connect_dials_them_all_again_at_once() {
    let stage = Stage::new([(v4(2), refuses(1)), (v4(3), refuses(1))]);
    stage.failed().await;
    for _ in 0..5 {
        stage.again();
        let (error, _) = stage.failed().await;
        let starts: Vec<_> = stage.starts().into_iter().map(|(_, at)| at).collect();
        assert_eq!(starts, [0, 1]);
        assert_eq!(attempts(&error).len(), 2);
    }
    stage.again();
    stage.turns(v4(3), connects(1));
    let (addr, at) = stage.connected().await;
    assert_eq!(addr, v4(3));
    assert!(at <= 2, "as soon as one is back: {at}");
}

/// The bound of one attempt ends it for another one, and with one address there is none: what comes back
/// within the connect's own bound still connects.
#[tokio::test(start_paused = true)]
async fn with_nothing_left_to_dial_an_attempt_may_still_connect() {
    let stage = Stage::new([(v4(2), hangs())]);
    let (error, at) = stage.failed().await;
    assert_eq!(at, 30_000);
    assert_eq!(attempts(&error), [(v4(2), Some(Outcome::Slow))]);
    assert_eq!(stage.end(v4(2)), Some((30_000, End::Cancelled)));
    assert_eq!(stage.starts().len(), 1);
    let stage = Stage::new([(v4(2), connects(15_000)), (v4(3), hangs())]);
    assert_eq!(stage.connected().await, (v4(2), 15_000));
}

/// RFC 8305 knows no bound for one attempt; issue point 3. Each has its own time.
#[tokio::test(start_paused = true)]
async fn each_attempt_has_its_own_bound() {
    let cast: Vec<_> = (2..=17).map(|last| (v4(last), hangs())).collect();
    let stage = Stage::of(&cast, |builder| builder);
    let stage = stage.racing(|race| race.attempt_timeout(3 * S));
    let (_, at) = stage.failed().await;
    assert_eq!(at, 30_000);
    assert_eq!(stage.end(v4(2)), Some((3_000, End::Cancelled)));
    assert_eq!(stage.end(v4(3)), Some((3_250, End::Cancelled)));
    assert_eq!(stage.end(v4(4)), Some((3_500, End::Cancelled)));
    let ended = [2, 3, 4].map(|last| (v4(last), Outcome::TimedOut));
    assert_eq!(stage.journal.failures()[..3], ended);
    assert_eq!(
        stage.end(v4(17)),
        Some((30_000, End::Cancelled)),
        "nothing else is left"
    );
}

/// Any number of addresses may hang: each costs one delay, and the sixteenth is the last that is attempted.
#[tokio::test(start_paused = true)]
async fn each_address_that_hangs_costs_one_delay() {
    for hanging in [6, 7, 10, 15] {
        let mut cast: Vec<_> = (2..2 + hanging).map(|last| (v4(last), hangs())).collect();
        let alive = v4(2 + hanging);
        cast.push((alive, connects(10)));
        let stage = Stage::of(&cast, |builder| builder);
        let at = u64::from(hanging) * 250 + 10;
        assert_eq!(stage.connected().await, (alive, at), "{hanging} hang");
        assert_eq!(stage.most(), usize::from(hanging) + 1);
    }
}

/// OkHttp `timesOutWithFastFallbackDisabled` has a call's timeout end a serial walk. Ours is the
/// connect's own bound, and its error lists all.
#[tokio::test(start_paused = true)]
async fn the_connects_own_bound_ends_it_with_every_address_in_the_error() {
    let cast = [2, 3, 4, 5].map(|last| (v4(last), hangs()));
    let stage = Stage::new(cast).racing(|race| race.timeout(3 * S));
    let (error, at) = stage.failed().await;
    assert_eq!(at, 3_000);
    let told = attempts(&error);
    assert_eq!(told.len(), 4);
    for (addr, outcome) in told {
        let is_about_time = matches!(outcome, Some(Outcome::TimedOut | Outcome::Slow));
        assert!(is_about_time, "{addr}: {outcome:?}");
    }
    let connect = ConnectError::find(&*error).unwrap();
    assert!(connect.is_given_up(), "{connect}");
    assert_eq!(stage.pending(), 0);
}

/// The bound is over the lookup too.
#[tokio::test(start_paused = true)]
async fn the_connects_own_bound_ends_a_slow_lookup() {
    let stage = Stage::new([(v4(2), connects(1))]).racing(|race| race.timeout(2 * S));
    stage.script.takes(4 * S);
    let (_, at) = stage.failed().await;
    assert_eq!((at, stage.starts()), (2_000, vec![]));
}

/// Without bounds it is the connector that ends it.
#[tokio::test(start_paused = true)]
async fn without_bounds_a_race_lasts_as_long_as_its_attempts() {
    let slow = [
        (v4(2), fails(130_000, faults::timed_out)),
        (v4(3), connects(90_000)),
    ];
    for unset in [None, Some(Duration::MAX)] {
        let stage = Stage::new(slow);
        let stage = stage.racing(|race| race.attempt_timeout(unset).timeout(unset));
        assert_eq!(stage.connected().await, (v4(3), 90_250));
    }
}

/// curl `test_06_11` and OkHttp's handling of certificates: TCP is up and the certificate is wrong. One
/// other address is tried, for the edge may have moved, and no more.
#[tokio::test(start_paused = true)]
async fn a_wrong_certificate_is_met_at_two_addresses_at_most() {
    let wrong = in_tls(1, Step::Fails(1, faults::wrong_certificate));
    let stage = Stage::new([2, 3, 4, 5].map(|last| (v4(last), wrong)));
    let (error, at) = stage.failed().await;
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 2)]);
    assert_eq!(at, 4);
    assert_eq!(primary(&error), Outcome::BadCertificate);
    let told = attempts(&error);
    let expected = [Some(Outcome::BadCertificate); 2];
    assert_eq!([told[0].1, told[1].1], expected, "{told:?}");
    assert!(told[2..].iter().all(|(_, outcome)| outcome.is_none()));
}

/// And where the other one is right, nobody notices.
#[tokio::test(start_paused = true)]
async fn a_wrong_certificate_at_one_address_costs_no_connect() {
    let wrong = in_tls(1, Step::Fails(1, faults::wrong_certificate));
    let stage = Stage::new([(v4(2), wrong), (v4(3), connects(1)), (v4(4), connects(1))]);
    assert_eq!(stage.connected().await, (v4(3), 3));
    let failed = [(v4(2), Outcome::BadCertificate)];
    assert_eq!(stage.journal.failures(), failed);
}

/// A handshake that breaks is no matter of certificates: every address is come to.
#[tokio::test(start_paused = true)]
async fn broken_handshakes_are_walked_past() {
    let broken = in_tls(1, Step::Fails(1, faults::cut_in_tls));
    let stage = Stage::new([
        (v4(2), broken),
        (v4(3), broken),
        (v4(4), broken),
        (v4(5), connects(1)),
    ]);
    assert_eq!(stage.connected().await, (v4(5), 7));
    assert_eq!(stage.asked(), 1, "who waits for no answer asks for none");
}

/// One address is dead, and nothing else is known: gRPC `OneServerDown`.
#[tokio::test(start_paused = true)]
async fn one_that_is_down_costs_one_dial_and_then_none() {
    let stage = Stage::new([(v4(2), refuses(1)), (v4(3), connects(1))]);
    assert_eq!(stage.connected().await, (v4(3), 2));
    for _ in 0..20 {
        stage.again();
        assert_eq!(stage.connected().await, (v4(3), 1));
        assert_eq!(stage.starts(), [(v4(3), 0)]);
    }
}
