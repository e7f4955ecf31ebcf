//! Who is dialled when: OkHttp's `FastFallbackExchangeFinderTest` and the Happy Eyeballs tests of
//! gRPC's pick first, told as behaviours of our race.

use sidestep::{AddressState, Outcome};

use crate::common::Seen;
use crate::faults;
use crate::script::S;
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

/// OkHttp `takeConnectingConnection`.
#[tokio::test(start_paused = true)]
async fn one_that_is_up_within_the_delay_is_dialled_alone() {
    let stage = Stage::new(cast([(A, connects(240)), (B, connects(10))]));
    assert_eq!(stage.connected().await, (v4(A), 240));
    assert_eq!(stage.starts(), [(v4(A), 0)]);
}

/// OkHttp `firstPlanConnectedBeforeSecondPlan`; gRPC `HappyEyeballs_Ignore_Inflight_Cancellations`:
/// who was cancelled has not failed.
#[tokio::test(start_paused = true)]
async fn a_late_first_that_is_up_before_the_second_wins() {
    let stage = Stage::new(cast([(A, connects(260)), (B, connects(20))]));
    assert_eq!(stage.connected().await, (v4(A), 260));
    assert_eq!(stage.starts(), [(v4(A), 0), (v4(B), 250)]);
    assert_eq!(stage.end(v4(B)), Some((260, End::Cancelled)));
    assert_eq!(stage.journal.failures(), []);
    assert_eq!(stage.standing(v4(B)), AddressState::Healthy);
}

/// OkHttp `secondPlanConnectedBeforeFirstPlan`, `secondPlanAlreadyConnected`.
#[tokio::test(start_paused = true)]
async fn a_second_that_is_up_before_the_first_wins() {
    for (after, up) in [(10, 260), (0, 250)] {
        let stage = Stage::new(cast([(A, connects(270)), (B, connects(after))]));
        assert_eq!(stage.connected().await, (v4(B), up));
        assert_eq!(stage.starts(), [(v4(A), 0), (v4(B), 250)]);
        assert_eq!(stage.end(v4(A)), Some((up, End::Cancelled)));
        assert_eq!(stage.open(), 0, "nothing is held by the race");
    }
}

