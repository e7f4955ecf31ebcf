//! What a connect resolved, and which connection it made.

mod context;
#[cfg(feature = "middleware")]
mod errand;
mod fresh;
mod new_connections;

pub(crate) use self::context::{AllAddrs, AttemptContext, Resolution};
#[cfg(feature = "middleware")]
pub(crate) use self::errand::Errand;
pub(crate) use self::fresh::Fresh;
pub(crate) use self::new_connections::{NewConnection, NewConnections};
