//! The builder of a `Dns` with name servers and options of the caller.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::config::{IpStrategy, Protocol, Server, StubConfig};
use super::system::SystemFiles;
use super::{Dns, Source};
use crate::error::InvalidConfig;
use crate::host::{self, Parsed};

/// Builds a [`Dns`] with your own name servers and options.
///
/// The options have their names from resolv.conf(5).
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

/// Most name servers and most domains of a search list.
const MOST: usize = 32;
/// Greatest `ndots` (resolv.conf(5)).
const MAX_NDOTS: usize = 15;
/// Most attempts (resolv.conf(5)).
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

    /// Adds a name server that is asked over UDP, and over TCP if a reply is truncated.
    ///
    /// Name servers are asked in the order in which they are added. An IPv6 link-local address needs its
    /// scope.
    pub fn server(self, addr: SocketAddr) -> Self {
        self.server_by(addr, Protocol::Udp)
    }

    /// Adds a name server that is asked by a protocol of your choice.
    pub fn server_by(mut self, addr: SocketAddr, protocol: Protocol) -> Self {
        self.config.servers.push(Server { addr, protocol });
        self
    }

    /// Sets the search list: the domains to append to names.
    ///
    /// `Dns` appends the domains first to a name with fewer dots than [`ndots`](Self::ndots), and to any
    /// other name if it is not found. A second call replaces the first.
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

    /// Sets the number of dots from which a name is first asked for as it is written.
    ///
    /// Defaults to 1; at most 15.
    pub fn ndots(mut self, ndots: usize) -> Self {
        self.ndots = ndots;
        self
    }

    /// Sets how long `Dns` waits for the reply of one name server.
    ///
    /// Defaults to 5 s; at least 1 s and at most 30 s. `Dns` asks the next server sooner (after a tenth of this
    /// time, or five times what the server usually takes, and at least 250 ms), and still takes the first server's
    /// reply then.
    /// [`Builder::lookup_timeout`](crate::Builder::lookup_timeout) limits the whole lookup.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout;
        self
    }

    /// Sets how often one lookup asks a name server that does not answer.
    ///
    /// Defaults to 2; at least 1 and at most 5.
    pub fn attempts(mut self, attempts: usize) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets whether each lookup starts with another server, to spread the load.
    ///
    /// Defaults to `false`.
    pub fn rotate(mut self, on: bool) -> Self {
        self.config.rotate = on;
        self
    }

    /// Sets whether the system's hosts file comes before the name servers.
    ///
    /// Defaults to `true`.
    pub fn use_hosts(mut self, on: bool) -> Self {
        self.use_hosts = on;
        self
    }

    /// Sets which record types `Dns` asks for.
    ///
    /// Defaults to [`IpStrategy::Both`].
    pub fn ip_strategy(mut self, strategy: IpStrategy) -> Self {
        self.config.ip_strategy = strategy;
        self
    }

    /// Sets whether queries carry EDNS, which lets replies over UDP be longer than 512 octets.
    ///
    /// `Dns` asks a server that refuses EDNS again without it.
    ///
    /// Defaults to `true`. Turn EDNS off if a firewall drops such queries.
    pub fn edns(mut self, on: bool) -> Self {
        self.config.edns = on;
        self
    }

    /// Makes the lookup. The call needs no tokio runtime.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] names the setter whose value is invalid.
    pub fn build(self) -> Result<Dns, InvalidConfig> {
        self.build_for("server")
    }

    /// Makes the lookup; an error about the name servers names `setter`.
    pub(super) fn build_for(self, setter: &'static str) -> Result<Dns, InvalidConfig> {
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

    fn check(&self, setter: &'static str) -> Result<(), InvalidConfig> {
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
        Err(InvalidConfig::new(setter, problem))
    }
}

/// Returns whether the search list may hold a domain; the root is a domain too.
fn is_domain(domain: &str) -> bool {
    let is_name = |parsed| !matches!(parsed, Parsed::Literal(_));
    domain.is_empty() || host::parse(domain).is_ok_and(is_name)
}
