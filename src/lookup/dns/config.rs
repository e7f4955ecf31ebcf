//! Settings of the stub resolver, named as in resolv.conf(5).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Settings of the stub resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StubConfig {
    pub(super) servers: Vec<Server>,
    /// Absolute domains without the root dot, in the order in which candidates use them.
    pub(super) search: Vec<Box<str>>,
    /// The least number of dots with which a host is queried as written first, from 0 to 15.
    pub(super) ndots: u8,
    /// How long a lookup waits for one server, at least 1 s.
    pub(super) timeout: Duration,
    /// How often a lookup goes through the list of servers, from 1 to 5.
    pub(super) attempts: u8,
    /// Whether each lookup starts with the next server.
    pub(super) rotate: bool,
    pub(super) edns: bool,
    /// Whether a lookup queries A and AAAA one after the other.
    pub(super) single_request: bool,
    pub(super) ip_strategy: IpStrategy,
}

/// The defaults of resolv.conf(5), with EDNS.
impl Default for StubConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            edns: true,
            single_request: false,
            ip_strategy: IpStrategy::Both,
        }
    }
}

/// A name server and the protocol by which lookups query the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    /// The address and port, with the scope of an IPv6 link-local address.
    pub(super) addr: SocketAddr,
    pub(super) protocol: Protocol,
}

/// The protocol by which lookups query a name server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// UDP, and TCP if a UDP reply is truncated.
    #[default]
    Udp,
    /// TCP only.
    Tcp,
}

/// The record types that lookups query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IpStrategy {
    /// A and AAAA.
    #[default]
    Both,
    /// A only.
    Ipv4Only,
    /// AAAA only.
    Ipv6Only,
}

impl IpStrategy {
    /// Returns whether answers may contain addresses of the family of `addr`.
    pub(super) fn takes(self, addr: IpAddr) -> bool {
        match self {
            Self::Both => true,
            Self::Ipv4Only => addr.is_ipv4(),
            Self::Ipv6Only => addr.is_ipv6(),
        }
    }
}
