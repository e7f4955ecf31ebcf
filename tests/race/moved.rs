//! Behaviour F8, the second chance: all have failed, and the name has moved. Nobody else has it.

use futures_util::future::join_all;
use sidestep::Outcome;
use sidestep::lookup::Answer;

use crate::common::HOST;
use crate::faults;
use crate::script::{S, down};
use crate::stage::{MS, Stage, attempts, connects, fails, hangs, primary, refuses, v4};

/// Two addresses are known and refuse; the name is somewhere else by now.
async fn moved_to(now: &[u8]) -> Stage {
    let stage = Stage::new([(v4(2), connects(1)), (v4(3), connects(1))]);
    stage.connected().await;
    stage.again();
    for last in [2, 3] {
        stage.turns(v4(last), refuses(5));
    }
    for &last in now.iter().filter(|last| **last > 3) {
        stage.turns(v4(last), connects(10));
    }
    let now: Vec<_> = now.iter().map(|&last| v4(last)).collect();
    stage.says(&now);
    stage
}

/// gRPC `ResolverUpdates_DisjointLists`, `AddressesRemoved`; OkHttp `proxyMoveTest`. There the next
/// call finds the new address.
#[tokio::test(start_paused = true)]
async fn a_name_that_has_moved_is_found_in_the_same_connect() {
    let stage = moved_to(&[4, 5]).await;
    assert_eq!(stage.connected().await, (v4(4), 20));
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 5), (v4(4), 10)]);
    assert_eq!(stage.asked(), 2);
}

/// gRPC `ResolverUpdates_InActiveBackendInUpdatedList`: those that have just failed are not dialled
/// again, wherever they stand in the answer.
#[tokio::test(start_paused = true)]
async fn of_a_fresh_answer_only_what_is_new_is_dialled() {
    let stage = moved_to(&[3, 4, 2]).await;
    assert_eq!(stage.connected().await, (v4(4), 20));
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 5), (v4(4), 10)]);
}

/// gRPC `ResolverUpdates_IdenticalLists`: nothing is dialled twice.
#[tokio::test(start_paused = true)]
async fn an_answer_that_has_not_changed_gives_no_second_chance() {
    let stage = moved_to(&[2, 3]).await;
    let (error, at) = stage.failed().await;
    assert_eq!(at, 10);
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 5)]);
    assert_eq!(attempts(&error).len(), 2);
    assert_eq!(stage.asked(), 2);
}

/// The second chance is one: the new ones fail as well, and all are told of.
#[tokio::test(start_paused = true)]
async fn there_is_no_third_chance() {
    let stage = moved_to(&[4]).await;
    stage.turns(v4(4), fails(5, faults::unreachable));
    stage.turns(v4(5), connects(1));
    // At the second asking the name is at one, and at a third it would be at another.
    let mut moves = [v4(4), v4(5)].into_iter().cycle();
    stage.script.say(move |_| {
        let at = moves.next().expect("it goes round");
        Ok(Answer::new([at]).with_ttl(60 * S))
    });
    let (error, at) = stage.failed().await;
    assert_eq!((at, stage.asked()), (15, 2));
    let all = [
        (v4(2), Some(Outcome::Refused)),
        (v4(3), Some(Outcome::Refused)),
        (v4(4), Some(Outcome::Unreachable)),
    ];
    assert_eq!(attempts(&error), all);
    assert_eq!(primary(&error), Outcome::Refused, "the first goes first");
    let snapshot = stage.resolver.snapshot();
    let suspect = snapshot.host(HOST).unwrap().suspect;
    assert!(
        suspect,
        "the newer answer: it is looked up again for the next connect"
    );
}

/// New addresses race as any do.
#[tokio::test(start_paused = true)]
async fn new_addresses_are_raced_too() {
    let stage = moved_to(&[4, 5, 6]).await;
    stage.turns(v4(4), hangs());
    assert_eq!(stage.connected().await, (v4(5), 270));
    let new = [(v4(4), 10), (v4(5), 260)];
    assert_eq!(stage.starts()[2..], new);
}

