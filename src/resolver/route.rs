//! From which address this system would dial another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Returns the source address; `None` when there is no route, or no socket to be had.
///
/// Connecting a UDP socket picks route and source and sends nothing.
pub(super) fn source_of(addr: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match addr {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(SocketAddr::new(addr, DISCARD)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The discard port (RFC 863). Any would do: nothing is sent.
const DISCARD: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_dialled_from_loopback() {
        let addr = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(source_of(addr), Some(addr));
    }

    /// Linux says no to broadcast when it is connected; others when something is sent.
    #[cfg(target_os = "linux")]
    #[test]
    fn where_no_route_leads_there_is_no_source() {
        assert_eq!(source_of(Ipv4Addr::BROADCAST.into()), None);
    }
}
