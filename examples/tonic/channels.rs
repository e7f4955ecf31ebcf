//! Two channels that survive the death of a server.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hyper_util::client::legacy::connect::HttpConnector;
use sidestep::{AddressState, ConfigError, Event, Outcome, Resolver, lookup::Dns};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};
use tonic::transport::channel::Change;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::Layer as _;

/// Returns a channel with one connection. When the connection ends, the next call starts a race over all addresses of
/// the host.
///
/// For `https://` use [`sidestep::hyper::connector`] instead of this connector, without the TLS features of tonic.
pub(crate) fn raced(resolver: &Resolver, origin: &Uri) -> Channel {
    let mut http = HttpConnector::new_with_resolver(resolver.clone());
    http.set_nodelay(true);
    let connector = resolver.happy_eyeballs_layer().layer(http);
    endpoint(origin).connect_with_connector_lazy(connector)
}

/// Returns a channel with a connection to each server, and its feed. The feed has to run, because this channel
/// connects to addresses and looks up no host.
pub(crate) fn balanced(host: Host) -> (Channel, Feed) {
    let (channel, changes) = Channel::balance_channel(64);
    let fed = BTreeSet::new();
    let feed = Feed { host, changes, fed };
    (channel, feed)
}

fn endpoint(uri: &Uri) -> Endpoint {
    Endpoint::from(uri.clone())
        // Pings detect a connection whose packets are lost. Many gRPC servers allow only one ping in five minutes by
        // default, so set both ends.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
}

/// A host, its resolver, and a signal for new answers and failures.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) resolver: Resolver,
    pub(crate) origin: Uri,
    news: Arc<Notify>,
}

impl Host {
    pub(crate) fn new(origin: Uri, lookup: Dns) -> Result<Self, ConfigError> {
        let news = Arc::new(Notify::new());
        let told = news.clone();
        let resolver = Resolver::builder()
            .lookup(lookup)
            .observe(move |event: &Event<'_>| match event {
                Event::LookupSucceeded { .. }
                | Event::AddressFailed { .. }
                | Event::AddressRecovered { .. } => told.notify_one(),
                _ => {}
            })
            .build()?;
        Ok(Self {
            resolver,
            origin,
            news,
        })
    }

    fn name(&self) -> &str {
        self.origin.host().expect("the origin has a host")
    }

    fn at(&self, ip: IpAddr) -> SocketAddr {
        let port = self.origin.port_u16().expect("the origin has a port");
        SocketAddr::new(ip, port)
    }

    /// Connects to all addresses and reports the outcomes to the resolver, because tonic does not report how the
    /// connects of a balanced channel end.
    pub(crate) async fn check(&self) {
        let Ok(resolved) = self.resolver.resolve(self.name()).await else {
            return;
        };
        let dials = resolved.addrs().iter().map(|&ip| async move {
            let dial = TcpStream::connect(self.at(ip));
            let outcome = match timeout(Duration::from_millis(250), dial).await {
                Ok(Ok(_)) => Outcome::Connected,
                Ok(Err(error)) => Outcome::from_error(&error),
                Err(_) => Outcome::TimedOut,
            };
            self.resolver.report(self.name(), ip, outcome);
        });
        join_all(dials).await;
    }

    /// Returns the addresses to connect to: those without a penalty, or all if each has one.
    async fn usable(&self) -> Result<BTreeSet<IpAddr>, sidestep::ResolveError> {
        let resolved = self.resolver.resolve(self.name()).await?;
        let snapshot = self.resolver.snapshot();
        let host = snapshot.host(self.name());
        let is_bad = |ip: &IpAddr| {
            let addr = host.and_then(|host| host.addr(*ip));
            addr.is_some_and(|addr| addr.state == AddressState::Penalized)
        };
        let all: BTreeSet<_> = resolved.addrs().iter().copied().collect();
        let good: BTreeSet<_> = all.iter().copied().filter(|ip| !is_bad(ip)).collect();
        Ok(if good.is_empty() { all } else { good })
    }
}

/// Updates a balanced channel when DNS changes and addresses fail.
pub(crate) struct Feed {
    host: Host,
    changes: mpsc::Sender<Change<IpAddr, Endpoint>>,
    fed: BTreeSet<IpAddr>,
}

impl Feed {
    /// Runs until the channel is dropped.
    pub(crate) async fn run(mut self) {
        while self.update().await.is_ok() {
            tokio::select! {
                () = self.host.news.notified() => {}
                // A host that is not in use has no refresh, so the feed resolves the host at times.
                () = sleep(Duration::from_millis(500)) => {}
                () = self.changes.closed() => return,
            }
        }
    }

    async fn update(&mut self) -> Result<(), mpsc::error::SendError<Change<IpAddr, Endpoint>>> {
        // Without a fresh or a stale answer, the channel keeps its connections.
        let Ok(usable) = self.host.usable().await else {
            return Ok(());
        };
        for &ip in usable.difference(&self.fed) {
            self.changes.send(Change::Insert(ip, self.to(ip))).await?;
        }
        for &ip in self.fed.difference(&usable) {
            self.changes.send(Change::Remove(ip)).await?;
        }
        self.fed = usable;
        Ok(())
    }

    /// Returns the endpoint of one address. Its calls have the name of the host.
    fn to(&self, ip: IpAddr) -> Endpoint {
        let uri = format!("http://{}", self.host.at(ip));
        let uri = Uri::from_maybe_shared(uri).expect("an address makes a URI");
        endpoint(&uri)
            .origin(self.host.origin.clone())
            .connect_timeout(Duration::from_millis(500))
    }
}
