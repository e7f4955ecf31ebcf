//! Behavior F8: all addresses have failed or are slow, and the host has moved. No other client finds the new addresses
//! in the same connect.

use futures_util::future::join_all;
use sidestep::Outcome;
use sidestep::lookup::Answer;
use testkit::HOST;
use testkit::script::{S, down};

use crate::faults;
use crate::stage::{MS, Stage, attempts, connects, fails, hangs, primary, refuses, v4};

/// Returns a stage whose cached answer has two addresses that refuse. DNS has moved the host to the addresses `now`.
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

/// In gRPC's `ResolverUpdates_DisjointLists` and `AddressesRemoved` and in OkHttp's `proxyMoveTest` only the next call
/// finds the new address.
#[tokio::test(start_paused = true)]
async fn a_host_that_has_moved_is_found_in_the_same_connect() {
    let stage = moved_to(&[4, 5]).await;
    assert_eq!(stage.connected().await, (v4(4), 20));
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 5), (v4(4), 10)]);
    assert_eq!(stage.asked(), 2);
}

/// Addresses that have just failed are not attempted again, wherever the fresh answer lists them. gRPC tests the same
/// in `ResolverUpdates_InActiveBackendInUpdatedList`.
#[tokio::test(start_paused = true)]
async fn only_new_addresses_of_a_fresh_answer_are_attempted() {
    let stage = moved_to(&[3, 4, 2]).await;
    assert_eq!(stage.connected().await, (v4(4), 20));
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 5), (v4(4), 10)]);
}

/// No address is attempted twice. gRPC tests the same in `ResolverUpdates_IdenticalLists`.
#[tokio::test(start_paused = true)]
async fn an_unchanged_answer_starts_no_more_attempts() {
    let stage = moved_to(&[2, 3]).await;
    let (error, at) = stage.failed().await;
    assert_eq!(at, 10);
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 5)]);
    assert_eq!(attempts(&error).len(), 2);
    assert_eq!(stage.asked(), 2);
}

/// The addresses of the fresh answer fail, too. The error lists all attempts, and the race waits for no other answer.
#[tokio::test(start_paused = true)]
async fn a_race_does_not_wait_for_a_third_answer() {
    let stage = moved_to(&[4]).await;
    stage.turns(v4(4), fails(5, faults::unreachable));
    stage.turns(v4(5), connects(1));
    // The second lookup returns one new address, and a third lookup would return another.
    let mut addrs = [v4(4), v4(5)].into_iter().cycle();
    stage.script.say(move |_| {
        let addr = addrs.next().expect("the iterator repeats");
        Ok(Answer::new([addr]).with_ttl(60 * S))
    });
    let (error, at) = stage.failed().await;
    assert_eq!((at, stage.asked()), (15, 2));
    let all = [
        (v4(2), Some(Outcome::Refused)),
        (v4(3), Some(Outcome::Refused)),
        (v4(4), Some(Outcome::Unreachable)),
    ];
    assert_eq!(attempts(&error), all);
    assert_eq!(
        primary(&error),
        Outcome::Refused,
        "the first failure is the source"
    );
    let snapshot = stage.resolver.snapshot();
    let suspect = snapshot.host(HOST).unwrap().suspect;
    assert!(suspect, "the newer answer is suspect, too");
}

/// The attempts at new addresses begin 250 ms apart, too.
#[tokio::test(start_paused = true)]
async fn new_addresses_of_a_fresh_answer_are_raced() {
    let stage = moved_to(&[4, 5, 6]).await;
    stage.turns(v4(4), hangs());
    assert_eq!(stage.connected().await, (v4(5), 270));
    let new = [(v4(4), 10), (v4(5), 260)];
    assert_eq!(stage.starts()[2..], new);
}

/// The third address of the fresh answer is listed in the error without an attempt.
#[tokio::test(start_paused = true)]
async fn a_race_makes_at_most_twice_as_many_attempts_as_its_first_answer_has_addresses() {
    let stage = moved_to(&[4, 5, 6]).await;
    for last in 4..=6 {
        stage.turns(v4(last), refuses(20));
    }
    let (error, _) = stage.failed().await;
    assert_eq!(stage.starts().len(), 4);
    let not_attempted = (v4(6), None);
    assert!(attempts(&error).contains(&not_attempted), "{error}");
}

