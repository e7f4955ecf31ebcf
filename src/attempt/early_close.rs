//! A pure rule that reads from an error whether a connection died before the first byte of a response.

use std::net::IpAddr;

use ::http::Extensions;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, HttpInfo};

use crate::attempt::ConnectionId;
use crate::health::classify::{http, texts};
use crate::health::outcome::Outcome;

/// A connection that died before the first byte of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EarlyClose {
    /// Whether the request was sent, so that the server may have acted on the request.
    pub(crate) sent: bool,
    /// The ends of the connection, if the error names the connection.
    pub(crate) ends: Option<ConnectionId>,
    /// The address that went silent. The system or an HTTP/2 ping waited in vain for a reply of the address. Silence
    /// is not the end of a keep-alive time, however old the connection is.
    pub(crate) silent: Option<IpAddr>,
    /// Whether the connection was to a proxy that forwards requests.
    pub(crate) forwarded: bool,
}

impl EarlyClose {
    /// Returns the early close if hyper's error says end of file, reset or silence before a response.
    ///
    /// A request was not sent in two cases.
    ///
    /// - hyper has returned the request unwritten. hyper-util calls this "Canceled", and shows its kinds of errors
    ///   only as text.
    /// - hyper-util names no connection. The connection died before it was ready, and was never given the request.
    pub(crate) fn of(error: &legacy::Error) -> Option<Self> {
        if error.is_connect() {
            return None;
        }
        let is_silence = http::end(error)? == Outcome::Silent;
        let info = error.connect_info().and_then(info);
        Some(Self {
            sent: error.connect_info().is_some() && !texts::is_handed_back(error),
            ends: info.as_ref().map(ConnectionId::of),
            silent: info.filter(|_| is_silence).map(|it| it.remote_addr().ip()),
            forwarded: error.connect_info().is_some_and(Connected::is_proxied),
        })
    }
}

/// Returns the [`HttpInfo`] of a connection, which names both ends.
pub(crate) fn info(connection: &Connected) -> Option<HttpInfo> {
    let mut extras = Extensions::new();
    connection.get_extras(&mut extras);
    extras.remove()
}
