//! Tests the contracts of the crate with its code, its documents, its soak, any input, and getaddrinfo.
//!
//! These tests load the machine, so tests that measure a connect are in other targets.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

#[cfg(all(feature = "hickory", feature = "reqwest"))]
mod fuzz;
mod modules;
mod ported_behaviors;
mod soak_schedules;
#[cfg(all(target_os = "linux", feature = "hickory"))]
mod system;
