//! The layer that watches connects and reports how they end.

mod error;
mod families_used;
mod future;
mod info;
mod layer;
mod observer;
mod pending;
mod service;
mod tunnel;
mod watched;

pub use self::error::ConnectError;
pub(crate) use self::families_used::SharedFamiliesUsed;
pub use self::future::ConnectFuture;
pub use self::layer::ConnectLayer;
pub(crate) use self::layer::{ATTEMPT_TIMEOUT, LONGEST};
pub(crate) use self::observer::{AttemptInfo, TimeoutMode};
pub use self::service::Connect;
pub(crate) use self::watched::{ConnectFailure, HANGS, ObservedConnect};
