//! Rule: whether a connection died before the first byte of a response, read from the error.

use std::net::IpAddr;

use ::http::Extensions;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, HttpInfo};

use crate::ends::Ends;
use crate::outcome::{Outcome, foreign, http};

/// A connection that died where a response was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EarlyClose {
    /// Whether the request was on its way, so that the server may have acted on it.
    pub(crate) sent: bool,
    /// The connection, if it is named.
    pub(crate) ends: Option<Ends>,
    /// The address that went silent: the system or an HTTP/2 ping waited in vain for it. However old the
    /// connection is, that is no end of its keep-alive time.
    pub(crate) silent: Option<IpAddr>,
    /// Whether it was to a proxy that requests are forwarded to.
    pub(crate) forwarded: bool,
}

impl EarlyClose {
    /// End of file, a reset or silence where a response was due, as hyper says it.
    ///
    /// A request was not on its way where hyper has handed it back unwritten, which hyper-util calls
    /// "Canceled" (its kinds are told in words only), and where hyper-util does not name a
    /// connection: it died before it was ready, and the request was never handed over.
    pub(crate) fn of(error: &legacy::Error) -> Option<Self> {
        if error.is_connect() {
            return None;
        }
        let is_silence = http::end(error)? == Outcome::Silent;
        let info = error.connect_info().and_then(info);
        Some(Self {
            sent: error.connect_info().is_some() && !foreign::is_handed_back(error),
            ends: info.as_ref().map(Ends::of),
            silent: info.filter(|_| is_silence).map(|it| it.remote_addr().ip()),
            forwarded: error.connect_info().is_some_and(Connected::is_proxied),
        })
    }
}

/// Returns what a connection says of its ends.
pub(crate) fn info(connection: &Connected) -> Option<HttpInfo> {
    let mut extras = Extensions::new();
    connection.get_extras(&mut extras);
    extras.remove()
}
