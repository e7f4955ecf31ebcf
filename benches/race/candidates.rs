//! The connectors that the bench compares on a healthy address.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use http::Extensions;
use hyper::Uri;
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector, HttpInfo};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use sidestep::{Connect, HappyEyeballs, Resolver};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tower::timeout::Timeout;
use tower::{Layer as _, Service, ServiceExt as _};

use crate::at_once::AtOnce;
use crate::fixed::{DAY, Fixed};

const HOST: &str = "static.edge-cdn.example.test";
/// A timeout that no connect of the bench reaches.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A connector with its layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Candidate {
    AtOnce,
    AtOnceWatched,
    AtOnceRaced,
    Tcp,
    /// With a timeout of tower, to see what one timer of tokio costs.
    TcpTimed,
    TcpWatched,
    TcpRaced,
}

impl Candidate {
    pub(crate) const ALL: [Self; 7] = [
        Self::AtOnce,
        Self::AtOnceWatched,
        Self::AtOnceRaced,
        Self::Tcp,
        Self::TcpTimed,
        Self::TcpWatched,
        Self::TcpRaced,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::AtOnce => "connects at once, bare",
            Self::AtOnceWatched => "connects at once, ConnectLayer",
            Self::AtOnceRaced => "connects at once, race",
            Self::Tcp => "HttpConnector, bare",
            Self::TcpTimed => "HttpConnector, tower's timeout",
            Self::TcpWatched => "HttpConnector, ConnectLayer",
            Self::TcpRaced => "HttpConnector, race",
        }
    }

    /// Returns the same connector without layers.
    pub(crate) fn bare(self) -> Self {
        match self.is_at_once() {
            true => Self::AtOnce,
            false => Self::Tcp,
        }
    }

    pub(crate) fn is_at_once(self) -> bool {
        matches!(self, Self::AtOnce | Self::AtOnceWatched | Self::AtOnceRaced)
    }

    pub(crate) fn is_raced(self) -> bool {
        matches!(self, Self::AtOnceRaced | Self::TcpRaced)
    }
}

/// All parts are built once: a listener, a resolver with one address, and the connectors.
pub(crate) struct World {
    runtime: Runtime,
    uri: Uri,
    at_once: AtOnce,
    tcp: HttpConnector<Resolver>,
    // A client wraps its connector once, and clones it for each connect.
    at_once_watched: Connect<AtOnce>,
    at_once_raced: HappyEyeballs<AtOnce>,
    tcp_timed: Timeout<HttpConnector<Resolver>>,
    tcp_watched: Connect<HttpConnector<Resolver>>,
    tcp_raced: HappyEyeballs<HttpConnector<Resolver>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let addr = listen().expect("loopback has a port");
        let uri = format!("http://{HOST}:{}/", addr.port());
        let uri: Uri = uri.parse().expect("it is a URI");
        let resolver = Resolver::builder()
            .lookup(Fixed(vec![addr.ip()]))
            .min_ttl(DAY)
            .max_ttl(DAY)
            .build()
            .expect("the settings are valid");
        let tcp = HttpConnector::new_with_resolver(resolver.clone());
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let at_once = AtOnce {
            resolver: resolver.clone(),
            info: runtime.block_on(info(tcp.clone(), uri.clone())),
        };
        let (watch, race) = (resolver.connect_layer(), resolver.happy_eyeballs_layer());
        Self {
            at_once_watched: watch.layer(at_once.clone()),
            at_once_raced: race.layer(at_once.clone()),
            tcp_timed: Timeout::new(tcp.clone(), TIMEOUT),
            tcp_watched: watch.layer(tcp.clone()),
            tcp_raced: race.layer(tcp.clone()),
            runtime,
            uri,
            at_once,
            tcp,
        }
    }

    /// Connects `n` times.
    pub(crate) fn run(&self, candidate: Candidate, ops: u32) {
        match candidate {
            Candidate::AtOnce => self.repeat(ops, &self.at_once, drop),
            Candidate::AtOnceWatched => self.repeat(ops, &self.at_once_watched, drop),
            Candidate::AtOnceRaced => self.repeat(ops, &self.at_once_raced, drop),
            Candidate::Tcp => self.repeat(ops, &self.tcp, hang_up),
            Candidate::TcpTimed => self.repeat(ops, &self.tcp_timed, hang_up),
            Candidate::TcpWatched => self.repeat(ops, &self.tcp_watched, hang_up),
            Candidate::TcpRaced => self.repeat(ops, &self.tcp_raced, hang_up),
        }
    }

    fn repeat<S>(&self, ops: u32, connector: &S, end: fn(S::Response))
    where
        S: Service<Uri> + Clone,
        S::Error: std::fmt::Debug,
    {
        self.runtime.block_on(async {
            for _ in 0..ops {
                let mut connector = connector.clone();
                let ready = poll_fn(|cx| connector.poll_ready(cx)).await;
                ready.expect("a connector is always ready");
                let made = connector.call(self.uri.clone()).await;
                end(made.expect("the listener lives"));
            }
        });
    }
}

/// Starts a listener that accepts and drops connections, on its own thread, because allocations of other threads do not
/// count.
fn listen() -> io::Result<SocketAddr> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    // The queue has room for more than a slice of connects, because a full queue would delay a connect by a second.
    socket.listen(4096)?;
    let listener = TcpListener::from(socket);
    let addr = listener.local_addr();
    thread::spawn(move || listener.incoming().for_each(drop));
    addr
}

/// Reads the fields of a connection that a layer reads.
async fn info(tcp: HttpConnector<Resolver>, uri: Uri) -> HttpInfo {
    let made = tcp.oneshot(uri).await.expect("the listener lives");
    let mut extras = Extensions::new();
    made.connected().get_extras(&mut extras);
    let info = extras.get::<HttpInfo>().cloned();
    info.expect("hyper-util tells the address")
}

/// Closes without `TIME_WAIT`, so that the ports do not run out.
fn hang_up(stream: TokioIo<TcpStream>) {
    let told = stream.inner().set_zero_linger();
    told.expect("the socket is open");
}
