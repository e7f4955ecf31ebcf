//! A connector as hyper-util's, with TLS around it, that dials nobody: each address does as it is told.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::str::FromStr as _;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};
use std::thread;

use http::Extensions;
use hyper::Uri;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector, HttpInfo};
use sidestep::Resolver;
use tokio::time::Instant;
use tower::{Service, ServiceExt as _};

use crate::fate::{Fate, pass, v4};
use crate::faults::BoxError;

/// How a dial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Connected,
    Failed,
    Cancelled,
}

/// One dial; times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dial {
    pub(crate) addr: IpAddr,
    pub(crate) begun: u64,
    pub(crate) tcp_up: Option<u64>,
    pub(crate) ended: Option<(u64, End)>,
}

/// What every part of a stage shares.
pub(crate) struct Plot {
    pub(crate) begun: Instant,
    pub(crate) fates: HashMap<IpAddr, Fate>,
    pub(crate) dials: Vec<Dial>,
    /// Connections that are held.
    pub(crate) open: usize,
    /// Pending dials, and the most of them at one time.
    pub(crate) pending: usize,
    pub(crate) most: usize,
}

#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Plot>>);

impl Shared {
    pub(crate) fn new(cast: &[(IpAddr, Fate)]) -> Self {
        // Made before anything is timed.
        LazyLock::force(&INFOS);
        Self(Arc::new(Mutex::new(Plot {
            begun: Instant::now(),
            fates: cast.iter().copied().collect(),
            dials: Vec::new(),
            open: 0,
            pending: 0,
            most: 0,
        })))
    }

    pub(crate) fn edit<T>(&self, change: impl FnOnce(&mut Plot) -> T) -> T {
        change(&mut self.0.lock().expect("no step panics with the plot"))
    }

    fn fate(&self, addr: IpAddr) -> Fate {
        let fate = self.edit(|plot| plot.fates.get(&addr).copied());
        fate.unwrap_or_else(|| panic!("{addr} is not in this play"))
    }

    fn dial(&self, addr: IpAddr) -> Dialling {
        let place = self.edit(|plot| {
            let begun = plot.now();
            plot.dials.push(Dial {
                addr,
                begun,
                tcp_up: None,
                ended: None,
            });
            plot.pending += 1;
            plot.most = plot.most.max(plot.pending);
            plot.dials.len() - 1
        });
        Dialling {
            addr,
            place,
            plot: self.clone(),
        }
    }
}

impl Plot {
    pub(crate) fn now(&self) -> u64 {
        let passed = Instant::now() - self.begun;
        passed.as_millis().try_into().expect("a test is short")
    }
}

/// A dial in the air; dropped before it has ended it was cancelled.
struct Dialling {
    addr: IpAddr,
    place: usize,
    plot: Shared,
}

impl Dialling {
    fn tcp_is_up(&self) {
        self.plot.edit(|plot| {
            let now = plot.now();
            plot.dials[self.place].tcp_up = Some(now);
        });
    }

    fn end(&self, end: End) {
        self.plot.edit(|plot| {
            let now = plot.now();
            let ended = &mut plot.dials[self.place].ended;
            if ended.is_none() {
                *ended = Some((now, end));
                plot.pending -= 1;
                plot.open += usize::from(end == End::Connected);
            }
        });
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        self.end(End::Cancelled);
    }
}

/// A connection, or one that is half made.
pub(crate) struct Link(Dialling);

impl Link {
    pub(crate) fn addr(&self) -> IpAddr {
        self.0.addr
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a link to {}", self.addr())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let connected = |dial: &Dial| matches!(dial.ended, Some((_, End::Connected)));
        self.0.plot.edit(|plot| {
            plot.open -= usize::from(connected(&plot.dials[self.0.place]));
        });
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        connected_to(self.addr())
    }
}

/// What hyper-util tells of a connection to this address.
pub(crate) fn connected_to(addr: IpAddr) -> Connected {
    match INFOS.get(&addr) {
        Some(info) => Connected::new().extra(info.clone()),
        None => Connected::new(),
    }
}

/// What hyper-util tells of connections; nobody else can make it, so it is taken from real ones.
static INFOS: LazyLock<HashMap<IpAddr, HttpInfo>> = LazyLock::new(|| {
    let real = thread::spawn(|| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime starts");
        let each = (2..=17).filter_map(|last| runtime.block_on(info(v4(last))));
        each.collect()
    });
    real.join().expect("loopback connects")
});

async fn info(ip: IpAddr) -> Option<(IpAddr, HttpInfo)> {
    // Some systems have one address on loopback.
    let listener = TcpListener::bind((ip, 0)).ok()?;
    let addr: SocketAddr = listener.local_addr().ok()?;
    let uri = Uri::from_str(&format!("http://{addr}/")).ok()?;
    let stream = HttpConnector::new().oneshot(uri).await.ok()?;
    let mut extras = Extensions::new();
    stream.connected().get_extras(&mut extras);
    Some((ip, extras.remove()?))
}

pub(crate) type Linking = Pin<Box<dyn Future<Output = Result<Link, BoxError>> + Send>>;

/// Asks the resolver and dials what it is dealt, one after the other.
#[derive(Clone)]
pub(crate) struct Tcp {
    pub(crate) resolver: Resolver,
    pub(crate) plot: Shared,
    pub(crate) asks_after: u64,
}

impl Service<Uri> for Tcp {
    type Response = Link;
    type Error = BoxError;
    type Future = Linking;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Linking {
        let Self {
            resolver,
            plot,
            asks_after,
        } = self.clone();
        Box::pin(async move {
            pass(asks_after).await;
            let host = uri.host().expect("it has a host");
            let name = Name::from_str(host).expect("it is a name");
            let mut failed = None;
            for addr in resolver.oneshot(name).await? {
                let dialling = plot.dial(addr.ip());
                match plot.fate(addr.ip()).tcp.run().await {
                    Ok(()) => {
                        dialling.tcp_is_up();
                        return Ok(Link(dialling));
                    }
                    Err(error) => {
                        dialling.end(End::Failed);
                        failed = Some(error);
                    }
                }
            }
            Err(failed.expect("at least one address is dealt"))
        })
    }
}

/// Shakes hands on what the connector inside has made.
#[derive(Clone)]
pub(crate) struct Tls<S> {
    pub(crate) tcp: S,
    pub(crate) plot: Shared,
}

impl<S> Service<Uri> for Tls<S>
where
    S: Service<Uri, Response = Link>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Link;
    type Error = BoxError;
    type Future = Linking;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Linking {
        let (connecting, plot) = (self.tcp.call(uri), self.plot.clone());
        Box::pin(async move {
            let link = connecting.await.map_err(Into::into)?;
            let shaken = plot.fate(link.addr()).tls.run().await;
            link.0.end(match shaken {
                Ok(()) => End::Connected,
                Err(_) => End::Failed,
            });
            shaken.map(|()| link)
        })
    }
}
