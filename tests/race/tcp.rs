//! The delay starts again for TLS when `tcp_connected_layer` reports that TCP has connected, as Chromium's timer does.

use sidestep::Outcome;
use testkit::script::S;

use crate::faults;
use crate::stage::{End, Stage, Step, connects, hangs, in_tls, v4};

/// A healthy edge is far away and takes 200 ms for TCP and 200 ms for TLS.
#[tokio::test(start_paused = true)]
async fn an_attempt_with_tcp_within_the_delay_gets_another_delay_for_tls() {
    let cast = [(v4(2), in_tls(200, Step::Up(200))), (v4(3), connects(300))];
    let stage = Stage::new(cast).telling_of_tcp();
    assert_eq!(stage.connected().await, (v4(2), 400));
    assert_eq!(stage.starts(), [(v4(2), 0)], "no second attempt starts");
    let without = Stage::new(cast);
    assert_eq!(without.connected().await, (v4(2), 400));
    assert_eq!(without.starts(), [(v4(2), 0), (v4(3), 250)]);
}

/// The next attempt starts one delay after TCP has connected.
#[tokio::test(start_paused = true)]
async fn a_race_waits_one_more_delay_for_tls_that_hangs() {
    let cast = [(v4(2), in_tls(200, Step::Hangs)), (v4(3), connects(10))];
    let stage = Stage::new(cast).telling_of_tcp();
    assert_eq!(stage.connected().await, (v4(3), 460));
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 450)]);
}

/// A hard failure in TLS does not wait for the delay.
#[tokio::test(start_paused = true)]
async fn a_failure_in_tls_starts_the_next_attempt_at_once() {
    let broken = in_tls(200, Step::Fails(20, faults::cut_in_tls));
    let stage = Stage::new([(v4(2), broken), (v4(3), connects(10))]).telling_of_tcp();
    assert_eq!(stage.connected().await, (v4(3), 230));
    assert_eq!(stage.journal.failures(), [(v4(2), Outcome::TlsFailed)]);
}

/// Only an attempt whose TCP has connected puts the next start off.
#[tokio::test(start_paused = true)]
async fn a_black_hole_gets_no_delay_for_tls() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), connects(10))]).telling_of_tcp();
    assert_eq!(stage.connected().await, (v4(3), 260));
}

/// The third attempt waits for the TLS of the second one.
#[tokio::test(start_paused = true)]
async fn the_second_attempt_gets_another_delay_for_tls_too() {
    let cast = [
        (v4(2), hangs()),
        (v4(3), in_tls(200, Step::Up(200))),
        (v4(4), connects(10)),
    ];
    let stage = Stage::new(cast).telling_of_tcp();
    assert_eq!(stage.connected().await, (v4(3), 650));
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 250)]);
}

/// The timeout of an attempt includes TLS, if another address is left.
#[tokio::test(start_paused = true)]
async fn the_timeout_of_an_attempt_includes_tls() {
    let hangs = (2..=7).map(|last| (v4(last), in_tls(200, Step::Hangs)));
    let cast: Vec<_> = hangs.chain([(v4(8), connects(1))]).collect();
    let stage = Stage::of(&cast, |builder| builder).telling_of_tcp();
    let stage = stage.racing(|race| race.attempt_timeout(S));
    assert_eq!(stage.connected().await, (v4(8), 2_001));
    assert_eq!(stage.end(v4(2)), Some((1_000, End::Cancelled)));
}
