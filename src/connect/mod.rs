//! The layer that sees connects fail.

mod error;
mod future;
mod info;
mod layer;
mod observer;
mod pending;
mod service;
mod watched;

pub use self::error::ConnectError;
pub use self::future::ResponseFuture;
pub use self::layer::ConnectLayer;
pub(crate) use self::observer::{Observer, Patience};
pub use self::service::Connect;
pub(crate) use self::service::Reached;
pub(crate) use self::watched::{HANGS, Unmade, Watched};
