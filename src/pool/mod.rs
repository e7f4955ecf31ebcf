//! The layer that moves pooled connections off bad, departed and old addresses.
//!
//! ```text
//! request ▶ retire what is due ▶ client (checks a connection out) ▶ note it ▶ response
//! ```

mod captured;
mod future;
mod handle;
mod kept;
mod layer;
mod registry;
mod service;

pub use self::future::ResponseFuture;
#[cfg(feature = "reqwest")]
pub(crate) use self::handle::{Handle, Seat};
pub use self::layer::PoolLayer;
#[cfg(feature = "reqwest")]
pub(crate) use self::registry::Registry;
pub use self::service::Pool;
