//! Races over dead addresses, their errors and their timeouts, after gRPC's `AllServersDown` and OkHttp's
//! `failsWhenBothServersAreDown`.

use std::time::Duration;

use sidestep::{ConnectError, Outcome};
use testkit::script::S;

use crate::faults;
use crate::stage::{
    End, Stage, Step, attempts, connects, fails, hangs, in_tls, primary, refuses, v4,
};

/// OkHttp tests the same in `failsWhenBothServersAreDown`, gRPC in `AllServersDown`.
#[tokio::test(start_paused = true)]
async fn if_all_addresses_are_dead_each_is_attempted_once_and_listed_in_the_error() {
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
        "each attempt begins when the one before has failed"
    );
    let failed: Vec<_> = (2..=13).map(|last| (v4(last), Outcome::Refused)).collect();
    assert_eq!(stage.journal.failures(), failed);
}

/// In gRPC's `StickyTransientFailure` calls fail without an attempt until one connects. Here each connect attempts all
/// addresses at once, because a penalty delays no connect.
#[tokio::test(start_paused = true)]
async fn the_next_connect_attempts_all_dead_addresses_again_at_once() {
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
    assert!(
        at <= 2,
        "the connect succeeds as soon as one address is back: {at}"
    );
}

/// The timeout of an attempt ends the attempt only if another address is left. The last attempt may connect until the
/// connect times out.
#[tokio::test(start_paused = true)]
async fn the_last_attempt_may_connect_until_the_connect_times_out() {
    let stage = Stage::new([(v4(2), hangs())]);
    let (error, at) = stage.failed().await;
    assert_eq!(at, 30_000);
    assert_eq!(attempts(&error), [(v4(2), Some(Outcome::Slow))]);
    assert_eq!(stage.end(v4(2)), Some((30_000, End::Cancelled)));
    assert_eq!(stage.starts().len(), 1);
    let stage = Stage::new([(v4(2), connects(15_000)), (v4(3), hangs())]);
    assert_eq!(stage.connected().await, (v4(2), 15_000));
}

/// RFC 8305 has no timeout of an attempt. Here each attempt has one, which counts from its own start.
#[tokio::test(start_paused = true)]
async fn each_attempt_has_its_own_timeout() {
    let cast: Vec<_> = (2..=17).map(|last| (v4(last), hangs())).collect();
    let stage = Stage::of(&cast, |builder| builder);
    let stage = stage.racing(|race| race.attempt_timeout(3 * S));
    let (_, at) = stage.failed().await;
    assert_eq!(at, 30_000);
    assert_eq!(stage.end(v4(2)), Some((3_000, End::Cancelled)));
    assert_eq!(stage.end(v4(3)), Some((3_250, End::Cancelled)));
    assert_eq!(stage.end(v4(4)), Some((3_500, End::Cancelled)));
    let timed_out = [2, 3, 4].map(|last| (v4(last), Outcome::TimedOut));
    assert_eq!(stage.journal.failures()[..3], timed_out);
    assert_eq!(
        stage.end(v4(17)),
        Some((30_000, End::Cancelled)),
        "no other address is left"
    );
}

/// Each address that hangs costs one delay, and the sixteenth address is the last that is attempted.
#[tokio::test(start_paused = true)]
async fn each_black_hole_costs_one_delay() {
    for black_holes in [6, 7, 10, 15] {
        let mut cast: Vec<_> = (2..2 + black_holes)
            .map(|last| (v4(last), hangs()))
            .collect();
        let alive = v4(2 + black_holes);
        cast.push((alive, connects(10)));
        let stage = Stage::of(&cast, |builder| builder);
        let at = u64::from(black_holes) * 250 + 10;
        assert_eq!(
            stage.connected().await,
            (alive, at),
            "{black_holes} black holes"
        );
        assert_eq!(stage.most(), usize::from(black_holes) + 1);
    }
}

