//! The two ends of a connection.

use std::net::{IpAddr, SocketAddr};

use hyper_util::client::legacy::connect::HttpInfo;

/// Both ends of a TCP connection: no two open ones have the same. Connections to different addresses may share their
/// local end, because the system gives a port to one of them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl Ends {
    pub(crate) fn of(info: &HttpInfo) -> Self {
        Self {
            local: info.local_addr(),
            remote: info.remote_addr(),
        }
    }

    /// Returns the address at the remote end.
    pub(crate) fn addr(&self) -> IpAddr {
        self.remote.ip().to_canonical()
    }
}
