//! When a race starts its attempts, after OkHttp's `FastFallbackExchangeFinderTest` and the Happy Eyeballs tests of
//! gRPC's pick first.

use sidestep::{AddressState, Outcome};
use testkit::Seen;
use testkit::script::S;

use crate::faults;
use crate::stage::{
    End, Fate, MS, Stage, Step, attempts, connects, hangs, in_tls, refuses, v4, v6,
};

pub(crate) const A: u8 = 2;
pub(crate) const B: u8 = 3;
pub(crate) const C: u8 = 4;
const D: u8 = 5;
const E: u8 = 6;

pub(crate) fn cast<const N: usize>(fates: [(u8, Fate); N]) -> [(std::net::IpAddr, Fate); N] {
    fates.map(|(last, fate)| (v4(last), fate))
}

/// OkHttp tests the same in `takeConnectingConnection`.
#[tokio::test(start_paused = true)]
async fn an_address_that_connects_within_the_delay_is_the_only_attempt() {
    let stage = Stage::new(cast([(A, connects(240)), (B, connects(10))]));
    assert_eq!(stage.connected().await, (v4(A), 240));
    assert_eq!(stage.starts(), [(v4(A), 0)]);
}

/// A canceled attempt has not failed. OkHttp tests the same in `firstPlanConnectedBeforeSecondPlan`, gRPC in
/// `HappyEyeballs_Ignore_Inflight_Cancellations`.
#[tokio::test(start_paused = true)]
async fn a_late_first_attempt_that_connects_before_the_second_wins() {
    let stage = Stage::new(cast([(A, connects(260)), (B, connects(20))]));
    assert_eq!(stage.connected().await, (v4(A), 260));
    assert_eq!(stage.starts(), [(v4(A), 0), (v4(B), 250)]);
    assert_eq!(stage.end(v4(B)), Some((260, End::Cancelled)));
    assert_eq!(stage.journal.failures(), []);
    assert_eq!(stage.standing(v4(B)), AddressState::Healthy);
}

/// OkHttp tests the same in `secondPlanConnectedBeforeFirstPlan` and `secondPlanAlreadyConnected`.
#[tokio::test(start_paused = true)]
async fn a_second_attempt_that_connects_before_the_first_wins() {
    for (after, up) in [(10, 260), (0, 250)] {
        let stage = Stage::new(cast([(A, connects(270)), (B, connects(after))]));
        assert_eq!(stage.connected().await, (v4(B), up));
        assert_eq!(stage.starts(), [(v4(A), 0), (v4(B), 250)]);
        assert_eq!(stage.end(v4(A)), Some((up, End::Cancelled)));
        assert_eq!(stage.open(), 0, "the race keeps no connection");
    }
}

/// OkHttp tests the same in `thirdPlanAlreadyConnected`.
#[tokio::test(start_paused = true)]
async fn a_third_attempt_that_connects_before_the_others_wins() {
    let stage = Stage::new(cast([
        (A, connects(520)),
        (B, connects(260)),
        (C, connects(0)),
    ]));
    assert_eq!(stage.connected().await, (v4(C), 500));
    assert_eq!(stage.starts(), [(v4(A), 0), (v4(B), 250), (v4(C), 500)]);
    assert_eq!(stage.end(v4(A)), Some((500, End::Cancelled)));
    assert_eq!(stage.end(v4(B)), Some((500, End::Cancelled)));
}

/// Each connect is a race of its own. OkHttp tests the same in `takeMultipleConnections`.
#[tokio::test(start_paused = true)]
async fn two_connects_at_once_make_two_races_and_two_connections() {
    let stage = Stage::new(cast([(A, connects(10)), (B, connects(10))]));
    let (one, other) = tokio::join!(stage.connect(), stage.connect());
    assert_eq!(stage.starts(), [(v4(A), 0), (v4(A), 0)]);
    assert_eq!(stage.open(), 2);
    drop((one.unwrap(), other.unwrap()));
    assert_eq!(stage.open(), 0);
}

/// In OkHttp's `takeMultipleConnectionsReturnsRaceLoser` the next connect attempts the loser first. Here the loser
/// comes after the healthy addresses.
#[tokio::test(start_paused = true)]
async fn a_loser_is_attempted_by_the_next_connect() {
    let stage = Stage::new(cast([(A, connects(270)), (B, connects(10))]));
    assert_eq!(stage.connected().await, (v4(B), 260));
    stage.again();
    stage.turns(v4(A), connects(20));
    stage.turns(v4(B), refuses(5));
    assert_eq!(stage.connected().await, (v4(A), 25));
    assert_eq!(stage.starts(), [(v4(B), 0), (v4(A), 5)]);
}

