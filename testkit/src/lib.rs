//! The world that the tests, benches and examples of sidestep share: edges that fail, a name server, a stopped clock, and
//! a log of attempts.
//!
//! Features turn on those of sidestep with the same name, so that `cargo test --no-default-features` tests sidestep
//! without them. [`World`] needs both.
#![allow(
    missing_debug_implementations,
    missing_docs,
    clippy::exhaustive_enums,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "only tests, benches and examples use the crate"
)]

mod bound;
mod clock;
pub mod connector_log;
mod dial_log;
mod edge;
pub mod guests;
#[cfg(all(feature = "hickory", feature = "reqwest"))]
pub mod hyper_client;
mod journal;
pub mod lab;
mod nack;
mod name_server;
mod process;
pub mod script;
pub mod soak;
#[cfg(all(feature = "hickory", feature = "reqwest"))]
mod world;

pub use self::bound::within;
pub use self::clock::{Clock, sleep, while_pending};
pub use self::dial_log::{DialLog, Dialled};
pub use self::edge::{Edges, Guest, Mode, Scheme, Stream};
pub use self::journal::{Journal, Seen};
pub use self::nack::{Nack, nacking};
pub use self::name_server::{Fault, NameServer, RecordType};
pub use self::process::{in_new_process, test_name};
#[cfg(all(feature = "hickory", feature = "reqwest"))]
pub use self::world::{HOST, World, answers, asking, get};
