//! The answer changes during a race, as in gRPC's list updates. A race attempts the addresses of its own answer. New
//! addresses are for the next race, and for this one if an attempt is slow or all have failed.

use sidestep::{AddressState, Outcome};
use testkit::HOST;
use testkit::script::{S, down};

use crate::stage::{End, MS, Stage, connects, hangs, refuses, v4};

/// Runs a race. After 100 ms `change` sets another answer, and the host is looked up.
async fn meanwhile<T>(stage: &Stage, race: impl Future<Output = T>, change: impl FnOnce()) -> T {
    let changing = async {
        tokio::time::sleep(100 * MS).await;
        change();
        stage.resolver.invalidate(HOST);
        // The test checks the result of the race, not of this lookup.
        let _ = stage.resolver.resolve(HOST).await;
    };
    let (result, ()) = tokio::join!(race, changing);
    result
}

/// In gRPC's `ResolverUpdates_DisjointLists` the new list ends the pending attempt. Here the attempt goes on, because
/// an address that connects also serves.
#[tokio::test(start_paused = true)]
async fn a_new_answer_without_the_old_addresses_does_not_end_a_race() {
    let stage = Stage::new([(v4(2), connects(290)), (v4(3), hangs())]);
    let race = stage.connected();
    let won = meanwhile(&stage, race, || stage.says(&[v4(4)])).await;
    assert_eq!(won, (v4(2), 290));
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 250)]);
    assert_eq!(stage.asked(), 2);
}

/// gRPC tests the same in `ResolverUpdates_ActiveBackendInUpdatedList` and `ResolverUpdates_IdenticalLists`.
#[tokio::test(start_paused = true)]
async fn a_new_answer_with_the_same_addresses_restarts_no_attempt() {
    for same in [[2, 3], [3, 2]] {
        let stage = Stage::new([(v4(2), connects(400)), (v4(3), hangs())]);
        let race = stage.connected();
        let addrs = same.map(v4);
        let won = meanwhile(&stage, race, || stage.says(&addrs)).await;
        assert_eq!(won, (v4(2), 400));
        assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 250)]);
    }
}

/// The race has failed on an older answer, and a newer one is in the cache. The newer answer is not suspect, and the
/// host is not looked up once more.
#[tokio::test(start_paused = true)]
async fn a_race_that_fails_on_an_older_answer_attempts_the_newer_without_harm_to_it() {
    let stage = Stage::new([(v4(2), refuses(200)), (v4(3), refuses(200))]);
    stage.turns(v4(4), connects(10));
    let race = stage.connected();
    let won = meanwhile(&stage, race, || stage.says(&[v4(4)])).await;
    assert_eq!(won, (v4(4), 410));
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 200), (v4(4), 400)]);
    assert_eq!(
        stage.asked(),
        2,
        "only the test has looked the host up again"
    );
    let snapshot = stage.resolver.snapshot();
    assert!(!snapshot.host(HOST).unwrap().suspect);
}

/// gRPC tests the same in `ResolverError_WithPreviousUpdate_Connecting`.
#[tokio::test(start_paused = true)]
async fn a_lookup_that_fails_during_a_race_does_not_end_the_race() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), connects(400))]);
    let race = stage.connected();
    let won = meanwhile(&stage, race, || stage.script.say(down)).await;
    assert_eq!(won, (v4(3), 650));
}

/// The host has no addresses left. gRPC tests the same in `ResolverError_ZeroAddresses`.
#[tokio::test(start_paused = true)]
async fn an_answer_without_addresses_does_not_end_a_race() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), connects(400))]);
    let race = stage.connected();
    let none = || {
        stage
            .script
            .say(|host| Err(sidestep::ResolveError::no_records(host)));
    };
    let won = meanwhile(&stage, race, none).await;
    assert_eq!(won, (v4(3), 650));
}

/// gRPC tests the same in `ResolverError_WithPreviousUpdate_Ready`.
#[tokio::test(start_paused = true)]
async fn a_failed_lookup_closes_no_connection() {
    let stage = Stage::new([(v4(2), connects(1))]);
    let link = stage.connect().await.unwrap();
    stage.script.say(down);
    stage.resolver.invalidate(HOST);
    stage.resolver.resolve(HOST).await.unwrap();
    assert_eq!((stage.open(), link.addr()), (1, v4(2)));
}

/// An address that left DNS during the attempt fails. The new address is attempted as soon as the old one is slow.
#[tokio::test(start_paused = true)]
async fn a_failure_of_a_departed_address_leaves_the_new_ones_healthy() {
    let stage = Stage::new([(v4(2), refuses(310)), (v4(3), connects(500))]);
    stage.turns(v4(4), connects(20));
    let race = stage.connected();
    let won = meanwhile(&stage, race, || stage.says(&[v4(4)])).await;
    assert_eq!(won, (v4(4), 320));
    assert_eq!(stage.standing(v4(4)), AddressState::Healthy);
    assert_eq!(stage.end(v4(2)), Some((310, End::Failed)));
    let failed = stage.journal.failures();
    let old = [(v4(2), Outcome::Refused)];
    assert!(failed.is_empty() || failed == old, "{failed:?}");
    stage.again();
    tokio::time::sleep(S).await;
    stage.again();
    assert_eq!(stage.connected().await, (v4(4), 20));
}
