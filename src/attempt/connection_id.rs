//! The two ends of a connection.

use std::net::{IpAddr, SocketAddr};

use hyper_util::client::legacy::connect::HttpInfo;

/// Both ends of a TCP connection, which together identify an open connection.
///
/// Connections to different addresses may have the same local end, because the system uses a local port for several
/// remote ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl ConnectionId {
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
