//! The world of a test: edges, a name server, a resolver that asks it, and what it tells.
#![allow(dead_code, unused_imports, reason = "each test crate uses a part")]

mod bound;
mod clock;
mod dial_log;
mod edge;
mod nack;
mod name_server;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sidestep::lookup::Dns;
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressState, DrainReason, Event, Outcome, Resolver, ResolverBuilder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) use self::bound::within;
pub(crate) use self::clock::{Clock, sleep, while_pending};
pub(crate) use self::dial_log::{DialLog, Dialled};
pub(crate) use self::edge::{Edges, Guest, Mode, Scheme, Stream};
pub(crate) use self::nack::{Nack, nacking};
pub(crate) use self::name_server::{Fault, NameServer, RecordType};

/// The name of the edges.
pub(crate) const HOST: &str = "edge.test";

/// Edges, a name server and a resolver; the clock is stopped, as far as the runtime can: see [`Clock`].
pub(crate) struct World {
    pub(crate) dns: NameServer,
    pub(crate) edges: Edges,
    pub(crate) resolver: Resolver,
    pub(crate) journal: Journal,
    clock: Option<Clock>,
}

impl World {
    pub(crate) async fn http(n: u8) -> Self {
        Self::of(Edges::http(n).await, |builder| builder).await
    }

    pub(crate) async fn https(n: u8) -> Self {
        Self::of(Edges::https(n).await, |builder| builder).await
    }

    /// A world of these edges, whose resolver is set up further.
    pub(crate) async fn of(
        edges: Edges,
        set: impl FnOnce(ResolverBuilder) -> ResolverBuilder,
    ) -> Self {
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

    /// Lets the clock run as the machine's does.
    pub(crate) fn in_real_time(mut self) -> Self {
        self.clock = None;
        self
    }

    pub(crate) fn ips(&self) -> Vec<IpAddr> {
        self.edges.ips()
    }

    /// A stock reqwest client with sidestep in one line; each request makes a new connection.
    pub(crate) fn client(&self) -> reqwest::Client {
        self.builder()
            .sidestep(&self.resolver)
            .build()
            .expect("the client is valid")
    }

    /// A client with `.sidestep()` in parts, whose layer gives connects up after `timeout`.
    pub(crate) fn client_giving_up(&self, timeout: impl Into<Option<Duration>>) -> reqwest::Client {
        let layer = self.resolver.connect_layer().caller_retries(true);
        self.builder()
            .dns_resolver(self.resolver.clone())
            .connector_layer(layer.timeout(timeout))
            .retry(sidestep::reqwest::retry(&self.resolver))
            .build()
            .expect("the client is valid")
    }

    /// A client that has the resolver and the layer, and sends nothing again.
    pub(crate) fn client_without_retries(&self) -> reqwest::Client {
        self.builder()
            .dns_resolver(self.resolver.clone())
            .connector_layer(self.resolver.connect_layer())
            .build()
            .expect("the client is valid")
    }

    /// A stock reqwest client that trusts the edges, without a pool and without sidestep.
    pub(crate) fn builder(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .tls_backend_preconfigured(self.edges.client_config())
    }

    pub(crate) fn url(&self) -> String {
        self.edges.url(HOST)
    }

    /// Sends GETs, one after another, until something has happened.
    pub(crate) async fn get_until(
        &self,
        client: &reqwest::Client,
        happened: impl Fn(&Self) -> bool,
    ) {
        // With half of the addresses dead this ends by chance once in 2^200 times.
        for _ in 0..200 {
            if happened(self) {
                return;
            }
            get(client, &self.url()).await.expect("no request fails");
        }
        panic!(
            "it has not happened in 200 requests: {:?}",
            self.journal.seen()
        );
    }

    /// Where the address stands; healthy while the host has not been asked for.
    pub(crate) fn standing(&self, ip: IpAddr) -> AddressState {
        let snapshot = self.resolver.snapshot();
        let addr = snapshot.host(HOST).and_then(|host| host.addr(ip));
        addr.map_or(AddressState::Healthy, |addr| addr.state)
    }

    pub(crate) fn is_penalized(&self, ip: IpAddr) -> bool {
        self.standing(ip) == AddressState::Penalized
    }

    /// How long the penalty of the address still runs.
    #[track_caller]
    pub(crate) fn penalty_left(&self, ip: IpAddr) -> Duration {
        let snapshot = self.resolver.snapshot();
        let addr = snapshot.host(HOST).and_then(|host| host.addr(ip));
        let penalized = addr.filter(|addr| addr.state == AddressState::Penalized);
        let left = penalized.and_then(|addr| addr.until);
        left.unwrap_or_else(|| panic!("{ip} has no penalty: {addr:?}"))
    }

    /// How many TCP connections all edges have accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.ips().iter().map(|&ip| self.edges.accepted(ip)).sum()
    }

