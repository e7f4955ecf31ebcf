//! What a race records for the next one, after OkHttp's route database, c-ares' failover, Finagle's `FailFast` and AWS'
//! list of bad addresses.

use futures_util::future::join_all;
use sidestep::{AddressState, Outcome};
use testkit::script::S;
use testkit::{HOST, Seen};
use tokio::time::Instant;

use crate::stage::{End, Stage, connects, hangs, refuses, v4};

/// More than the longest first penalty, which is 5 s and 20 %.
const PENALTY_IS_OVER: std::time::Duration = std::time::Duration::from_millis(6_100);

/// A loser without a head start gets no strike.
#[tokio::test(start_paused = true)]
async fn a_loser_that_began_last_stays_healthy() {
    let stage = Stage::new([(v4(2), connects(300)), (v4(3), connects(100))]);
    assert_eq!(stage.connected().await, (v4(2), 300));
    assert_eq!(stage.end(v4(3)), Some((300, End::Cancelled)));
    stage.again();
    stage.turns(v4(2), refuses(1));
    stage.connected().await;
    assert_eq!(stage.journal.failures(), [(v4(2), Outcome::Refused)]);
}

/// An address that loses despite a head start gets a soft strike, so the second connect does not wait for the address.
#[tokio::test(start_paused = true)]
async fn a_black_hole_delays_the_first_connect_and_not_the_second() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), connects(10))]);
    assert_eq!(stage.connected().await, (v4(3), 260));
    assert_eq!(stage.journal.failures(), [(v4(2), Outcome::Slow)]);
    assert_eq!(stage.standing(v4(2)), AddressState::Probation);
    for _ in 0..10 {
        stage.again();
        assert_eq!(stage.connected().await, (v4(3), 10));
        assert_eq!(stage.starts(), [(v4(3), 0)]);
    }
}

/// An address that lost a race on a link that may be slow is in doubt until a probe has decided. Without probes the
/// doubt lasts 5 s.
#[tokio::test(start_paused = true)]
async fn an_address_in_doubt_after_a_lost_race_is_probed() {
    let cast = [(v4(2), hangs()), (v4(3), connects(100))];
    for probe in [false, true] {
        let stage = Stage::with(cast, |builder| builder.background_probe(probe));
        assert_eq!(stage.connected().await, (v4(3), 350));
        assert_eq!(stage.journal.failures(), []);
        let probes = stage.journal.count(|seen| *seen == Seen::Probe(v4(2)));
        assert_eq!(probes, usize::from(probe));
        stage.again();
        assert_eq!(
            stage.connected().await,
            (v4(3), 100),
            "the address in doubt goes second"
        );
        if !probe {
            tokio::time::sleep(5 * S).await;
            stage.again();
            assert_eq!(
                stage.connected().await,
                (v4(3), 350),
                "the address is no longer in doubt"
            );
        }
    }
}

/// OkHttp tests the same in `singleRouteReturnsFailedRoute` (F9).
#[tokio::test(start_paused = true)]
async fn a_penalty_of_the_only_address_delays_no_connect() {
    let stage = Stage::new([(v4(2), refuses(1))]);
    for _ in 0..3 {
        stage.failed().await;
        stage.again();
    }
    assert_eq!(stage.standing(v4(2)), AddressState::Penalized);
    stage.turns(v4(2), connects(10));
    stage.again();
    assert_eq!(stage.connected().await, (v4(2), 10));
    assert_eq!(stage.standing(v4(2)), AddressState::Healthy);
    assert_eq!(
        stage.journal.count(|seen| *seen == Seen::Recovered(v4(2))),
        1
    );
}

/// Failed addresses go last, and none is dropped. OkHttp tests the same in `failedRouteWithSingleProxy`, AWS in
/// `test_resolver_connect_failure_recording`, c-ares in `ServerFailoverOpts` and `ThirdServer`.
#[tokio::test(start_paused = true)]
async fn failed_addresses_are_attempted_last_and_none_is_dropped() {
    let stage = Stage::new([
        (v4(2), refuses(1)),
        (v4(3), refuses(1)),
        (v4(4), connects(1)),
    ]);
    assert_eq!(stage.connected().await, (v4(4), 3));
    stage.again();
    for last in [2, 3, 4] {
        stage.turns(v4(last), hangs());
    }
    let race = tokio::time::timeout(S, stage.connect()).await;
    assert!(race.is_err());
    assert_eq!(stage.starts()[0], (v4(4), 0));
    let mut failed = [stage.starts()[1].0, stage.starts()[2].0];
    failed.sort();
    assert_eq!(failed, [v4(2), v4(3)]);
}

/// If all addresses have failed, the one whose penalty ends first leads, wherever the answer lists it. AWS tests the
/// same in `test_resolver_connect_failure_recording`.
#[tokio::test(start_paused = true)]
async fn if_all_addresses_have_failed_the_earliest_failure_leads() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), hangs()), (v4(4), hangs())]);
    stage.resolver.resolve(HOST).await.unwrap();
    for last in [3, 4, 2] {
        stage.resolver.report(HOST, v4(last), Outcome::Refused);
        tokio::time::sleep(3 * S).await;
    }
    // If the first penalty is over, the address has a trial. The address leads in both cases.
    stage.again();
    let race = tokio::time::timeout(S, stage.connect()).await;
    assert!(race.is_err());
    assert_eq!(stage.starts(), [(v4(3), 0), (v4(4), 250), (v4(2), 500)]);
}