/// RFC 8767, section 5, recommends 1.8 s.
#[tokio::test(start_paused = true)]
async fn a_race_waits_for_a_fresh_answer_for_at_most_1800_ms() {
    let stage = moved_to(&[4]).await;
    stage.script.takes(S);
    assert_eq!(stage.connected().await, (v4(4), 1_020));
    let stage = moved_to(&[4]).await;
    stage.script.takes(4 * S);
    let (error, at) = stage.failed().await;
    // The lookup is sent when the first or the last attempt has failed, and both happen while the second attempt is
    // pending.
    assert!((1_805..=1_810).contains(&at), "{at}");
    assert_eq!(attempts(&error).len(), 2);
}

/// The name server is down. The race returns the error of the connect, and the addresses stay in the cache. gRPC tests
/// the same in `ResolverError_WithPreviousUpdate_TransientFailure`.
#[tokio::test(start_paused = true)]
async fn while_the_name_server_is_down_the_error_of_the_connect_is_returned() {
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

/// In gRPC's `ResolverError_ZeroAddresses` the resolver returns an error. Here the next connect returns that error, and
/// the current connect returns the error of its attempts.
#[tokio::test(start_paused = true)]
async fn a_host_without_records_ends_the_answer_and_the_error_lists_the_attempts() {
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
    assert!(
        error
            .expect("the error is a `ResolveError`")
            .is_no_records()
    );
    assert_eq!(stage.starts(), []);
}

/// A black hole fails only at its timeout, so the race looks the host up as soon as one attempt is slow.
#[tokio::test(start_paused = true)]
async fn if_all_addresses_are_slow_a_fresh_answer_joins_the_race() {
    let stage = moved_to(&[4]).await;
    stage.turns(v4(2), hangs());
    stage.turns(v4(3), hangs());
    assert_eq!(stage.connected().await, (v4(4), 310));
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 250), (v4(4), 300)]);
    assert_eq!(stage.pending(), 0, "the slow attempts are canceled");
}

/// A connector with a rate limit takes a moment before it resolves the host, so an attempt begins later than the race
/// has started it.
#[tokio::test(start_paused = true)]
async fn if_the_connector_resolves_late_a_fresh_answer_joins_the_race_too() {
    let stage = moved_to(&[4]).await.asking_after(5);
    stage.turns(v4(2), hangs());
    stage.turns(v4(3), hangs());
    let (addr, at) = stage.connected().await;
    assert_eq!((addr, stage.asked()), (v4(4), 2));
    assert!((310..350).contains(&at), "{at}");
}

/// The host has one address.
#[tokio::test(start_paused = true)]
async fn if_the_only_address_is_slow_a_fresh_answer_joins_the_race() {
    let stage = Stage::new([(v4(2), hangs()), (v4(4), connects(10))]);
    stage.says(&[v4(2)]);
    stage.resolver.resolve(HOST).await.unwrap();
    stage.says(&[v4(4)]);
    assert_eq!(stage.connected().await, (v4(4), 310));
    assert_eq!(stage.asked(), 2);
}

/// A slow attempt that connects after all wins, although the race waits for a fresh answer.
#[tokio::test(start_paused = true)]
async fn a_slow_address_may_win_while_a_race_waits_for_a_fresh_answer() {
    let stage = moved_to(&[4]).await;
    stage.turns(v4(2), connects(700));
    stage.turns(v4(3), hangs());
    stage.script.takes(500 * MS);
    assert_eq!(stage.connected().await, (v4(2), 700));
}

/// The timeout of the connect includes the wait for a fresh answer.
#[tokio::test(start_paused = true)]
async fn the_timeout_of_the_connect_includes_the_wait_for_a_fresh_answer() {
    let stage = Stage::new([(v4(2), connects(1))]).racing(|race| race.timeout(S));
    stage.connected().await;
    stage.again();
    stage.turns(v4(2), refuses(5));
    stage.says(&[v4(4)]);
    stage.script.takes(4 * S);
    let (error, at) = stage.failed().await;
    assert_eq!((at, attempts(&error).len()), (1_000, 1));
}

