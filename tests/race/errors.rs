//! The errors of a failed race, after OkHttp's `FastFallbackExchangeFinderTest`.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use sidestep::Outcome;
use testkit::script::{S, down};

use crate::faults;
use crate::stage::{PANIC, Stage, Step, attempts, connects, fails, in_tcp, primary, refuses, v4};
use crate::starts::{A, B, C, cast};

/// OkHttp tests the same in `firstConnectionFailsAndNoOthersExist`.
#[tokio::test(start_paused = true)]
async fn the_error_of_a_single_address_is_its_own() {
    let stage = Stage::new(cast([(A, refuses(5))]));
    let (error, at) = stage.failed().await;
    assert_eq!(at, 5);
    assert_eq!(attempts(&error), [(v4(A), Some(Outcome::Refused))]);
    assert_eq!(primary(&error), Outcome::Refused);
    assert_eq!(
        stage.starts(),
        [(v4(A), 0)],
        "the address is attempted once"
    );
}

/// OkHttp tests the same in `firstConnectionFailsToConnectAndSecondFailureIsSuppressedException`.
#[tokio::test(start_paused = true)]
async fn the_first_failure_is_the_source_of_the_error_and_the_others_are_listed() {
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

/// The race does not hide a bug of the connector. OkHttp tests the same in
/// `firstConnectionCrashesWithUncheckedException`.
#[tokio::test(start_paused = true)]
async fn a_panic_of_the_connector_reaches_the_caller_and_ends_the_race() {
    let stage = Stage::new(cast([(A, in_tcp(Step::Panics(5))), (B, connects(10))]));
    let panicked = AssertUnwindSafe(stage.connect()).catch_unwind().await;
    let panicked = panicked.expect_err("the panic reaches the caller");
    assert_eq!(
        panicked.downcast_ref::<String>().map(String::as_str),
        Some(PANIC)
    );
    assert_eq!(stage.starts(), [(v4(A), 0)]);
    assert_eq!(stage.journal.failures(), []);
}

/// The error of the lookup is returned unchanged. OkHttp tests the same in `routePlannerPlanThrowsOnOnlyPlan`.
#[tokio::test(start_paused = true)]
async fn without_addresses_the_error_of_the_lookup_is_returned() {
    let stage = Stage::new([]);
    stage
        .script
        .say(|host| Err(sidestep::ResolveError::not_found(host)));
    let (error, _) = stage.failed().await;
    let error = error.downcast_ref::<sidestep::ResolveError>();
    assert!(error.expect("the error is a `ResolveError`").is_not_found());
    assert_eq!((stage.starts(), stage.asked()), (vec![], 1));
}

/// In OkHttp's `recoversAfterFirstPlanCallThrows` the next proxy is used. Here the stale answer is used.
#[tokio::test(start_paused = true)]
async fn a_failed_lookup_fails_no_connect_while_a_stale_answer_is_left() {
    let stage = Stage::new(cast([(A, connects(5))]));
    stage.connected().await;
    tokio::time::sleep(120 * S).await;
    stage.script.say(down);
    stage.again();
    assert_eq!(stage.connected().await, (v4(A), 5));
    assert_eq!(stage.asked(), 2);
}

/// At the end of the list the race waits for its pending attempts, and the first failure is the source of the error.
/// gRPC tests the same in `HappyEyeballs_TF_AfterEndOfList`.
#[tokio::test(start_paused = true)]
async fn at_the_end_of_the_list_a_race_waits_for_pending_attempts() {
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
