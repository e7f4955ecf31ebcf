//! The layer that watches requests once a connection is up.

mod counted;
mod future;
mod layer;
mod service;

pub use self::future::PassiveHealthFuture;
#[cfg(any(feature = "reqwest", feature = "reqwest-012"))]
pub(crate) use self::future::Reply;
pub use self::layer::PassiveHealthLayer;
pub use self::service::PassiveHealth;
