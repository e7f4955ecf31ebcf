//! The layer that sees connects fail.

mod error;
mod future;
mod layer;
mod service;

pub use self::error::ConnectError;
pub use self::future::ResponseFuture;
pub use self::layer::ConnectLayer;
pub use self::service::Connect;
