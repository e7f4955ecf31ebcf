//! What a race tells when it fails: the rest of OkHttp's `FastFallbackExchangeFinderTest`.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use sidestep::Outcome;

use crate::faults;
use crate::script::{S, down};
use crate::stage::{PANIC, Stage, Step, attempts, connects, fails, in_tcp, primary, refuses, v4};
use crate::starts::{A, B, C, cast};

/// OkHttp `firstConnectionFailsAndNoOthersExist`.
#[tokio::test(start_paused = true)]
async fn of_a_single_address_its_own_error_is_told() {
    let stage = Stage::new(cast([(A, refuses(5))]));
    let (error, at) = stage.failed().await;
    assert_eq!(at, 5);
    assert_eq!(attempts(&error), [(v4(A), Some(Outcome::Refused))]);
    assert_eq!(primary(&error), Outcome::Refused);
    assert_eq!(stage.starts(), [(v4(A), 0)], "and once");
}

/// OkHttp `firstConnectionFailsToConnectAndSecondFailureIsSuppressedException`.
#[tokio::test(start_paused = true)]
async fn the_first_error_goes_first_and_the_others_with_it() {
    let stage = Stage::new(cast([(A, refuses(5)), (B, fails(5, faults::unreachable))]));
    let (error, at) = stage.failed().await;
    assert_eq!(at, 10);
    assert_eq!(primary(&error), Outcome::Refused);
    let both = [
        (v4(A), Some(Outcome::Refused)),
        (v4(B), Some(Outcome::Unreachable)),
    ];
    assert_eq!(attempts(&error), both);
    let text = error.to_string();
    assert!(text.contains("127.0.0.2 refused"), "{text}");
    assert!(text.contains("127.0.0.3 unreachable"), "{text}");
}

/// OkHttp `firstConnectionCrashesWithUncheckedException`: a bug is not swallowed.
#[tokio::test(start_paused = true)]
async fn a_connector_that_panics_panics_and_no_other_address_is_dialled() {
    let stage = Stage::new(cast([(A, in_tcp(Step::Panics(5))), (B, connects(10))]));
    let panicked = AssertUnwindSafe(stage.connect()).catch_unwind().await;
    let panicked = panicked.expect_err("the caller sees it");
    assert_eq!(
        panicked.downcast_ref::<String>().map(String::as_str),
        Some(PANIC)
    );
    assert_eq!(stage.starts(), [(v4(A), 0)]);
    assert_eq!(stage.journal.failures(), []);
}

/// OkHttp `routePlannerPlanThrowsOnOnlyPlan`: an error of the lookup is told as it is.
#[tokio::test(start_paused = true)]
async fn without_addresses_the_lookups_error_is_told() {
    let stage = Stage::new([]);
    stage
        .script
        .say(|host| Err(sidestep::ResolveError::not_found(host)));
    let (error, _) = stage.failed().await;
    let error = error.downcast_ref::<sidestep::ResolveError>();
    assert!(error.expect("it is the lookup's own").is_not_found());
    assert_eq!((stage.starts(), stage.asked()), (vec![], 1));
}

/// OkHttp `recoversAfterFirstPlanCallThrows`: there the next proxy is planned with; here the answer
/// of before.
#[tokio::test(start_paused = true)]
async fn a_lookup_that_fails_costs_no_connect_where_addresses_are_known() {
    let stage = Stage::new(cast([(A, connects(5))]));
    stage.connected().await;
    tokio::time::sleep(120 * S).await;
    stage.script.say(down);
    stage.again();
    assert_eq!(stage.connected().await, (v4(A), 5));
    assert_eq!(stage.asked(), 2);
}

/// gRPC `HappyEyeballs_TF_AfterEndOfList`: at the end of the list the race waits for those that are
/// still at it, and the error that came first goes first.
#[tokio::test(start_paused = true)]
async fn at_the_end_of_the_list_those_still_at_it_are_waited_for() {
    let stage = Stage::new(cast([
        (A, fails(600, faults::timed_out)),
        (B, fails(5, faults::unreachable)),
        (C, refuses(5)),
    ]));
    let (error, at) = stage.failed().await;
    assert_eq!(at, 600);
    assert_eq!(stage.starts(), [(v4(A), 0), (v4(B), 250), (v4(C), 255)]);
    assert_eq!(primary(&error), Outcome::Unreachable);
    let each = [
        (v4(A), Some(Outcome::TimedOut)),
        (v4(B), Some(Outcome::Unreachable)),
        (v4(C), Some(Outcome::Refused)),
    ];
    assert_eq!(attempts(&error), each);
}
