//! Reads both ends of a connection.

use http::Extensions;
use hyper_util::client::legacy::connect::{Connection, HttpInfo};

/// Returns the [`HttpInfo`] of a connection, if the connection has one. Connections of hyper-util have one, also
/// inside of TLS.
pub(super) fn info(connection: &impl Connection) -> Option<HttpInfo> {
    let mut extras = Extensions::new();
    connection.connected().get_extras(&mut extras);
    extras.remove()
}
