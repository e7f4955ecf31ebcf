//! The world of a test: edges, a name server, a resolver, and the events of the resolver.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sidestep::lookup::Dns;
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressState, Resolver, ResolverBuilder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::{Clock, Edges, Journal, NameServer, RecordType, while_pending, within};

/// The host of the edges.
pub const HOST: &str = "edge.test";

/// Edges, a name server and a resolver. The clock is stopped if the runtime can stop its clock: see [`Clock`].
pub struct World {
    pub dns: NameServer,
    pub edges: Edges,
    pub resolver: Resolver,
    pub journal: Journal,
    clock: Option<Clock>,
}

impl World {
    pub async fn http(n: u8) -> Self {
        Self::of(Edges::http(n).await, |builder| builder).await
    }

    pub async fn https(n: u8) -> Self {
        Self::of(Edges::https(n).await, |builder| builder).await
    }

    /// Creates a world of these edges, whose resolver has the settings of `set`.
    pub async fn of(edges: Edges, set: impl FnOnce(ResolverBuilder) -> ResolverBuilder) -> Self {
        let dns = NameServer::start().await;
        dns.set(HOST, &edges.ips(), 1800);
        let journal = Journal::default();
        let builder = Resolver::builder()
            .lookup(asking(&dns))
            .observe(journal.observer());
        let resolver = set(builder).build().expect("the settings are valid");
        Self {
            dns,
            clock: Clock::stop(&edges, &journal),
            edges,
            resolver,
            journal,
        }
    }

    /// Lets the clock run in real time.
    #[must_use]
    pub fn in_real_time(mut self) -> Self {
        self.clock = None;
        self
    }

    pub fn ips(&self) -> Vec<IpAddr> {
        self.edges.ips()
    }

    /// Returns a stock reqwest client with `.sidestep()`. Each request makes a new connection.
    pub fn client(&self) -> reqwest::Client {
        self.builder()
            .sidestep(&self.resolver)
            .build()
            .expect("the client is valid")
    }

    /// Returns a client with the parts of `.sidestep()`, whose layer gives connects up after `timeout`.
    pub fn client_giving_up(&self, timeout: impl Into<Option<Duration>>) -> reqwest::Client {
        let layer = self.resolver.connect_layer().caller_retries(true);
        self.builder()
            .dns_resolver(self.resolver.clone())
            .connector_layer(layer.timeout(timeout))
            .retry(sidestep::reqwest::retry(&self.resolver))
            .build()
            .expect("the client is valid")
    }

    /// Returns a client with the resolver and the layer, and without retries.
    pub fn client_without_retries(&self) -> reqwest::Client {
        self.builder()
            .dns_resolver(self.resolver.clone())
            .connector_layer(self.resolver.connect_layer())
            .build()
            .expect("the client is valid")
    }

    /// Returns a builder of a stock reqwest client that trusts the edges, without a pool and without sidestep.
    pub fn builder(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .tls_backend_preconfigured(self.edges.client_config())
    }

    pub fn url(&self) -> String {
        self.edges.url(HOST)
    }

    /// Sends GETs, one after another, until `happened` is true.
    pub async fn get_until(&self, client: &reqwest::Client, happened: impl Fn(&Self) -> bool) {
        // If half of the addresses are dead, the loop fails by chance once in 2^200 times.
        for _ in 0..200 {
            if happened(self) {
                return;
            }
            get(client, &self.url()).await.expect("no request fails");
        }
        panic!(
            "the event has not happened in 200 requests: {:?}",
            self.journal.seen()
        );
    }

    /// Returns the state of the address, which is healthy while the host has not been looked up.
    pub fn standing(&self, ip: IpAddr) -> AddressState {
        let snapshot = self.resolver.snapshot();
        let addr = snapshot.host(HOST).and_then(|host| host.addr(ip));
        addr.map_or(AddressState::Healthy, |addr| addr.state)
    }

    pub fn is_penalized(&self, ip: IpAddr) -> bool {
        self.standing(ip) == AddressState::Penalized
    }

    /// Returns the time until the penalty of the address is over.
    #[track_caller]
    pub fn penalty_left(&self, ip: IpAddr) -> Duration {
        let snapshot = self.resolver.snapshot();
        let addr = snapshot.host(HOST).and_then(|host| host.addr(ip));
        let penalized = addr.filter(|addr| addr.state == AddressState::Penalized);
        let left = penalized.and_then(|addr| addr.until);
        left.unwrap_or_else(|| panic!("{ip} has no penalty: {addr:?}"))
    }

    /// Counts the TCP connections that all edges have accepted.
    pub fn accepted(&self) -> usize {
        self.ips().iter().map(|&ip| self.edges.accepted(ip)).sum()
    }

    /// Counts the queries for the A records of the edges.
    pub fn queries(&self) -> usize {
        self.dns.queries(HOST, RecordType::A)
    }
}

/// Returns a lookup that uses this name server.
pub fn asking(dns: &NameServer) -> Dns {
    Dns::with_servers([dns.addr()]).expect("the name server has a port")
}

/// Sends a GET and returns the body of the response, which names the edge.
pub async fn get(client: &reqwest::Client, url: &str) -> reqwest::Result<String> {
    let request = async {
        let response = client.get(url).send().await?.error_for_status()?;
        response.text().await
    };
    within(format!("the response of {url}"), while_pending(request)).await
}

/// Starts a server on 127.0.0.1 that sends `response` to the first request of each connection, and closes the
/// connection at the second request.
pub async fn answers(response: impl Into<String>) -> SocketAddr {
    let response = response.into();
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has a port");
    let addr = listener.local_addr();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let response = response.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                // If the client closes the connection early, the task ends.
                let read = stream.read(&mut buffer).await?;
                assert!(read > 0, "the client sends a request");
                stream.write_all(response.as_bytes()).await?;
                stream.read(&mut buffer).await
            });
        }
    });
    addr.expect("a bound socket has an address")
}
