//! Rule: whether a connection died before the first byte of a response, read from the error.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;

use http::Extensions;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, HttpInfo};

use crate::outcome::causes;

/// A connection that died where a response was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EarlyClose {
    /// Whether the request was on its way, so that the server may have acted on it.
    pub(crate) sent: bool,
    /// The socket's own address, if it is named.
    pub(crate) local: Option<SocketAddr>,
    /// Whether it was to a proxy that requests are forwarded to.
    pub(crate) forwarded: bool,
}

impl EarlyClose {
    /// End of file or a reset where a response was due, as hyper says it.
    ///
    /// A request was not on its way where hyper has handed it back unwritten, which hyper-util calls
    /// "Canceled" (its kinds are told in words only), and where hyper-util does not name a
    /// connection: it died before it was ready, and the request was never handed over.
    pub(crate) fn of(error: &legacy::Error) -> Option<Self> {
        let died = !error.is_connect() && causes(error).any(is_death);
        let handed_back = error.to_string() == "client error (Canceled)";
        died.then(|| Self {
            sent: error.connect_info().is_some() && !handed_back,
            local: local_addr(error),
            forwarded: error.connect_info().is_some_and(Connected::is_proxied),
        })
    }
}

fn is_death(cause: &(dyn StdError + 'static)) -> bool {
    let of_hyper = |error: &hyper::Error| {
        error.is_canceled() || error.is_closed() || error.is_incomplete_message()
    };
    cause.downcast_ref::<hyper::Error>().is_some_and(of_hyper) || is_cut(cause)
}

fn is_cut(cause: &(dyn StdError + 'static)) -> bool {
    use io::ErrorKind as K;
    let of_io = |kind| {
        matches!(
            kind,
            K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof
        )
    };
    let io = cause.downcast_ref::<io::Error>();
    // h2 hands out its I/O error by a method and not as its source.
    let h2 = cause
        .downcast_ref::<h2::Error>()
        .and_then(h2::Error::get_io);
    io.or(h2).is_some_and(|error| of_io(error.kind()))
}

fn local_addr(error: &legacy::Error) -> Option<SocketAddr> {
    let mut extras = Extensions::new();
    error.connect_info()?.get_extras(&mut extras);
    extras.get::<HttpInfo>().map(HttpInfo::local_addr)
}
