//! The layer that watches connects and reports how they end.

mod attempt_info;
mod error;
mod families_used;
mod future;
mod layer;
mod pending;
mod service;
mod tunnel;
mod watched;

pub(crate) use self::attempt_info::{AttemptInfo, TimeoutMode};
pub use self::error::ConnectError;
pub(crate) use self::families_used::SharedFamiliesUsed;
pub use self::future::ConnectFuture;
pub(crate) use self::layer::ATTEMPT_TIMEOUT;
pub use self::layer::ConnectLayer;
pub use self::service::Connect;
pub(crate) use self::watched::{ConnectFailure, WatchedConnect};
