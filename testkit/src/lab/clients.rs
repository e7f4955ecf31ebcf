//! The reqwest clients that the lab compares.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;
use std::vec::IntoIter;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::ClientConfig;
use sidestep::reqwest::ClientBuilderExt as _;

type Failure = Box<dyn Error + Send + Sync>;

/// How a client uses connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// The client makes a new connection for each request.
    New,
    /// The client keeps HTTP/2 connections and sends a ping after [`PING`] of silence, whose reply may take [`PING`].
    Kept,
}

/// Silence on a pooled connection with a request in flight after which a ping is sent, and time that the reply may
/// take.
pub const PING: Duration = Duration::from_secs(1);

/// One way to build a `reqwest::Client`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Looks the host up at every connect and caches nothing, as `getaddrinfo` does.
    Plain,
    /// Uses the cache of reqwest's `hickory-dns` feature, which obeys the TTL.
    Hickory,
    /// Uses sidestep.
    Sidestep,
}

impl Client {
    pub const ALL: [Self; 3] = [Self::Plain, Self::Hickory, Self::Sidestep];

    pub fn title(self) -> &'static str {
        match self {
            Self::Plain => "reqwest, DNS every time",
            Self::Hickory => "reqwest + hickory-dns",
            Self::Sidestep => "reqwest + sidestep",
        }
    }

    /// Returns the host that only this client looks up, so that its queries can be counted.
    pub fn host(self) -> &'static str {
        match self {
            Self::Plain => "plain.edge.test",
            Self::Hickory => "hickory.edge.test",
            Self::Sidestep => "sidestep.edge.test",
        }
    }

    /// Builds the client with the name server and the authority of the lab, and no other setting.
    pub fn build(
        self,
        dns: SocketAddr,
        mut tls: ClientConfig,
        connections: Connections,
    ) -> Result<Built, Failure> {
        let mut resolver = None;
        if connections == Connections::Kept {
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy();
        let client = match self {
            Self::Plain => client.dns_resolver(Hickory::new(dns, Some(0))?),
            Self::Hickory => client.dns_resolver(Hickory::new(dns, None)?),
            Self::Sidestep => {
                let lookup = sidestep::lookup::Dns::with_servers([dns])?;
                let ours = sidestep::Resolver::builder().lookup(lookup).build()?;
                client.sidestep(resolver.insert(ours))
            }
        };
        let client = match connections {
            Connections::New => client.pool_max_idle_per_host(0),
            // These calls come after `.sidestep()`, which sets pings too.
            Connections::Kept => client
                .http2_keep_alive_interval(PING)
                .http2_keep_alive_timeout(PING),
        };
        let http = client.build()?;
        Ok(Built { http, resolver })
    }
}

/// A client, and its resolver if sidestep provides the resolver.
#[derive(Clone, Debug)]
pub struct Built {
    pub http: reqwest::Client,
    pub resolver: Option<sidestep::Resolver>,
}

/// Returns hickory's resolver as reqwest's `hickory-dns` feature builds it, except for the name server.
#[derive(Clone)]
pub struct Hickory(TokioResolver);

impl Hickory {
    pub fn new(dns: SocketAddr, cache_size: Option<u64>) -> Result<Self, Failure> {
        let mut server = NameServerConfig::udp_and_tcp(dns.ip());
        for connection in &mut server.connections {
            connection.port = dns.port();
        }
        let config = ResolverConfig::from_name_servers(vec![server]);
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        options.cache_size = cache_size.unwrap_or(options.cache_size);
        Ok(Self(builder.build()?))
    }

    pub async fn addrs(self, host: &str) -> Result<IntoIter<SocketAddr>, Failure> {
        let answer = self.0.lookup_ip(host).await?;
        let addrs: Vec<_> = answer.iter().map(|ip| SocketAddr::new(ip, 0)).collect();
        Ok(addrs.into_iter())
    }
}

impl Resolve for Hickory {
    fn resolve(&self, name: Name) -> Resolving {
        let hickory = self.clone();
        Box::pin(async move { Ok(Box::new(hickory.addrs(name.as_str()).await?) as Addrs) })
    }
}
