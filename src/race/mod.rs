//! The layer that races addresses and dials again on a fresh answer.

mod dial;
mod future;
mod layer;
mod plan;
mod service;
mod tcp;
mod track;

pub use self::future::ResponseFuture;
pub use self::layer::RaceLayer;
pub use self::service::Race;
pub use self::tcp::{Tcp, TcpFuture, TcpLayer};
#[cfg(feature = "__again")]
pub(crate) use self::track::OutOfTime;
