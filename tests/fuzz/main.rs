//! Whatever text is asked for, whatever a name server says.
//!
//! `cargo test --test fuzz` tries a bounded number of inputs at random; a failure prints the seed
//! that repeats it (`BOLERO_RANDOM_SEED`). As real fuzzers, until stopped:
//!
//! ```sh
//! cargo install cargo-bolero
//! cargo bolero test names
//! cargo bolero test dns_answers
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod answers;
mod reply;
mod texts;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// Any text through the public API: no panic, spellings of a host are one host, and what is no
/// name is neither asked for nor kept.
#[test]
fn names() {
    let lab = AssertUnwindSafe(texts::Lab::new());
    bolero::check!()
        .with_type::<texts::Text>()
        .with_iterations(10_000)
        .with_test_time(Duration::from_secs(5))
        .for_each(|text| lab.check(text));
}

/// Any answer to the right question, over UDP and TCP: no panic, no hang, no more than 64
/// addresses, and none of another name.
#[test]
fn dns_answers() {
    let lab = AssertUnwindSafe(answers::Lab::new());
    bolero::check!()
        .with_type::<reply::Evil>()
        .with_iterations(3_000)
        .with_test_time(Duration::from_secs(6))
        .for_each(|evil| lab.check(evil));
}
