//! The builder of a `Dns` with the caller's name servers and options.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::config::{IpStrategy, Protocol, Server, StubConfig};
use super::system::SystemFiles;
use super::{Dns, Source};
use crate::error::ConfigError;
use crate::host::{self, Parsed};

/// Builds a [`Dns`] with your own name servers and options.
///
/// The options are named as in resolv.conf(5).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sidestep::lookup::{Dns, IpStrategy, Protocol};
///
/// let dns = Dns::builder()
///     .server("192.0.2.53:53".parse()?)
///     .server_by("[2001:db8::53]:53".parse()?, Protocol::Tcp)
///     .search(["corp.example.com"])
///     .timeout(Duration::from_secs(2))
///     .ip_strategy(IpStrategy::Ipv4Only)
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct DnsBuilder {
    config: StubConfig,
    use_hosts: bool,
    ndots: usize,
    attempts: usize,
}

/// The maximum number of name servers, and of domains in a search list.
const MOST: usize = 32;
/// The maximum of `ndots` (resolv.conf(5)).
const MAX_NDOTS: usize = 15;
/// The maximum of `attempts` (resolv.conf(5)).
const MAX_ATTEMPTS: usize = 5;

impl DnsBuilder {
    pub(super) fn new() -> Self {
        let config = StubConfig::default();
        Self {
            ndots: config.ndots.into(),
            attempts: config.attempts.into(),
            config,
            use_hosts: true,
        }
    }

    /// Adds a name server that `Dns` queries over UDP, and over TCP if a reply is truncated.
    ///
    /// `Dns` queries the name servers in the order in which they were added. An IPv6 link-local address needs its
    /// scope.
    pub fn server(self, addr: SocketAddr) -> Self {
        self.server_by(addr, Protocol::Udp)
    }

    /// Adds a name server and the protocol by which `Dns` queries the server.
    pub fn server_by(mut self, addr: SocketAddr, protocol: Protocol) -> Self {
        self.config.servers.push(Server { addr, protocol });
        self
    }

    /// Sets the search list, which contains the domains that `Dns` appends to hosts.
    ///
    /// If a host has fewer dots than [`ndots`](Self::ndots), `Dns` queries the host with each domain first, and the
    /// host as written last. Otherwise `Dns` queries the host as written first. A second call replaces the list of
    /// the first.
    ///
    /// Defaults to an empty list.
    pub fn search<D: AsRef<str>>(mut self, domains: impl IntoIterator<Item = D>) -> Self {
        let domain = |domain: D| domain.as_ref().trim_end_matches('.').to_ascii_lowercase();
        self.config.search = domains
            .into_iter()
            .map(|it| domain(it).into_boxed_str())
            .collect();
        self
    }

    /// Sets the least number of dots with which `Dns` queries a host as written first.
    ///
    /// Defaults to 1. The maximum is 15.
    pub fn ndots(mut self, ndots: usize) -> Self {
        self.ndots = ndots;
        self
    }

    /// Sets how long `Dns` waits for the reply of one name server.
    ///
    /// Defaults to 5 s. The minimum is 1 s, and the maximum is 30 s.
    ///
    /// `Dns` queries the next server before this time is over, and still accepts the reply of the first server. The
    /// delay is five times the usual time of the first server, or a tenth of the timeout if the usual time is
    /// unknown. The delay is at least 250 ms.
    ///
    /// [`ResolverBuilder::lookup_timeout`](crate::ResolverBuilder::lookup_timeout) limits the whole lookup.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout;
        self
    }

    /// Sets how often one lookup queries a name server that does not answer.
    ///
    /// Defaults to 2. The minimum is 1, and the maximum is 5.
    pub fn attempts(mut self, attempts: usize) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets whether each lookup starts with the next server, to spread the load.
    ///
    /// Defaults to `false`.
    pub fn rotate(mut self, on: bool) -> Self {
        self.config.rotate = on;
        self
    }

    /// Sets whether `Dns` reads the system's hosts file before querying name servers.
    ///
    /// Defaults to `true`.
    pub fn use_hosts(mut self, on: bool) -> Self {
        self.use_hosts = on;
        self
    }

    /// Sets which record types `Dns` queries.
    ///
    /// Defaults to [`IpStrategy::Both`].
    pub fn ip_strategy(mut self, strategy: IpStrategy) -> Self {
        self.config.ip_strategy = strategy;
        self
    }

    /// Sets whether queries carry EDNS, which allows UDP replies of more than 512 octets.
    ///
    /// If a server refuses EDNS, `Dns` sends the query again without EDNS.
    ///
    /// Defaults to `true`. Turn EDNS off if a firewall drops such queries.
    pub fn edns(mut self, on: bool) -> Self {
        self.config.edns = on;
        self
    }

    /// Builds the [`Dns`].
    ///
    /// `build` needs no tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if a value is invalid. The error names the setter.
    pub fn build(self) -> Result<Dns, ConfigError> {
        self.build_for("server")
    }

    /// Builds the [`Dns`], where an error about the name servers names `setter`.
    pub(super) fn build_for(self, setter: &'static str) -> Result<Dns, ConfigError> {
        self.check(setter)?;
        let Self {
            mut config,
            use_hosts,
            ndots,
            attempts,
        } = self;
        config.ndots = ndots.try_into().unwrap_or(u8::MAX);
        config.attempts = attempts.try_into().unwrap_or(u8::MAX);
        let hosts = use_hosts.then(SystemFiles::for_hosts);
        Ok(Dns::new(Source::Named(Arc::new(config), hosts)))
    }

    fn check(&self, setter: &'static str) -> Result<(), ConfigError> {
        let config = &self.config;
        let unspecified = |server: &Server| server.addr.ip().is_unspecified();
        let needs_scope = |server: &Server| match (server.addr, server.addr.ip()) {
            (SocketAddr::V6(addr), IpAddr::V6(ip)) => {
                ip.is_unicast_link_local() && addr.scope_id() == 0
            }
            _ => false,
        };
        let (setter, problem) = match () {
            () if config.servers.is_empty() => (setter, "at least one name server is needed"),
            () if config.servers.len() > MOST => (setter, "at most 32 name servers are asked"),
            () if config.servers.iter().any(|server| server.addr.port() == 0) => {
                (setter, "a name server's port is 0; DNS listens on 53")
            }
            () if config.servers.iter().any(unspecified) => {
                (setter, "a name server's address is unspecified")
            }
            () if config.servers.iter().any(needs_scope) => (
                setter,
                "a link-local name server needs the scope of its interface",
            ),
            () if config.search.len() > MOST => ("search", "at most 32 domains are searched"),
            () if !config.search.iter().all(|domain| is_domain(domain)) => {
                ("search", "a domain is no name")
            }
            () if self.ndots > MAX_NDOTS => ("ndots", "it must not exceed 15"),
            () if !(1..=MAX_ATTEMPTS).contains(&self.attempts) => {
                ("attempts", "it must be at least 1 and at most 5")
            }
            () if config.timeout < Duration::from_secs(1) => ("timeout", "it must be at least 1 s"),
            () if config.timeout > Duration::from_secs(30) => {
                ("timeout", "it must not exceed 30 s")
            }
            () => return Ok(()),
        };
        Err(ConfigError::new(setter, problem))
    }
}

/// Returns whether a search list may contain `domain`, which may be the root.
fn is_domain(domain: &str) -> bool {
    let is_name = |parsed| !matches!(parsed, Parsed::Literal(_));
    domain.is_empty() || host::parse(domain).is_ok_and(is_name)
}
