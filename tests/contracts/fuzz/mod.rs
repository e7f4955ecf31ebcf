//! Fuzzes a resolver with any host name and with any reply of a name server.
//!
//! `cargo test --test contracts fuzz` tries a bounded number of random inputs, and a failure prints the seed that repeats the
//! input (`BOLERO_RANDOM_SEED`). These commands run the tests as fuzzers until they are stopped:
//!
//! ```sh
//! cargo install cargo-bolero
//! cargo bolero test fuzz::any_text_is_a_host_or_an_invalid_name
//! cargo bolero test fuzz::any_reply_gives_an_answer_or_an_error
//! ```

mod answers;
mod reply;
mod texts;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// A resolver does not panic on any text. All spellings of a host are one host. An invalid name is neither looked up
/// nor kept.
#[test]
fn any_text_is_a_host_or_an_invalid_name() {
    let lab = AssertUnwindSafe(texts::Lab::new());
    bolero::check!()
        .with_type::<texts::Text>()
        .with_iterations(10_000)
        .with_test_time(Duration::from_secs(5))
        .for_each(|text| lab.check(text));
}

/// A resolver does not panic or hang on any reply over UDP and TCP. An answer has at most 64 addresses, and all of
/// them belong to the host.
#[test]
fn any_reply_gives_an_answer_or_an_error() {
    let lab = AssertUnwindSafe(answers::Lab::new());
    bolero::check!()
        .with_type::<reply::Evil>()
        .with_iterations(3_000)
        .with_test_time(Duration::from_secs(6))
        .for_each(|evil| lab.check(evil));
}
