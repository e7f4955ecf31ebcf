//! Once TCP is up, TLS gets its time: `tcp_connected_layer`, and Chromium's timer that starts anew for TLS.

use sidestep::Outcome;

use crate::faults;
use crate::script::S;
use crate::stage::{End, Stage, Step, connects, hangs, in_tls, v4};

/// A healthy edge that is far away: 200 ms for TCP, and 200 ms for TLS.
#[tokio::test(start_paused = true)]
async fn who_has_tcp_within_the_delay_gets_the_delay_for_tls() {
    let cast = [(v4(2), in_tls(200, Step::Up(200))), (v4(3), connects(300))];
    let stage = Stage::new(cast).telling_of_tcp();
    assert_eq!(stage.connected().await, (v4(2), 400));
    assert_eq!(stage.starts(), [(v4(2), 0)], "nobody is dialled in vain");
    let without = Stage::new(cast);
    assert_eq!(without.connected().await, (v4(2), 400));
    assert_eq!(without.starts(), [(v4(2), 0), (v4(3), 250)]);
}

/// A delay, and not for ever.
#[tokio::test(start_paused = true)]
async fn tls_that_hangs_is_waited_for_once_more_and_no_longer() {
    let cast = [(v4(2), in_tls(200, Step::Hangs)), (v4(3), connects(10))];
    let stage = Stage::new(cast).telling_of_tcp();
    assert_eq!(stage.connected().await, (v4(3), 460));
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 450)]);
}

/// A hard failure in TLS starts the next at once.
#[tokio::test(start_paused = true)]
async fn tls_that_fails_starts_the_next_at_once() {
    let broken = in_tls(200, Step::Fails(20, faults::cut_in_tls));
    let stage = Stage::new([(v4(2), broken), (v4(3), connects(10))]).telling_of_tcp();
    assert_eq!(stage.connected().await, (v4(3), 230));
    assert_eq!(stage.journal.failures(), [(v4(2), Outcome::TlsFailed)]);
}

/// Nothing is put off for one that has no TCP yet.
#[tokio::test(start_paused = true)]
async fn a_black_hole_is_given_no_more_time() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), connects(10))]).telling_of_tcp();
    assert_eq!(stage.connected().await, (v4(3), 260));
}

/// TCP that comes up at the second one puts off the third.
#[tokio::test(start_paused = true)]
async fn the_second_one_gets_its_time_too() {
    let cast = [
        (v4(2), hangs()),
        (v4(3), in_tls(200, Step::Up(200))),
        (v4(4), connects(10)),
    ];
    let stage = Stage::new(cast).telling_of_tcp();
    assert_eq!(stage.connected().await, (v4(3), 650));
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 250)]);
}

/// What one attempt may take is with TLS, while there is another one to make.
#[tokio::test(start_paused = true)]
async fn the_bounds_of_an_attempt_hold_over_tls_too() {
    let hangs = (2..=7).map(|last| (v4(last), in_tls(200, Step::Hangs)));
    let cast: Vec<_> = hangs.chain([(v4(8), connects(1))]).collect();
    let stage = Stage::of(&cast, |builder| builder).telling_of_tcp();
    let stage = stage.racing(|race| race.attempt_timeout(S));
    assert_eq!(stage.connected().await, (v4(8), 2_001));
    assert_eq!(stage.end(v4(2)), Some((1_000, End::Cancelled)));
}