/// RFC 8305, section 5, requires this. OkHttp tests the same in `firstConnectionFailsToConnectAndSecondSucceeds`.
#[tokio::test(start_paused = true)]
async fn after_a_hard_failure_the_next_attempt_starts_at_once() {
    let stage = Stage::new(cast([(A, refuses(20)), (B, connects(10))]));
    assert_eq!(stage.connected().await, (v4(B), 30));
    assert_eq!(stage.starts(), [(v4(A), 0), (v4(B), 20)]);
    assert_eq!(stage.journal.failures(), [(v4(A), Outcome::Refused)]);
}

/// In OkHttp's `retryConnectionThatLostTcpRaceAfterWinnersTlsFails` the first attempt is canceled when the second has
/// TCP, and starts again later. Here the first attempt goes on, because TLS is part of the race.
#[tokio::test(start_paused = true)]
async fn an_address_that_was_slower_in_tcp_wins_if_tls_of_the_other_fails() {
    let broken = in_tls(10, Step::Fails(0, faults::cut_in_tls));
    let stage = Stage::new(cast([(A, connects(270)), (B, broken)]));
    assert_eq!(stage.connected().await, (v4(A), 270));
    assert_eq!(stage.starts(), [(v4(A), 0), (v4(B), 250)]);
    assert_eq!(stage.journal.failures(), [(v4(B), Outcome::TlsFailed)]);
}

/// In OkHttp's `losingPlanDoesNotConnectTls` a loser is canceled when the winner has TCP. Here a loser is canceled when
/// the winner has TLS, too, because an attempt that needs long for TLS has not won yet.
#[tokio::test(start_paused = true)]
async fn a_loser_is_canceled_when_the_winner_has_tls() {
    let slow = in_tls(10, Step::Up(20));
    let stage = Stage::new(cast([(A, connects(400)), (B, slow)]));
    assert_eq!(stage.connected().await, (v4(B), 280));
    assert_eq!(stage.end(v4(A)), Some((280, End::Cancelled)));
    assert_eq!(stage.dials()[0].tcp_up, None);
    tokio::time::sleep(S).await;
    assert_eq!(stage.dials().len(), 2, "no attempt starts after the race");
}

/// TLS is part of the race. OkHttp and curl race TCP alone, and then wait for the winner's TLS.
#[tokio::test(start_paused = true)]
async fn an_address_that_hangs_in_tls_does_not_win() {
    let stage = Stage::new(cast([
        (A, in_tls(10, Step::Hangs)),
        (B, in_tls(10, Step::Up(30))),
    ]));
    assert_eq!(stage.connected().await, (v4(B), 290));
}

/// Attempts start 250 ms apart before and after the failure. OkHttp tests the same in
/// `tcpConnectionsRaceAfterTlsFails`.
#[tokio::test(start_paused = true)]
async fn after_tls_has_failed_the_delay_counts_from_the_next_start() {
    let broken = in_tls(10, Step::Fails(10, faults::cut_in_tls));
    let stage = Stage::new(cast([
        (A, hangs()),
        (B, broken),
        (C, connects(270)),
        (D, connects(10)),
    ]));
    assert_eq!(stage.connected().await, (v4(D), 530));
    let starts = [(v4(A), 0), (v4(B), 250), (v4(C), 270), (v4(D), 520)];
    assert_eq!(stage.starts(), starts);
}

/// The figures are those of OkHttp's `minimumDelayEnforcedBetweenConnects`. OkHttp starts attempts at 0, 250, 500, 530
/// and 780, because no start follows another within 250 ms while an attempt is pending. RFC 8305, section 5, and F7
/// start an attempt at once after a hard failure, so the race starts them at 0, 250, 500, 510 and 520.
#[tokio::test(start_paused = true)]
async fn each_hard_failure_starts_an_attempt_and_the_delay_starts_the_others() {
    let stage = Stage::new(cast([
        (A, refuses(510)),
        (B, refuses(270)),
        (C, refuses(30)),
        (D, connects(270)),
        (E, connects(10)),
    ]));
    assert_eq!(stage.connected().await, (v4(E), 530));
    let begun: Vec<u64> = stage.starts().into_iter().map(|(_, at)| at).collect();
    assert_eq!(begun, [0, 250, 500, 510, 520]);
    assert_eq!(stage.end(v4(D)), Some((530, End::Cancelled)));
}

