//! What is compared where all is well.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use clap::ValueEnum;
use http::Extensions;
use hyper::Uri;
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector, HttpInfo};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use sidestep::Resolver;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer as _, Service, ServiceExt as _};

use crate::at_once::AtOnce;
use crate::fixed::{DAY, Fixed};

const HOST: &str = "static.edge-cdn.example.test";

/// A connector and what is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Candidate {
    AtOnce,
    AtOnceWatched,
    AtOnceRaced,
    Tcp,
    TcpWatched,
    TcpRaced,
}

impl Candidate {
    pub(crate) const ALL: [Self; 6] = [
        Self::AtOnce,
        Self::AtOnceWatched,
        Self::AtOnceRaced,
        Self::Tcp,
        Self::TcpWatched,
        Self::TcpRaced,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::AtOnce => "connects at once, bare",
            Self::AtOnceWatched => "connects at once, ConnectLayer",
            Self::AtOnceRaced => "connects at once, race",
            Self::Tcp => "HttpConnector, bare",
            Self::TcpWatched => "HttpConnector, ConnectLayer",
            Self::TcpRaced => "HttpConnector, race",
        }
    }

    /// Returns the same connector with nothing around it.
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

/// Everything is made once: a listener, a resolver that knows one address, and the connectors.
pub(crate) struct World {
    runtime: Runtime,
    resolver: Resolver,
    uri: Uri,
    at_once: AtOnce,
    tcp: HttpConnector<Resolver>,
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
        Self {
            runtime,
            resolver,
            uri,
            at_once,
            tcp,
        }
    }

    /// Connects so many times.
    pub(crate) fn run(&self, candidate: Candidate, ops: u32) {
        let (watch, race) = (
            self.resolver.connect_layer(),
            self.resolver.happy_eyeballs_layer(),
        );
        let (at_once, tcp) = (self.at_once.clone(), self.tcp.clone());
        match candidate {
            Candidate::AtOnce => self.repeat(ops, at_once, drop),
            Candidate::AtOnceWatched => self.repeat(ops, watch.layer(at_once), drop),
            Candidate::AtOnceRaced => self.repeat(ops, race.layer(at_once), drop),
            Candidate::Tcp => self.repeat(ops, tcp, hang_up),
            Candidate::TcpWatched => self.repeat(ops, watch.layer(tcp), hang_up),
            Candidate::TcpRaced => self.repeat(ops, race.layer(tcp), hang_up),
        }
    }

    fn repeat<S>(&self, ops: u32, mut connector: S, end: fn(S::Response))
    where
        S: Service<Uri>,
        S::Error: std::fmt::Debug,
    {
        self.runtime.block_on(async {
            for _ in 0..ops {
                let ready = poll_fn(|cx| connector.poll_ready(cx)).await;
                ready.expect("a connector is always ready");
                let made = connector.call(self.uri.clone()).await;
                end(made.expect("the listener lives"));
            }
        });
    }
}

/// Starts a listener that accepts and drops, on a thread of its own: allocations of other threads are
/// not counted.
fn listen() -> io::Result<SocketAddr> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    // Room for more than a slice of connects: a full queue would cost a second.
    socket.listen(4096)?;
    let listener = TcpListener::from(socket);
    let addr = listener.local_addr();
    thread::spawn(move || listener.incoming().for_each(drop));
    addr
}

/// Reads of a connection what a layer reads.
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
