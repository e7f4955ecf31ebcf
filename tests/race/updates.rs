//! The answer changes while a race runs: gRPC's list updates. A race dials what it was dealt; what is
//! new is for the next one, and for the second chance.

use sidestep::{AddressState, Outcome};

use crate::common::HOST;
use crate::script::{S, down};
use crate::stage::{End, MS, Stage, connects, hangs, refuses, v4};

/// A race begins on an answer of two, and in its middle the name server says this and is asked.
async fn meanwhile<T>(stage: &Stage, race: impl Future<Output = T>, change: impl FnOnce()) -> T {
    let changing = async {
        tokio::time::sleep(100 * MS).await;
        change();
        stage.resolver.invalidate(HOST);
        // What becomes of it is the race's to say.
        let _ = stage.resolver.resolve(HOST).await;
    };
    let (ended, ()) = tokio::join!(race, changing);
    ended
}

/// gRPC `ResolverUpdates_DisjointLists` while connecting: there the attempt is dropped for the new
/// list. Here it goes on, for who answers is who serves.
#[tokio::test(start_paused = true)]
async fn an_answer_that_has_nothing_of_the_old_does_not_end_a_race() {
    let stage = Stage::new([(v4(2), connects(290)), (v4(3), hangs())]);
    let race = stage.connected();
    let won = meanwhile(&stage, race, || stage.says(&[v4(4)])).await;
    assert_eq!(won, (v4(2), 290));
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 250)]);
    assert_eq!(stage.asked(), 2);
}

/// gRPC `ResolverUpdates_ActiveBackendInUpdatedList`, `ResolverUpdates_IdenticalLists`: an attempt that
/// is in the air is not begun anew.
#[tokio::test(start_paused = true)]
async fn an_answer_that_names_the_same_again_begins_nothing_anew() {
    for same in [[2, 3], [3, 2]] {
        let stage = Stage::new([(v4(2), connects(400)), (v4(3), hangs())]);
        let race = stage.connected();
        let says = same.map(v4);
        let won = meanwhile(&stage, race, || stage.says(&says)).await;
        assert_eq!(won, (v4(2), 400));
        assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 250)]);
    }
}

/// The race has failed on an older answer; a newer one is there already, is not suspected for it,
/// and nobody is asked once more.
#[tokio::test(start_paused = true)]
async fn a_race_that_fails_on_an_older_answer_dials_the_newer_and_does_not_harm_it() {
    let stage = Stage::new([(v4(2), refuses(200)), (v4(3), refuses(200))]);
    stage.turns(v4(4), connects(10));
    let race = stage.connected();
    let won = meanwhile(&stage, race, || stage.says(&[v4(4)])).await;
    assert_eq!(won, (v4(4), 410));
    assert_eq!(stage.starts(), [(v4(2), 0), (v4(3), 200), (v4(4), 400)]);
    assert_eq!(stage.asked(), 2, "by hand, and no more");
    let snapshot = stage.resolver.snapshot();
    assert!(!snapshot.host(HOST).unwrap().suspect);
}

/// gRPC `ResolverError_WithPreviousUpdate_Connecting`: bad news of DNS ends no race.
#[tokio::test(start_paused = true)]
async fn a_name_server_that_fails_meanwhile_ends_no_race() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), connects(400))]);
    let race = stage.connected();
    let won = meanwhile(&stage, race, || stage.script.say(down)).await;
    assert_eq!(won, (v4(3), 650));
}

/// gRPC `ResolverError_ZeroAddresses` while connecting: neither does a name that has none left.
#[tokio::test(start_paused = true)]
async fn a_name_that_has_no_addresses_left_ends_no_race() {
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

/// gRPC `ResolverError_WithPreviousUpdate_Ready`: nor a connection that is made.
#[tokio::test(start_paused = true)]
async fn what_dns_says_of_a_name_closes_no_connection() {
    let stage = Stage::new([(v4(2), connects(1))]);
    let link = stage.connect().await.unwrap();
    stage.script.say(down);
    stage.resolver.invalidate(HOST);
    stage.resolver.resolve(HOST).await.unwrap();
    assert_eq!((stage.open(), link.addr()), (1, v4(2)));
}

/// The failure of an address that left DNS during the attempt harms no new address. A new address is tried at once
/// when an old one is slow.
#[tokio::test(start_paused = true)]
async fn a_failure_of_one_that_has_left_leaves_the_new_ones_healthy() {
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
