//! What a race leaves behind for the next: OkHttp's route database, c-ares' failover, Finagle's
//! `FailFast`, AWS' list of bad addresses.

use futures_util::future::join_all;
use sidestep::{AddressState, Outcome};
use tokio::time::Instant;

use crate::common::{HOST, Seen};
use crate::script::S;
use crate::stage::{End, Stage, connects, hangs, refuses, v4};

/// The longest first penalty: 5 s and a fifth.
const PENALTY_IS_OVER: std::time::Duration = std::time::Duration::from_millis(6_100);

/// A loser that had no head start says nothing.
#[tokio::test(start_paused = true)]
async fn a_loser_that_began_last_is_as_good_as_before() {
    let stage = Stage::new([(v4(2), connects(300)), (v4(3), connects(100))]);
    assert_eq!(stage.connected().await, (v4(2), 300));
    assert_eq!(stage.end(v4(3)), Some((300, End::Cancelled)));
    stage.again();
    stage.turns(v4(2), refuses(1));
    stage.connected().await;
    assert_eq!(stage.journal.failures(), [(v4(2), Outcome::Refused)]);
}

/// One that was beaten with a head start is a soft strike: the second connect does not wait for it.
#[tokio::test(start_paused = true)]
async fn a_black_hole_costs_the_first_connect_and_not_the_second() {
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

/// An address that lost a race on what may be a slow network is probed, and is in doubt until then. Without probes the
/// doubt lasts 5 s.
#[tokio::test(start_paused = true)]
async fn an_address_that_may_only_have_lost_is_probed() {
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
            "behind the healthy one"
        );
        if !probe {
            tokio::time::sleep(5 * S).await;
            stage.again();
            assert_eq!(stage.connected().await, (v4(3), 350), "no longer in doubt");
        }
    }
}

/// OkHttp `singleRouteReturnsFailedRoute`; behaviour F9.
#[tokio::test(start_paused = true)]
async fn a_penalty_delays_nobody_where_there_is_nothing_else() {
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

/// OkHttp `failedRouteWithSingleProxy`; AWS `test_resolver_connect_failure_recording`; c-ares
/// `ServerFailoverOpts`, `ThirdServer`: those that failed go last, and none is lost.
#[tokio::test(start_paused = true)]
async fn those_that_failed_are_dialled_last_and_none_is_lost() {
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
    let mut after = [stage.starts()[1].0, stage.starts()[2].0];
    after.sort();
    assert_eq!(after, [v4(2), v4(3)]);
}

/// AWS `test_resolver_connect_failure_recording`: all have failed; the one whose penalty ends first
/// leads, wherever it stands in the answer.
#[tokio::test(start_paused = true)]
async fn when_all_have_failed_the_one_that_failed_longest_ago_leads() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), hangs()), (v4(4), hangs())]);
    stage.resolver.resolve(HOST).await.unwrap();
    for last in [3, 4, 2] {
        stage.resolver.report(HOST, v4(last), Outcome::Refused);
        tokio::time::sleep(3 * S).await;
    }
    // The first penalty may have ended, and then one finds out; it leads either way.
    stage.again();
    let race = tokio::time::timeout(S, stage.connect()).await;
    assert!(race.is_err());
    assert_eq!(stage.starts(), [(v4(3), 0), (v4(4), 250), (v4(2), 500)]);
}

/// c-ares `ProbeAfterProbeTimeout`, `StickyRecoveryProbe`; Finagle `FailFast`, "become available when
/// the next attempt succeeds"; AWS `test_resolver_bad_list_expires_eventually`: though DNS never
/// changed.
#[tokio::test(start_paused = true)]
async fn when_its_penalty_is_over_one_connect_finds_out_and_it_is_as_good_as_before() {
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

/// c-ares `StickyRecoveryTieBreak`; Finagle "refuse external attempts": of many one finds out. It is
/// still dead, and that one is kept for 250 ms and no more.
#[tokio::test(start_paused = true)]
async fn of_many_connects_one_finds_out_and_waits_for_its_delay_alone() {
    let stage = Stage::new([(v4(2), refuses(1)), (v4(3), connects(10))]);
    stage.connected().await;
    tokio::time::sleep(PENALTY_IS_OVER).await;
    stage.turns(v4(2), hangs());
    stage.again();
    let races = join_all((0..50).map(|_| stage.connected())).await;
    let dialled = stage.starts();
    let tried = dialled.iter().filter(|(addr, _)| *addr == v4(2)).count();
    assert_eq!(tried, 1);
    let mut ends: Vec<u64> = races.into_iter().map(|(_, at)| at).collect();
    ends.sort_unstable();
    assert_eq!((ends[48], ends[49]), (10, 260));
}

/// Finagle "time out according to backoffs": each time for longer.
#[tokio::test(start_paused = true)]
async fn one_that_stays_dead_is_tried_ever_less_often() {
    let stage = Stage::new([(v4(2), refuses(1)), (v4(3), connects(1))]);
    for _ in 0..20 * 60 {
        stage.connected().await;
        tokio::time::sleep(S).await;
    }
    let dead = |(addr, at): &(_, u64)| (*addr == v4(2)).then_some(*at);
    let tried: Vec<u64> = stage.starts().iter().filter_map(dead).collect();
    let waits: Vec<u64> = tried.windows(2).map(|two| two[1] - two[0]).collect();
    // 5 s, 10 s, … 300 s, each a fifth more or less and up to the next connect: 4 to 9 in 20 min.
    assert!((4..=10).contains(&waits.len()), "{waits:?}");
    assert!(waits[0] < 8_000, "{waits:?}");
    assert!(
        waits
            .windows(2)
            .all(|two| two[1] * 5 > two[0] * 6 || two[1] > 230_000),
        "{waits:?}"
    );
}

/// c-ares `ServerNoResponseFailover`, `v4Worksv6Timesout`: no answer at all is a failure as well, and
/// its penalty is one of an address, not of the race.
#[tokio::test(start_paused = true)]
async fn one_that_never_answers_is_learned_though_every_race_is_won_by_another() {
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
    // Its penalty ends after 5, 10, 20 … s, and one connect finds out each time.
    assert!((1..=8).contains(&late), "{late} of 100 waited");
}

/// A thousand connects fail at once: each dials both, and the name server is asked once more.
#[tokio::test(start_paused = true)]
async fn a_thousand_failing_races_are_one_lookup() {
    let stage = Stage::new([(v4(2), refuses(10)), (v4(3), refuses(10))]);
    let races = join_all((0..1_000).map(|_| stage.connect())).await;
    assert!(races.iter().all(Result::is_err));
    assert_eq!(stage.starts().len(), 2_000);
    assert_eq!(stage.asked(), 2);
}

/// All dead and DNS as before: a bounded number of dials, and the first connect after an edge is back
/// serves.
#[tokio::test(start_paused = true)]
async fn when_all_come_back_the_next_connect_serves() {
    let stage = Stage::new([(v4(2), refuses(1)), (v4(3), refuses(1))]);
    let began = Instant::now();
    for _ in 0..60 {
        stage.failed().await;
        tokio::time::sleep(S).await;
    }
    assert_eq!(stage.starts().len(), 120, "two for each connect");
    // At first, at 0 and 1 s, then each 2 s (see the rechecks in `tests/answers`), and in turn.
    let most = 5 + began.elapsed().as_secs() / 2;
    assert!(stage.asked() as u64 <= most, "{}", stage.asked());
    stage.turns(v4(2), connects(1));
    stage.turns(v4(3), connects(1));
    stage.again();
    let (_, at) = stage.connected().await;
    assert_eq!(at, 1);
}
