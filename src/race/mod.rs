//! The layer that races addresses and dials again on a fresh answer.

mod future;
mod layer;
mod service;

pub use self::future::ResponseFuture;
pub use self::layer::{RaceLayer, TcpLayer};
pub use self::service::{Race, Tcp};
