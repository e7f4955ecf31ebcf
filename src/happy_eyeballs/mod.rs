//! The layer that races the addresses of a host, and re-resolves the host within a race.

mod dial;
mod future;
mod layer;
mod service;
mod state;
mod tcp;
mod times;
mod track;

pub use self::future::HappyEyeballsFuture;
pub use self::layer::HappyEyeballsLayer;
pub use self::service::HappyEyeballs;
pub use self::tcp::{TcpConnected, TcpConnectedFuture, TcpConnectedLayer};
pub(crate) use self::track::OutOfTime;
