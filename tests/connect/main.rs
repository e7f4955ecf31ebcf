//! Tests connects that fail or are slow: which addresses get a penalty, which address is next, and what a request costs
//! (behaviors F1 to F6 and F13 to F16).
#![cfg(all(feature = "hickory", feature = "reqwest"))]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod attribution;
mod bounded_attempts;
mod dark_family;
mod explain;
mod failover;
mod failover_hyper;
mod failure_table;
mod flapping;
mod flood;
mod last_resort;
#[cfg(target_os = "linux")]
mod local_faults;
mod local_outage;
mod log;
mod slow;
mod storms;
#[cfg(feature = "watch-network")]
mod watch_network;
