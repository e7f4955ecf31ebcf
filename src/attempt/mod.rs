//! What a connect resolved, and which connection it made.

pub(crate) mod attribution;
mod connection_id;
mod context;
pub(crate) mod early_close;
#[cfg(feature = "middleware")]
mod errand;
mod fresh;
mod new_connections;

pub(crate) use self::connection_id::ConnectionId;
pub(crate) use self::context::{AllAddrs, AttemptContext, Resolution};
#[cfg(feature = "middleware")]
pub(crate) use self::errand::Errand;
pub(crate) use self::fresh::Fresh;
pub(crate) use self::new_connections::{NewConnection, NewConnections};
