//! Behaviours A1 to A10, on a paused clock, with a lookup that the test directs.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod bounds;
mod broken;
mod filter;
mod flights;
mod invalidation;
mod laws;
mod lifetimes;
mod names;
mod network;
mod never_empty;
mod order;
mod peers;
mod rechecks;
mod script;
mod tables;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sidestep::lookup::Answer;
use sidestep::{AnswerSource, Outcome, ResolveError, Resolver};
use tokio::time::{Instant, advance};

use self::script::{MS, S, Script, answer, deal, down, ip, sorted};
