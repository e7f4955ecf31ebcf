//! Whether this system dials IPv4-mapped IPv6 addresses.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::OnceLock;

/// Returns whether lanes work here. Asked of the system once.
///
/// A UDP socket tells without sending anything: connecting it only picks a route. Systems without
/// IPv6, with `bindv6only`, OpenBSD and Windows say no.
pub(super) fn are_dialled() -> bool {
    static DIALLED: OnceLock<bool> = OnceLock::new();
    *DIALLED.get_or_init(|| {
        let mapped = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 9));
        UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
            .and_then(|any| any.connect(mapped))
            .is_ok()
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// What the probe says is what TCP does.
    #[test]
    fn the_probe_agrees_with_tcp() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mapped = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), port));
        assert_eq!(are_dialled(), std::net::TcpStream::connect(mapped).is_ok());
    }
}