/// One connection is used and one is closed. OkHttp tests the same in `reusePlanAndNewConnectRace`.
#[tokio::test(start_paused = true)]
async fn if_two_attempts_connect_at_once_one_connection_is_kept() {
    let stage = Stage::new(cast([(A, connects(260)), (B, connects(10))]));
    let link = stage.connect().await.unwrap();
    assert_eq!((stage.starts().len(), stage.now()), (2, 260));
    assert_eq!((stage.open(), stage.pending()), (1, 0));
    drop(link);
    assert_eq!(stage.open(), 0);
}

/// The delay counts from the last start, whether a delay or a failure caused that start. gRPC tests the same in
/// `HappyEyeballs_TriggerConnectionDelay` and `HappyEyeballs_TF_ThenTimerFires`.
#[tokio::test(start_paused = true)]
async fn the_delay_counts_from_the_last_start() {
    let stage = Stage::new(cast([(A, refuses(50)), (B, hangs()), (C, connects(10))]));
    assert_eq!(stage.connected().await, (v4(C), 310));
    assert_eq!(stage.starts(), [(v4(A), 0), (v4(B), 50), (v4(C), 300)]);
}

/// RFC 8305, section 5, allows a delay that follows the history of connects.
#[tokio::test(start_paused = true)]
async fn the_delay_is_twice_the_recent_connect_time() {
    let stage = Stage::new(cast([(A, connects(240)), (B, connects(240))]));
    for _ in 0..2 {
        stage.again();
        assert_eq!(stage.connected().await, (v4(A), 240));
    }
    stage.turns(v4(A), hangs());
    stage.again();
    assert_eq!(stage.connected().await, (v4(B), 720));
    assert_eq!(stage.starts(), [(v4(A), 0), (v4(B), 480)]);
}

/// A slow lookup takes no time from the first address.
#[tokio::test(start_paused = true)]
async fn the_delay_counts_from_the_end_of_the_lookup() {
    let stage = Stage::new(cast([(A, hangs()), (B, connects(10))]));
    stage.script.takes(900 * MS);
    assert_eq!(stage.connected().await, (v4(B), 1_160));
    assert_eq!(stage.starts(), [(v4(A), 900), (v4(B), 1_150)]);
}

/// gRPC tests the same in `NewAddressWhileBlocking`.
#[tokio::test(start_paused = true)]
async fn a_connect_that_waits_for_a_lookup_starts_attempts_with_the_answer() {
    let stage = Stage::new(cast([(A, connects(10))]));
    stage.script.hold();
    let connecting = stage.connected();
    let release = async {
        tokio::time::sleep(700 * MS).await;
        stage.script.release();
    };
    let (connected, ()) = tokio::join!(connecting, release);
    assert_eq!(connected, (v4(A), 710));
}

/// The delay is 100 ms to 2 s. A shorter or longer delay is set to the nearest of these.
#[tokio::test(start_paused = true)]
async fn the_delay_can_be_set() {
    for (given, delay) in [
        (0, 100),
        (100, 100),
        (700, 700),
        (2_000, 2_000),
        (u64::MAX, 2_000),
    ] {
        let fates = cast([(A, hangs()), (B, hangs()), (C, connects(10))]);
        let given = std::time::Duration::from_millis(given);
        let stage = Stage::new(fates).racing(|race| race.attempt_delay(given));
        assert_eq!(stage.connected().await, (v4(C), 2 * delay + 10));
        let starts = [(v4(A), 0), (v4(B), delay), (v4(C), 2 * delay)];
        assert_eq!(stage.starts(), starts);
    }
}

/// gRPC tests the same in `DuplicateAddrs`, Netty in `testAddSameAddressForSameHostname`.
#[tokio::test(start_paused = true)]
async fn an_address_that_an_answer_repeats_is_attempted_once() {
    let stage = Stage::new(cast([(A, refuses(5)), (B, refuses(5))]));
    stage.says(&[v4(A), v4(A), v4(B), v4(A)]);
    let (error, _) = stage.failed().await;
    assert_eq!(stage.starts(), [(v4(A), 0), (v4(B), 5)]);
    assert_eq!(attempts(&error).len(), 2);
}

/// A connection that reports no peer wins, too. The attempt context is not lost, because the race knows the address of
/// each attempt.
#[tokio::test(start_paused = true)]
async fn a_connection_without_a_peer_address_wins_too() {
    let stage = Stage::new([(v6(1), refuses(5)), (v6(2), connects(10))]);
    assert_eq!(stage.connected().await, (v6(2), 15));
    assert_eq!(stage.journal.failures(), [(v6(1), Outcome::Refused)]);
    assert_eq!(
        stage.journal.count(|seen| *seen == Seen::ContextLost),
        0,
        "the race knows the address"
    );
}
