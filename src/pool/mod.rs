//! The layer that moves pooled connections off bad, departed and old addresses.
//!
//! ```text
//! request ▶ retire what is due ▶ client (checks a connection out) ▶ note it ▶ response ▶ retire
//! ```

mod captured;
mod future;
mod kept;
mod layer;
mod registry;
mod service;

pub use self::future::ResponseFuture;
pub use self::layer::PoolLayer;
pub use self::service::Pool;
