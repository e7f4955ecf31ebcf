//! Tests behaviors A1 to A10, F4 and F6 with a lookup that the test scripts, on a paused clock.

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
mod tables;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sidestep::lookup::Answer;
use sidestep::{AnswerSource, Outcome, ResolveError, Resolver};
use testkit::script::{MS, S, Script, answer, deal, down, ip, sorted};
use tokio::time::{Instant, advance};
