//! What a connect resolved, and which connection it made.

pub(crate) mod attribution;
mod connection_id;
mod context;
pub(crate) mod early_close;
mod new_connections;
mod request_connection;
#[cfg(feature = "middleware")]
mod request_scope;

pub(crate) use self::connection_id::ConnectionId;
pub(crate) use self::context::{AllAddrs, AttemptContext, Resolution};
pub(crate) use self::new_connections::{NewConnection, NewConnections};
pub(crate) use self::request_connection::RequestConnection;
#[cfg(feature = "middleware")]
pub(crate) use self::request_scope::RequestScope;