/// OkHttp `thirdPlanAlreadyConnected`.
#[tokio::test(start_paused = true)]
async fn a_third_that_is_up_before_the_others_wins() {
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

/// OkHttp `takeMultipleConnections`: here each connect is a race of its own.
#[tokio::test(start_paused = true)]
async fn connects_at_once_are_a_race_and_a_connection_each() {
    let stage = Stage::new(cast([(A, connects(10)), (B, connects(10))]));
    let (one, other) = tokio::join!(stage.connect(), stage.connect());
    assert_eq!(stage.starts(), [(v4(A), 0), (v4(A), 0)]);
    assert_eq!(stage.open(), 2);
    drop((one.unwrap(), other.unwrap()));
    assert_eq!(stage.open(), 0);
}

/// OkHttp `takeMultipleConnectionsReturnsRaceLoser`: it is dialled again by the next connect. There
/// it is dialled first; here it comes after those that nothing is known against.
#[tokio::test(start_paused = true)]
async fn a_loser_is_there_for_the_next_connect() {
    let stage = Stage::new(cast([(A, connects(270)), (B, connects(10))]));
    assert_eq!(stage.connected().await, (v4(B), 260));
    stage.again();
    stage.turns(v4(A), connects(20));
    stage.turns(v4(B), refuses(5));
    assert_eq!(stage.connected().await, (v4(A), 25));
    assert_eq!(stage.starts(), [(v4(B), 0), (v4(A), 5)]);
}

/// OkHttp `firstConnectionFailsToConnectAndSecondSucceeds`; RFC 8305, section 5.
#[tokio::test(start_paused = true)]
async fn after_a_hard_failure_nobody_waits() {
    let stage = Stage::new(cast([(A, refuses(20)), (B, connects(10))]));
    assert_eq!(stage.connected().await, (v4(B), 30));
    assert_eq!(stage.starts(), [(v4(A), 0), (v4(B), 20)]);
    assert_eq!(stage.journal.failures(), [(v4(A), Outcome::Refused)]);
}

/// OkHttp `retryConnectionThatLostTcpRaceAfterWinnersTlsFails`: there the first one was cancelled when
/// the second had TCP, and is dialled anew. Here it was never cancelled, because TLS counts.
#[tokio::test(start_paused = true)]
async fn one_that_was_overtaken_in_tcp_wins_when_the_others_tls_fails() {
    let broken = in_tls(10, Step::Fails(0, faults::cut_in_tls));
    let stage = Stage::new(cast([(A, connects(270)), (B, broken)]));
    assert_eq!(stage.connected().await, (v4(A), 270));
    assert_eq!(stage.starts(), [(v4(A), 0), (v4(B), 250)]);
    assert_eq!(stage.journal.failures(), [(v4(B), Outcome::TlsFailed)]);
}

/// OkHttp `losingPlanDoesNotConnectTls`. There it is cancelled when the winner has TCP; here when the
/// winner has TLS too, so that one that needs long for TLS is no winner yet.
#[tokio::test(start_paused = true)]
async fn a_loser_is_cancelled_where_it_stands() {
    let slow = in_tls(10, Step::Up(20));
    let stage = Stage::new(cast([(A, connects(400)), (B, slow)]));
    assert_eq!(stage.connected().await, (v4(B), 280));
    assert_eq!(stage.end(v4(A)), Some((280, End::Cancelled)));
    assert_eq!(stage.dials()[0].tcp_up, None);
    tokio::time::sleep(S).await;
    assert_eq!(stage.dials().len(), 2, "and nothing goes on behind it");
}

/// TLS is in the race: OkHttp and curl race TCP alone, and then wait for the winner's TLS.
#[tokio::test(start_paused = true)]
async fn one_whose_tls_hangs_does_not_win() {
    let stage = Stage::new(cast([
        (A, in_tls(10, Step::Hangs)),
        (B, in_tls(10, Step::Up(30))),
    ]));
    assert_eq!(stage.connected().await, (v4(B), 290));
}

/// OkHttp `tcpConnectionsRaceAfterTlsFails`: 250 ms apart before it and after it.
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

/// OkHttp `minimumDelayEnforcedBetweenConnects`, with its figures. There the starts are 0, 250, 500,
/// 530 and 780: never within 250 ms of the last start while anything is in the air. RFC 8305, section
/// 5, and F7 go on at once after a hard failure, so ours are 0, 250, 500, 510 and 520.
#[tokio::test(start_paused = true)]
async fn each_hard_failure_starts_one_and_the_delay_the_others() {
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

/// OkHttp `reusePlanAndNewConnectRace`: of two that are up at once one is used and one is closed.
#[tokio::test(start_paused = true)]
async fn of_two_that_are_up_at_once_one_is_kept() {
    let stage = Stage::new(cast([(A, connects(260)), (B, connects(10))]));
    let link = stage.connect().await.unwrap();
    assert_eq!((stage.starts().len(), stage.now()), (2, 260));
    assert_eq!((stage.open(), stage.pending()), (1, 0));
    drop(link);
    assert_eq!(stage.open(), 0);
}

/// gRPC `HappyEyeballs_TriggerConnectionDelay`, `HappyEyeballs_TF_ThenTimerFires`: the delay counts
/// from the last start, whatever started it.
#[tokio::test(start_paused = true)]
async fn the_delay_counts_from_the_last_start() {
    let stage = Stage::new(cast([(A, refuses(50)), (B, hangs()), (C, connects(10))]));
    assert_eq!(stage.connected().await, (v4(C), 310));
    assert_eq!(stage.starts(), [(v4(A), 0), (v4(B), 50), (v4(C), 300)]);
}

/// RFC 8305, section 5, allows a delay that follows the history of connects.
#[tokio::test(start_paused = true)]
async fn the_delay_is_twice_what_recent_connects_took() {
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

/// A slow lookup is no fault of the first address, and gives the second none of its time.
#[tokio::test(start_paused = true)]
async fn the_delay_counts_from_when_addresses_were_dealt() {
    let stage = Stage::new(cast([(A, hangs()), (B, connects(10))]));
    stage.script.takes(900 * MS);
    assert_eq!(stage.connected().await, (v4(B), 1_160));
    assert_eq!(stage.starts(), [(v4(A), 900), (v4(B), 1_150)]);
}

/// gRPC `NewAddressWhileBlocking`: a connect that waits for addresses dials them as they come.
#[tokio::test(start_paused = true)]
async fn a_connect_that_waits_for_addresses_dials_when_they_come() {
    let stage = Stage::new(cast([(A, connects(10))]));
    stage.script.hold();
    let connecting = stage.connected();
    let come = async {
        tokio::time::sleep(700 * MS).await;
        stage.script.release();
    };
    let (connected, ()) = tokio::join!(connecting, come);
    assert_eq!(connected, (v4(A), 710));
}

/// The setter: 100 ms to 2 s. A shorter or longer delay is set to the nearest of these.
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
        let set = Stage::new(fates).racing(|race| race.attempt_delay(given));
        assert_eq!(set.connected().await, (v4(C), 2 * delay + 10));
        let starts = [(v4(A), 0), (v4(B), delay), (v4(C), 2 * delay)];
        assert_eq!(set.starts(), starts);
    }
}

/// The same address twice in an answer is one: gRPC `DuplicateAddrs`, Netty
/// `testAddSameAddressForSameHostname`.
#[tokio::test(start_paused = true)]
async fn an_address_that_is_named_twice_is_dialled_once() {
    let stage = Stage::new(cast([(A, refuses(5)), (B, refuses(5))]));
    stage.says(&[v4(A), v4(A), v4(B), v4(A)]);
    let (error, _) = stage.failed().await;
    assert_eq!(stage.starts(), [(v4(A), 0), (v4(B), 5)]);
    assert_eq!(attempts(&error).len(), 2);
}

/// A connection that does not tell its peer is won with all the same, and nobody is blamed for it.
#[tokio::test(start_paused = true)]
async fn a_connection_without_a_peers_name_wins_too() {
    let stage = Stage::new([(v6(1), refuses(5)), (v6(2), connects(10))]);
    assert_eq!(stage.connected().await, (v6(2), 15));
    assert_eq!(stage.journal.failures(), [(v6(1), Outcome::Refused)]);
    assert_eq!(
        stage.journal.count(|seen| *seen == Seen::ContextLost),
        0,
        "it is ours"
    );
}
