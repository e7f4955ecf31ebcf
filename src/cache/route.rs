//! The source address that this system chooses for a connect to an address.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::bounded::{Bounded, Edit};

/// The source addresses that the system chose within the last second.
///
/// Without this cache, a lookup of a new host takes a fifth longer, because each choice costs a socket.
#[derive(Debug)]
pub(super) struct Routes(Bounded<IpAddr, (Option<IpAddr>, Instant)>);

/// How long a source address is reused.
const FOR: Duration = Duration::from_secs(1);
/// Number of addresses whose source address is remembered.
const REMEMBERED: usize = 1024;

impl Routes {
    pub(super) fn new() -> Self {
        Self(Bounded::new(REMEMBERED))
    }

    /// Returns the source address of a connect from the cache, or else from [`source_of`].
    pub(super) fn source_of(&self, addr: IpAddr, now: Instant) -> Option<IpAddr> {
        let known = self
            .0
            .read(&addr, |_, &(source, until)| (now < until).then_some(source));
        if let Some(source) = known.flatten() {
            return source;
        }
        let source = source_of(addr);
        self.0.edit(&addr, |_| (Edit::Put((source, now + FOR)), ()));
        self.0.make_room(&addr, |_, _, age| Some(Reverse(age)));
        source
    }

    /// Forgets all source addresses, because another network has other routes.
    pub(super) fn clear(&self) {
        self.0.clear();
    }
}

/// Returns the source address of a connect, or `None` if there is no route or no free socket.
///
/// The function connects a UDP socket, which picks the route and the source address and sends nothing.
pub(crate) fn source_of(addr: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match addr {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(SocketAddr::new(addr, DISCARD)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The discard port (RFC 863). Any port would do, because nothing is sent.
const DISCARD: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_dialled_from_loopback() {
        let addr = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(source_of(addr), Some(addr));
    }

    #[test]
    fn a_route_is_looked_for_once_a_second_and_again_on_another_network() {
        let (routes, now) = (Routes::new(), crate::time::now());
        let addr = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(routes.source_of(addr, now), Some(addr));
        let until = |routes: &Routes| {
            routes
                .0
                .peek(&addr, |found| found.map(|(_, known)| known.1))
        };
        routes.source_of(addr, now + FOR / 2);
        assert_eq!(until(&routes), Some(now + FOR));
        routes.source_of(addr, now + FOR);
        assert_eq!(until(&routes), Some(now + 2 * FOR));
        routes.clear();
        assert_eq!(until(&routes), None);
    }

    /// Linux refuses broadcast when a socket connects. Other systems refuse when a socket sends.
    #[cfg(target_os = "linux")]
    #[test]
    fn where_no_route_leads_there_is_no_source() {
        assert_eq!(source_of(Ipv4Addr::BROADCAST.into()), None);
    }
}
