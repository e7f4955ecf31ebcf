//! Finds out whether this system connects to IPv4-mapped IPv6 addresses.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::OnceLock;

/// Returns whether this system connects to IPv4-mapped IPv6 addresses. The first call finds out.
///
/// The function connects a UDP socket, which picks a route and sends nothing. The connect fails on systems without
/// IPv6 or with `bindv6only`, on OpenBSD and on Windows.
pub(super) fn are_connected_to() -> bool {
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

    /// The UDP socket gives the same result as a TCP connect.
    #[test]
    fn the_probe_agrees_with_tcp() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mapped = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), port));
        assert_eq!(
            are_connected_to(),
            std::net::TcpStream::connect(mapped).is_ok()
        );
    }
}
