//! The layer that races the addresses of a host, and re-resolves the host within a race.

mod dial;
mod future;
mod layer;
mod resolved_race;
mod service;
mod state;
mod tcp;
mod times;

pub use self::future::HappyEyeballsFuture;
pub use self::layer::HappyEyeballsLayer;
pub(crate) use self::resolved_race::OutOfTime;
pub use self::service::HappyEyeballs;
pub use self::tcp::{TcpConnected, TcpConnectedFuture, TcpConnectedLayer};
