//! The layer that sees connects fail.

mod future;
mod layer;
mod service;

pub use self::future::{AttemptTimedOut, ResponseFuture};
pub use self::layer::ConnectLayer;
pub use self::service::Connect;
