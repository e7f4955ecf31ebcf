//! Behaviours F7, F8 and F9: the race, with those of other clients that are worth having.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../dial_log/mod.rs"]
mod dial_log;
#[path = "../paths/guests.rs"]
#[allow(dead_code, reason = "proxies alone are of use here")]
mod guests;
#[path = "../answers/script.rs"]
#[allow(dead_code, reason = "each test crate uses a part")]
mod script;

mod clients;
mod curl;
mod dead;
mod faults;
mod health;
mod local;
mod moved;
mod odd;
mod order;
mod pools;
mod proxies;
mod sockets;
mod stage;
mod starts;
mod tcp;
mod updates;
