//! The layer that sees connects fail.

mod attempt;
mod error;
mod future;
mod info;
mod layer;
mod service;

pub(crate) use self::attempt::{Observer, Patience, Unmade, Watched};
pub use self::error::ConnectError;
pub use self::future::ResponseFuture;
pub use self::layer::ConnectLayer;
pub use self::service::Connect;
pub(crate) use self::service::Reached;
