//! The layer that sees what becomes of requests once a connection is up.

mod future;
mod layer;
mod service;

#[cfg(any(feature = "reqwest", feature = "reqwest-012"))]
pub(crate) use self::future::Reply;
pub use self::future::ResponseFuture;
pub use self::layer::ExchangeLayer;
pub use self::service::Exchange;
