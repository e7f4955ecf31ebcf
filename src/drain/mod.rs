//! The layer that drains pooled connections whose address failed or left DNS, and old ones.
//!
//! ```text
//! request ▶ drain what is due ▶ client (checks a connection out) ▶ record the connection ▶ response
//! ```

mod captured;
mod future;
mod handle;
mod layer;
mod origin_connections;
pub(crate) mod policy;
mod registry;
mod service;

pub use self::future::DrainFuture;
#[cfg(feature = "reqwest")]
pub(crate) use self::handle::{ClientSlot, Handle};
pub use self::layer::DrainLayer;
#[cfg(feature = "reqwest")]
pub(crate) use self::registry::Registry;
pub use self::service::Drain;