/// A race makes at most twice as many attempts as the first answer has addresses.
#[tokio::test(start_paused = true)]
async fn a_race_does_not_follow_a_name_that_moves_without_end() {
    let stage = moved_to(&[4, 5, 6]).await;
    for last in 4..=6 {
        stage.turns(v4(last), refuses(20));
    }
    let (error, _) = stage.failed().await;
    assert_eq!(stage.starts().len(), 4);
    let not_attempted = (v4(6), None);
    assert!(attempts(&error).contains(&not_attempted), "{error}");
}

/// The fresh answer is waited for, and not for long (RFC 8767, section 5: 1.8 s).
#[tokio::test(start_paused = true)]
async fn a_fresh_answer_is_waited_for_until_its_time_is_up() {
    let stage = moved_to(&[4]).await;
    stage.script.takes(S);
    assert_eq!(stage.connected().await, (v4(4), 1_020));
    let stage = moved_to(&[4]).await;
    stage.script.takes(4 * S);
    let (error, at) = stage.failed().await;
    // Sent when the first has failed or when the last has: both are within the second's dial.
    assert!((1_805..=1_810).contains(&at), "{at}");
    assert_eq!(attempts(&error).len(), 2);
}

/// gRPC `ResolverError_WithPreviousUpdate_TransientFailure`: the name server is down; the error is the
/// connect's, and the addresses stay.
#[tokio::test(start_paused = true)]
async fn while_the_name_server_is_down_the_connects_error_is_told() {
    let stage = moved_to(&[]).await;
    stage.script.say(down);
    let (error, at) = stage.failed().await;
    assert_eq!((primary(&error), at), (Outcome::Refused, 10));
    assert_eq!(attempts(&error).len(), 2);
    stage.again();
    stage.turns(v4(2), connects(1));
    stage.turns(v4(3), connects(1));
    stage.connected().await;
}

/// gRPC `ResolverError_ZeroAddresses`: there it is an error of the resolver; here too, from the next
/// connect on. What has failed is told by the connect that saw it.
#[tokio::test(start_paused = true)]
async fn a_name_without_addresses_ends_the_answer_and_the_dials_are_told() {
    let stage = moved_to(&[]).await;
    stage
        .script
        .say(|host| Err(sidestep::ResolveError::no_records(host)));
    let (error, _) = stage.failed().await;
    assert_eq!(primary(&error), Outcome::Refused);
    assert_eq!(attempts(&error).len(), 2);
    stage.again();
    let (error, _) = stage.failed().await;
    let error = error.downcast_ref::<sidestep::ResolveError>();
    assert!(error.expect("it is the lookup's").is_no_records());
    assert_eq!(stage.starts(), []);
}

/// Black holes fail no sooner than their bound: as soon as one is slow a fresh answer is asked for.
#[tokio::test(start_paused = true)]
async fn when_all_hang_a_fresh_answer_is_dialled_beside_them() {
    let stage = moved_to(&[4]).await;
    stage.turns(v4(2), hangs());
    stage.turns(v4(3), hangs());
    assert_eq!(stage.connected().await, (v4(4), 310));
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 250), (v4(4), 300)]);
    assert_eq!(stage.pending(), 0, "what hung is cancelled");
}

/// The same under a connector that takes a moment before it asks, as one with a limit on its rate
/// does: an attempt then begins after the race has begun it.
#[tokio::test(start_paused = true)]
async fn when_all_hang_a_connector_that_is_slow_to_ask_has_its_second_chance_too() {
    let stage = moved_to(&[4]).await.asking_after(5);
    stage.turns(v4(2), hangs());
    stage.turns(v4(3), hangs());
    let (addr, at) = stage.connected().await;
    assert_eq!((addr, stage.asked()), (v4(4), 2));
    assert!((310..350).contains(&at), "{at}");
}

/// A single one.
#[tokio::test(start_paused = true)]
async fn when_the_only_one_hangs_a_fresh_answer_is_dialled_beside_it() {
    let stage = Stage::new([(v4(2), hangs()), (v4(4), connects(10))]);
    stage.says(&[v4(2)]);
    stage.resolver.resolve(HOST).await.unwrap();
    stage.says(&[v4(4)]);
    assert_eq!(stage.connected().await, (v4(4), 310));
    assert_eq!(stage.asked(), 2);
}

/// One that is slow and then answers is not lost to the second chance.
#[tokio::test(start_paused = true)]
async fn one_that_is_slow_may_still_win_while_a_fresh_answer_is_waited_for() {
    let stage = moved_to(&[4]).await;
    stage.turns(v4(2), connects(700));
    stage.turns(v4(3), hangs());
    stage.script.takes(500 * MS);
    assert_eq!(stage.connected().await, (v4(2), 700));
}