/// The answer changes between two addresses. Each connect finds the address that serves.
#[tokio::test(start_paused = true)]
async fn an_answer_that_changes_back_and_forth_fails_no_connect() {
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

/// Addresses die one after another, and the answer stays the same. The host moves when the last address has died, and
/// the earlier lookups do not delay the one that finds the new address.
#[tokio::test(start_paused = true)]
async fn after_many_dead_addresses_a_moved_host_is_found_in_the_same_connect() {
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
    assert!(
        at <= 1_020,
        "the new address is found within one interval of lookups: {at}"
    );
}

/// All addresses are slow, and the host moves long after the lookups of the race. Another connect looks the host up,
/// and the race uses that answer.
#[tokio::test(start_paused = true)]
async fn a_host_that_moves_after_many_seconds_is_found_in_the_same_connect() {
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

/// There are more races than the budget allows attempts, and the host moves after the lookups of all races. Each race
/// is pending at one address and finds the answer without another attempt.
#[tokio::test(start_paused = true)]
async fn many_races_at_once_find_a_host_that_moves_late() {
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
        "lookups are 2 s apart, and a connect follows: {at} ms"
    );
}

/// There are more races than the budget allows attempts, and DNS names new addresses, which connected before and were
/// slow since. Each race attempts a new address once its first attempt is slow, and not the rest of the old ones.
#[tokio::test(start_paused = true)]
async fn many_races_at_once_attempt_new_addresses_once_they_are_slow() {
    let (old, new) = ([2, 3, 4, 5].map(v4), [6, 7, 8, 9].map(v4));
    let stage = Stage::new(new.map(|addr| (addr, connects(1))));
    for _ in 0..20 {
        stage.connected().await;
    }
    old.iter().for_each(|addr| stage.turns(*addr, connects(1)));
    stage.says(&old);
    stage.resolver.invalidate(HOST);
    stage.connected().await;
    for addr in new {
        stage.resolver.report(HOST, addr, Outcome::Slow);
    }
    tokio::time::sleep(8 * S).await;
    stage.connected().await;
    old.iter().for_each(|addr| stage.turns(*addr, hangs()));
    stage.says(&new);
    stage.again();
    let connects = (0..200).map(async |n| {
        tokio::time::sleep(n * MS).await;
        stage.connect().await
    });
    for link in join_all(connects).await {
        assert!(new.contains(&link.unwrap().addr()));
    }
    let at = stage.now();
    assert!(at <= 550, "{at} ms; {:?}", stage.starts());
}

/// The address that DNS names was slow, so an address that has left leads, and hangs by now. The lookup takes long and
/// the budget is spent, but the race attempts the address that DNS names.
#[tokio::test(start_paused = true)]
async fn races_attempt_the_current_answer_once_the_last_resort_that_leads_is_slow() {
    let stage = Stage::new([(v4(2), connects(1)), (v4(3), connects(1))]);
    stage.turns(v4(3), refuses(1));
    stage.connected().await;
    stage.says(&[v4(3)]);
    tokio::time::sleep(55 * S).await;
    stage.connected().await;
    stage.turns(v4(3), connects(1));
    tokio::time::sleep(10 * S).await;
    assert_eq!(
        stage.connected().await.0,
        v4(3),
        "DNS names this address alone"
    );
    stage.resolver.report(HOST, v4(3), Outcome::Slow);
    stage.again();
    assert_eq!(stage.connected().await.0, v4(2), "the last resort leads");
    stage.turns(v4(2), hangs());
    stage.turns(v4(3), hangs());
    stage.script.takes(4 * S);
    stage.again();
    let serves = async {
        tokio::time::sleep(280 * MS).await;
        stage.turns(v4(3), connects(1));
        stage.connect().await.unwrap().addr()
    };
    // The first races take the budget.
    let races = join_all((0..30).map(|_| stage.connect()));
    let (addr, _) = tokio::join!(serves, async { tokio::time::timeout(S, races).await });
    assert_eq!(addr, v4(3));
    let dials = stage.dials();
    let connected = dials
        .iter()
        .find(|dial| dial.addr == v4(3) && dial.begun >= 280);
    assert!(connected.unwrap().begun <= 310, "{:?}", stage.starts());
}

/// Each lookup returns the same addresses for some time, so the backoff defers the next lookup by up to 30 s. Then all
/// addresses hang, and DNS has moved. A race has no winner, so no address has a strike, and the lookup is not deferred.
#[tokio::test(start_paused = true)]
async fn races_find_new_addresses_although_earlier_lookups_changed_nothing() {
    let old = [2, 3, 4, 5].map(v4);
    let stage = Stage::new(old.map(|addr| (addr, connects(1))));
    stage.connected().await;
    for addr in old.iter().cycle().take(9) {
        stage.turns(*addr, refuses(1));
        for _ in 0..8 {
            stage.connected().await;
        }
        stage.turns(*addr, connects(1));
        tokio::time::sleep(5 * S).await;
    }
    old.iter().for_each(|addr| stage.turns(*addr, hangs()));
    stage.turns(v4(6), connects(10));
    stage.says(&[v4(6)]);
    stage.again();
    let (addr, at) = stage.connected().await;
    assert_eq!(addr, v4(6));
    assert!(at <= 600, "{at} ms; {:?}", stage.starts());
}