/// In OkHttp's `timesOutWithFastFallbackDisabled` the timeout of a call ends a series of attempts. Here the timeout of
/// the connect ends the race, and the error lists all addresses.
#[tokio::test(start_paused = true)]
async fn a_connect_that_times_out_lists_every_address_in_its_error() {
    let cast = [2, 3, 4, 5].map(|last| (v4(last), hangs()));
    let stage = Stage::new(cast).racing(|race| race.timeout(3 * S));
    let (error, at) = stage.failed().await;
    assert_eq!(at, 3_000);
    let results = attempts(&error);
    assert_eq!(results.len(), 4);
    for (addr, outcome) in results {
        let is_timeout = matches!(outcome, Some(Outcome::TimedOut | Outcome::Slow));
        assert!(is_timeout, "{addr}: {outcome:?}");
    }
    let connect = ConnectError::find(&*error).unwrap();
    assert!(connect.is_given_up(), "{connect}");
    assert_eq!(stage.pending(), 0);
}

/// The timeout of the connect includes the lookup.
#[tokio::test(start_paused = true)]
async fn the_timeout_of_the_connect_includes_the_lookup() {
    let stage = Stage::new([(v4(2), connects(1))]).racing(|race| race.timeout(2 * S));
    stage.script.takes(4 * S);
    let (_, at) = stage.failed().await;
    assert_eq!((at, stage.starts()), (2_000, vec![]));
}

/// Without timeouts only the connector ends an attempt.
#[tokio::test(start_paused = true)]
async fn without_timeouts_a_race_lasts_as_long_as_its_attempts() {
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

/// TCP connects, and the certificate is wrong. The race attempts one other address, because the host may have moved,
/// and no more. curl covers this in `test_06_11`, and OkHttp in its handling of certificates.
#[tokio::test(start_paused = true)]
async fn after_two_wrong_certificates_a_race_attempts_no_other_address() {
    let wrong = in_tls(1, Step::Fails(1, faults::wrong_certificate));
    let stage = Stage::new([2, 3, 4, 5].map(|last| (v4(last), wrong)));
    let (error, at) = stage.failed().await;
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 2)]);
    assert_eq!(at, 4);
    assert_eq!(primary(&error), Outcome::BadCertificate);
    let results = attempts(&error);
    let expected = [Some(Outcome::BadCertificate); 2];
    assert_eq!([results[0].1, results[1].1], expected, "{results:?}");
    assert!(results[2..].iter().all(|(_, outcome)| outcome.is_none()));
}

/// If the certificate of the second address is right, the connect succeeds.
#[tokio::test(start_paused = true)]
async fn a_wrong_certificate_at_one_address_fails_no_connect() {
    let wrong = in_tls(1, Step::Fails(1, faults::wrong_certificate));
    let stage = Stage::new([(v4(2), wrong), (v4(3), connects(1)), (v4(4), connects(1))]);
    assert_eq!(stage.connected().await, (v4(3), 3));
    let failed = [(v4(2), Outcome::BadCertificate)];
    assert_eq!(stage.journal.failures(), failed);
}

/// A broken handshake has nothing to do with certificates, so every address is attempted.
#[tokio::test(start_paused = true)]
async fn after_a_broken_handshake_the_next_address_is_attempted() {
    let broken = in_tls(1, Step::Fails(1, faults::cut_in_tls));
    let stage = Stage::new([
        (v4(2), broken),
        (v4(3), broken),
        (v4(4), broken),
        (v4(5), connects(1)),
    ]);
    assert_eq!(stage.connected().await, (v4(5), 7));
    assert_eq!(
        stage.asked(),
        1,
        "a race that waits for no fresh answer starts no lookup"
    );
}

/// gRPC tests the same in `OneServerDown`.
#[tokio::test(start_paused = true)]
async fn an_address_that_is_down_costs_one_attempt_and_then_none() {
    let stage = Stage::new([(v4(2), refuses(1)), (v4(3), connects(1))]);
    assert_eq!(stage.connected().await, (v4(3), 2));
    for _ in 0..20 {
        stage.again();
        assert_eq!(stage.connected().await, (v4(3), 1));
        assert_eq!(stage.starts(), [(v4(3), 0)]);
    }
}
