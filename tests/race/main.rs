//! Tests the race over the addresses of a host (behaviors F7, F8 and F9).
#![cfg(all(feature = "hickory", feature = "reqwest"))]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod attacks;
mod clients;
mod connector;
mod curl;
mod dead;
mod errors;
mod failover;
mod families;
mod fate;
mod faults;
mod health;
mod laws;
mod local;
mod lone;
mod moved;
mod odd;
mod order;
mod overload;
mod pools;
mod proxies;
mod sockets;
mod stage;
mod starts;
mod tcp;
mod updates;