/// The answer does not change, and the address is used again. c-ares tests the same in `ProbeAfterProbeTimeout` and
/// `StickyRecoveryProbe`, Finagle in "become available when the next attempt succeeds", AWS in
/// `test_resolver_bad_list_expires_eventually`.
#[tokio::test(start_paused = true)]
async fn after_its_penalty_one_trial_makes_an_address_healthy_again() {
    let stage = Stage::new([(v4(2), refuses(1)), (v4(3), connects(10))]);
    stage.connected().await;
    tokio::time::sleep(PENALTY_IS_OVER).await;
    stage.turns(v4(2), connects(10));
    stage.again();
    assert_eq!(stage.connected().await, (v4(2), 10));
    assert_eq!(stage.starts(), [(v4(2), 0)]);
    assert_eq!(stage.journal.count(|seen| *seen == Seen::Trial(v4(2))), 1);
    assert_eq!(stage.standing(v4(2)), AddressState::Healthy);
}

/// One of many connects tries the address, which is still dead, and only that connect waits for 250 ms. c-ares tests
/// the same in `StickyRecoveryTieBreak`, Finagle in "refuse external attempts".
#[tokio::test(start_paused = true)]
async fn after_a_penalty_only_one_of_many_connects_tries_the_address() {
    let stage = Stage::new([(v4(2), refuses(1)), (v4(3), connects(10))]);
    stage.connected().await;
    tokio::time::sleep(PENALTY_IS_OVER).await;
    stage.turns(v4(2), hangs());
    stage.again();
    let races = join_all((0..50).map(|_| stage.connected())).await;
    let starts = stage.starts();
    let trials = starts.iter().filter(|(addr, _)| *addr == v4(2)).count();
    assert_eq!(trials, 1);
    let mut ends: Vec<u64> = races.into_iter().map(|(_, at)| at).collect();
    ends.sort_unstable();
    assert_eq!((ends[48], ends[49]), (10, 260));
}

/// Each penalty is longer than the one before. Finagle tests the same in "time out according to backoffs".
#[tokio::test(start_paused = true)]
async fn an_address_that_stays_dead_is_tried_less_and_less_often() {
    let stage = Stage::new([(v4(2), refuses(1)), (v4(3), connects(1))]);
    for _ in 0..20 * 60 {
        stage.connected().await;
        tokio::time::sleep(S).await;
    }
    let dead = |(addr, at): &(_, u64)| (*addr == v4(2)).then_some(*at);
    let trials: Vec<u64> = stage.starts().iter().filter_map(dead).collect();
    let waits: Vec<u64> = trials.windows(2).map(|two| two[1] - two[0]).collect();
    // The waits are 5 s, 10 s, … 300 s, each 20 % more or less and up to the next connect: 4 to 9 in 20 min.
    assert!((4..=10).contains(&waits.len()), "{waits:?}");
    assert!(waits[0] < 8_000, "{waits:?}");
    assert!(
        waits
            .windows(2)
            .all(|two| two[1] * 5 > two[0] * 6 || two[1] > 230_000),
        "{waits:?}"
    );
}

/// No response is a failure of the address, although each race succeeds. c-ares tests the same in
/// `ServerNoResponseFailover` and `v4Worksv6Timesout`.
#[tokio::test(start_paused = true)]
async fn a_black_hole_is_ordered_last_although_others_win_every_race() {
    let stage = Stage::new([
        (v4(2), hangs()),
        (v4(3), connects(10)),
        (v4(4), connects(10)),
    ]);
    let mut late = 0;
    for _ in 0..100 {
        stage.again();
        let (_, at) = stage.connected().await;
        late += usize::from(at > 10);
        tokio::time::sleep(S).await;
    }
    // The penalty ends after 5, 10, 20 … s, and one connect tries the address each time.
    assert!((1..=8).contains(&late), "{late} of 100 connects waited");
}

/// A thousand connects fail at once. Each attempts both addresses, and the host is looked up once more.
#[tokio::test(start_paused = true)]
async fn a_thousand_failed_races_share_one_lookup() {
    let stage = Stage::new([(v4(2), refuses(10)), (v4(3), refuses(10))]);
    let races = join_all((0..1_000).map(|_| stage.connect())).await;
    assert!(races.iter().all(Result::is_err));
    assert_eq!(stage.starts().len(), 2_000);
    assert_eq!(stage.asked(), 2);
}

/// All addresses are dead, and the answer does not change. The number of attempts is bounded, and the first connect
/// after an address is back succeeds.
#[tokio::test(start_paused = true)]
async fn after_all_addresses_come_back_the_next_connect_succeeds() {
    let stage = Stage::new([(v4(2), refuses(1)), (v4(3), refuses(1))]);
    let began = Instant::now();
    for _ in 0..60 {
        stage.failed().await;
        tokio::time::sleep(S).await;
    }
    assert_eq!(stage.starts().len(), 120, "each connect makes two attempts");
    // The host is looked up at first, at 0 and 1 s, then every 2 s (see F4 in `docs/behaviors.md`), and for refreshes.
    let most = 5 + began.elapsed().as_secs() / 2;
    assert!(stage.asked() as u64 <= most, "{}", stage.asked());
    stage.turns(v4(2), connects(1));
    stage.turns(v4(3), connects(1));
    stage.again();
    let (_, at) = stage.connected().await;
    assert_eq!(at, 1);
}