/// The connect's own bound is over the second chance too.
#[tokio::test(start_paused = true)]
async fn the_connects_own_bound_ends_the_second_chance() {
    let stage = Stage::new([(v4(2), connects(1))]).racing(|race| race.timeout(S));
    stage.connected().await;
    stage.again();
    stage.turns(v4(2), refuses(5));
    stage.says(&[v4(4)]);
    stage.script.takes(4 * S);
    let (error, at) = stage.failed().await;
    assert_eq!((at, attempts(&error).len()), (1_000, 1));
}

/// DNS flickers: new, old, new. Each connect finds who serves.
#[tokio::test(start_paused = true)]
async fn an_answer_that_flickers_costs_no_connect() {
    let stage = Stage::new([(v4(2), connects(1)), (v4(3), connects(1))]);
    stage.says(&[v4(2)]);
    stage.connected().await;
    for (serves, dead) in [(3, 2), (2, 3), (3, 2)] {
        stage.says(&[v4(serves)]);
        stage.turns(v4(serves), connects(1));
        stage.turns(v4(dead), refuses(1));
        let (addr, at) = {
            stage.again();
            stage.connected().await
        };
        assert_eq!((addr, at), (v4(serves), 2), "{:?}", stage.starts());
        tokio::time::sleep(70 * S).await;
        stage.resolver.resolve(HOST).await.unwrap();
    }
}

/// Edges die one after another, and the lookups that follow bring nothing new, until with the last one
/// the name has moved: they do not hold back the one that counts.
#[tokio::test(start_paused = true)]
async fn after_many_that_died_before_the_last_ones_move_is_found_in_the_same_connect() {
    let stage = Stage::new([2, 3, 4, 5, 6, 7, 8, 9].map(|last| (v4(last), connects(1))));
    for last in 2..=9 {
        for _ in 0..30 {
            stage.again();
            stage.connected().await;
            tokio::time::sleep(100 * MS).await;
        }
        stage.turns(v4(last), refuses(1));
    }
    stage.turns(v4(20), connects(1));
    stage.says(&[v4(20)]);
    stage.again();
    let (addr, at) = stage.connected().await;
    assert_eq!(addr, v4(20));
    assert!(at <= 1_020, "at most a lookup's second later: {at}");
}

/// All hang, and the name moves long after the race has asked: another connect has it looked up, and the race
/// sees the answer.
#[tokio::test(start_paused = true)]
async fn a_move_after_many_seconds_is_found_in_the_same_connect() {
    let stage = moved_to(&[2, 3]).await;
    stage.turns(v4(2), hangs());
    stage.turns(v4(3), hangs());
    stage.turns(v4(4), connects(10));
    let later = async {
        tokio::time::sleep(8 * S).await;
        stage.says(&[v4(4)]);
        stage.connect().await.unwrap().addr()
    };
    let ((addr, at), other) = tokio::join!(stage.connected(), later);
    assert_eq!((addr, other), (v4(4), v4(4)));
    assert!((8_010..=10_120).contains(&at), "{at}");
    assert!(stage.asked() <= 8, "{}", stage.asked());
}

/// More races than the budget has attempts for, and DNS moves after they have all asked: they hang at one address each,
/// and need no attempt to see the answer.
#[tokio::test(start_paused = true)]
async fn many_races_at_once_find_a_late_move() {
    let stage = Stage::new([2, 3, 4, 5].map(|last| (v4(last), connects(1))));
    stage.connected().await;
    for last in [2, 3, 4, 5] {
        stage.turns(v4(last), hangs());
    }
    stage.turns(v4(6), connects(10));
    stage.again();
    let moves = async {
        tokio::time::sleep(500 * MS).await;
        stage.says(&[v4(6)]);
    };
    let connects = (0..200).map(|_| stage.connect());
    let (connected, ()) = tokio::join!(join_all(connects), moves);
    for link in connected {
        assert_eq!(link.unwrap().addr(), v4(6));
    }
    let at = stage.now();
    assert!(
        at <= 2_500,
        "2 s between two lookups, and a connect: {at} ms"
    );
}
