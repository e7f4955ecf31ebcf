//! A connector that behaves as hyper-util's with TLS around it, without connections. The test sets what each address
//! does.

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

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Connected,
    Failed,
    Cancelled,
}

/// One attempt, with times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dial {
    pub(crate) addr: IpAddr,
    pub(crate) begun: u64,
    pub(crate) tcp_up: Option<u64>,
    pub(crate) ended: Option<(u64, End)>,
}

/// The state that all parts of a stage share.
pub(crate) struct Plot {
    pub(crate) begun: Instant,
    pub(crate) fates: HashMap<IpAddr, Fate>,
    pub(crate) dials: Vec<Dial>,
    /// Connections that are open.
    pub(crate) open: usize,
    /// Pending attempts. `most` is the largest number of them at one time.
    pub(crate) pending: usize,
    pub(crate) most: usize,
}

#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Plot>>);

impl Shared {
    pub(crate) fn new(cast: &[(IpAddr, Fate)]) -> Self {
        // The infos are made before the test takes a time.
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
        change(&mut self.0.lock().expect("no closure panics with the lock held"))
    }

    fn fate(&self, addr: IpAddr) -> Fate {
        let fate = self.edit(|plot| plot.fates.get(&addr).copied());
        fate.unwrap_or_else(|| panic!("the test sets no fate for {addr}"))
    }

    fn begin(&self, addr: IpAddr) -> PendingAttempt {
        let index = self.edit(|plot| {
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
        PendingAttempt {
            addr,
            index,
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

/// A pending attempt. If an attempt is dropped before its end, it is canceled.
struct PendingAttempt {
    addr: IpAddr,
    index: usize,
    plot: Shared,
}

impl PendingAttempt {
    fn tcp_is_up(&self) {
        self.plot.edit(|plot| {
            let now = plot.now();
            plot.dials[self.index].tcp_up = Some(now);
        });
    }

    fn end(&self, end: End) {
        self.plot.edit(|plot| {
            let now = plot.now();
            let ended = &mut plot.dials[self.index].ended;
            if ended.is_none() {
                *ended = Some((now, end));
                plot.pending -= 1;
                plot.open += usize::from(end == End::Connected);
            }
        });
    }
}

impl Drop for PendingAttempt {
    fn drop(&mut self) {
        self.end(End::Cancelled);
    }
}

/// A connection, or a TCP connection whose TLS handshake is pending.
pub(crate) struct Link(PendingAttempt);

impl Link {
    pub(crate) fn addr(&self) -> IpAddr {
        self.0.addr
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a connection to {}", self.addr())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let connected = |attempt: &Dial| matches!(attempt.ended, Some((_, End::Connected)));
        self.0.plot.edit(|plot| {
            plot.open -= usize::from(connected(&plot.dials[self.0.index]));
        });
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        connected_to(self.addr())
    }
}

/// Returns what hyper-util reports of a connection to `addr`.
pub(crate) fn connected_to(addr: IpAddr) -> Connected {
    match INFOS.get(&addr) {
        Some(info) => Connected::new().extra(info.clone()),
        None => Connected::new(),
    }
}

/// hyper-util's report for each address. Only hyper-util can make an `HttpInfo`, so these come from real connections.
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
    // Some systems have only one address on loopback.
    let listener = TcpListener::bind((ip, 0)).ok()?;
    let addr: SocketAddr = listener.local_addr().ok()?;
    let uri = Uri::from_str(&format!("http://{addr}/")).ok()?;
    let stream = HttpConnector::new().oneshot(uri).await.ok()?;
    let mut extras = Extensions::new();
    stream.connected().get_extras(&mut extras);
    Some((ip, extras.remove()?))
}

pub(crate) type Linking = Pin<Box<dyn Future<Output = Result<Link, BoxError>> + Send>>;

/// Resolves the host and attempts its addresses one after the other.
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
            let host = uri.host().expect("the URI has a host");
            let name = Name::from_str(host).expect("the host is a name");
            let mut failed = None;
            for addr in resolver.oneshot(name).await? {
                let attempt = plot.begin(addr.ip());
                match plot.fate(addr.ip()).tcp.run().await {
                    Ok(()) => {
                        attempt.tcp_is_up();
                        return Ok(Link(attempt));
                    }
                    Err(error) => {
                        attempt.end(End::Failed);
                        failed = Some(error);
                    }
                }
            }
            Err(failed.expect("the resolver returns at least one address"))
        })
    }
}

/// Runs the TLS handshake on the connection of the connector inside.
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
            let handshake = plot.fate(link.addr()).tls.run().await;
            link.0.end(match handshake {
                Ok(()) => End::Connected,
                Err(_) => End::Failed,
            });
            handshake.map(|()| link)
        })
    }
}
