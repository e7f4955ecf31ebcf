//! Settings of the stub resolver, in the words of resolv.conf(5).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Settings of the stub resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StubConfig {
    pub(super) servers: Vec<Server>,
    /// Absolute domains without the root dot, in the order in which they are appended.
    pub(super) search: Vec<Box<str>>,
    /// A name with at least this many dots is first asked for as it is written. 0 to 15.
    pub(super) ndots: u8,
    /// How long a lookup waits for one server. At least 1 s.
    pub(super) timeout: Duration,
    /// How often a lookup goes through the list of servers. 1 to 5.
    pub(super) attempts: u8,
    /// Whether each lookup starts with another server.
    pub(super) rotate: bool,
    pub(super) edns: bool,
    /// Whether A and AAAA are asked one after the other.
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

/// A name server and how it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    /// IPv6 link-local addresses keep their scope.
    pub(super) addr: SocketAddr,
    pub(super) protocol: Protocol,
}

/// How a name server is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// Over UDP, and over TCP if a reply over UDP is truncated.
    #[default]
    Udp,
    /// Over TCP alone.
    Tcp,
}

/// Which record types are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IpStrategy {
    /// A and AAAA.
    #[default]
    Both,
    /// A alone.
    Ipv4Only,
    /// AAAA alone.
    Ipv6Only,
}

impl IpStrategy {
    /// Returns whether addresses of this family are wanted.
    pub(super) fn takes(self, addr: IpAddr) -> bool {
        match self {
            Self::Both => true,
            Self::Ipv4Only => addr.is_ipv4(),
            Self::Ipv6Only => addr.is_ipv6(),
        }
    }
}