    /// How often the name server was asked for the edges' A records.
    pub(crate) fn queries(&self) -> usize {
        self.dns.queries(HOST, RecordType::A)
    }
}

/// A lookup that asks this name server.
pub(crate) fn asking(dns: &NameServer) -> Dns {
    Dns::with_servers([dns.addr()]).expect("the name server has a port")
}

/// Sends a GET and reads the whole answer, which names the edge that gave it.
pub(crate) async fn get(client: &reqwest::Client, url: &str) -> reqwest::Result<String> {
    let getting = async {
        let answer = client.get(url).send().await?.error_for_status()?;
        answer.text().await
    };
    within(format!("the answer of {url}"), while_pending(getting)).await
}

/// Starts a server on 127.0.0.1 that answers one request on each connection so, and closes it at
/// the second.
pub(crate) async fn answers(answer: impl Into<String>) -> SocketAddr {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has a port");
    let addr = listener.local_addr();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut room = [0; 1024];
                // Whoever leaves in the middle gets no more.
                let read = stream.read(&mut room).await?;
                assert!(read > 0, "it asks for something");
                stream.write_all(answer.as_bytes()).await?;
                stream.read(&mut room).await
            });
        }
    });
    addr.expect("a bound socket has an address")
}

/// What a resolver told, kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Asked,
    Failed(IpAddr, Outcome),
    Recovered(IpAddr),
    Trial(IpAddr),
    Probe(IpAddr),
    Invalidated,
    ServedStale,
    NoRoute,
    FamilyDark,
    Retired(IpAddr, DrainReason),
    ContextLost,
}

/// The transcript of a resolver's events.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<watch::Sender<Vec<Seen>>>, Arc<AtomicUsize>);

impl Journal {
    pub(crate) fn observer(&self) -> impl Fn(&Event<'_>) + Send + Sync + 'static {
        let (journal, lookups) = (self.0.clone(), self.1.clone());
        move |event| {
            match event {
                Event::LookupStarted { .. } => drop(lookups.fetch_add(1, Ordering::SeqCst)),
                Event::LookupSucceeded { .. } | Event::LookupFailed { .. } => {
                    lookups.fetch_sub(1, Ordering::SeqCst);
                }
                _ => {}
            }
            if let Some(seen) = seen(event) {
                journal.send_modify(|all| all.push(seen));
            }
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.0.borrow().clone()
    }

    /// Whether a lookup is in flight.
    pub(crate) fn is_looking_up(&self) -> bool {
        self.1.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn count(&self, is: impl Fn(&Seen) -> bool) -> usize {
        self.0.borrow().iter().filter(|seen| is(seen)).count()
    }

    pub(crate) fn failures(&self) -> Vec<(IpAddr, Outcome)> {
        let failed = |seen: &Seen| match seen {
            Seen::Failed(addr, outcome) => Some((*addr, *outcome)),
            _ => None,
        };
        self.0.borrow().iter().filter_map(failed).collect()
    }

    /// Waits until something was told.
    #[track_caller]
    pub(crate) fn saw(&self, is: impl Fn(&Seen) -> bool) -> impl Future<Output = ()> {
        let mut all = self.0.subscribe();
        within("the event", async move {
            let told = all.wait_for(|all| all.iter().any(&is)).await;
            drop(told.expect("the journal lives as long as its test"));
        })
    }
}

fn seen(event: &Event<'_>) -> Option<Seen> {
    Some(match *event {
        Event::LookupStarted { .. } => Seen::Asked,
        Event::AddressFailed { addr, outcome, .. } => Seen::Failed(addr, outcome),
        Event::AddressRecovered { addr, .. } => Seen::Recovered(addr),
        Event::TrialStarted { addr, .. } => Seen::Trial(addr),
        Event::Probe { addr, .. } => Seen::Probe(addr),
        Event::Invalidated { .. } => Seen::Invalidated,
        Event::ServedStale { .. } => Seen::ServedStale,
        Event::NoRoute { .. } => Seen::NoRoute,
        Event::FamilyDark { .. } => Seen::FamilyDark,
        Event::ConnectionDrained { addr, why, .. } => Seen::Retired(addr, why),
        Event::ContextLost { .. } => Seen::ContextLost,
        _ => return None,
    })
}
