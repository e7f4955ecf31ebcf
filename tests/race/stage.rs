//! A race on a paused clock: addresses that do as they are told, and what was dialled when.
//!
//! The connector asks the resolver inside of its future and dials what it is dealt, as hyper-util's
//! does; TLS is a layer around it. Each dial, its end and its cancellation is written down with its
//! time in milliseconds.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::str::FromStr as _;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use http::Extensions;
use hyper::Uri;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector, HttpInfo};
use sidestep::lookup::Answer;
use sidestep::{Builder, ConnectError, Order, Outcome, Resolver, Standing};
use tokio::time::{Instant, sleep};
use tower::{Layer as _, Service, ServiceExt as _};

use crate::common::{HOST, Journal};
use crate::faults::{self, BoxError, Fault};
use crate::script::Script;

pub(crate) const MS: Duration = Duration::from_millis(1);

/// An address on loopback: hyper-util tells of connections to it.
pub(crate) fn v4(last: u8) -> IpAddr {
    [127, 0, 0, last].into()
}

/// An address for documentation (RFC 3849): a connection to it does not tell its peer.
pub(crate) fn v6(last: u16) -> IpAddr {
    [0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into()
}

/// What TCP or TLS with an address comes to.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Hangs,
    /// It is up after so many milliseconds.
    Up(u64),
    /// It fails after so many milliseconds.
    Fails(u64, Fault),
    /// The connector panics after so many milliseconds.
    Panics(u64),
}

impl Step {
    async fn run(self) -> Result<(), BoxError> {
        match self {
            Self::Hangs => std::future::pending().await,
            Self::Up(after) => {
                pass(after).await;
                Ok(())
            }
            Self::Fails(after, fault) => {
                pass(after).await;
                Err(fault())
            }
            Self::Panics(after) => {
                pass(after).await;
                panic!("{PANIC}")
            }
        }
    }
}

/// What a connector of the stage says when it panics.
pub(crate) const PANIC: &str = "the connector broke";

async fn pass(after: u64) {
    if after > 0 {
        sleep(Duration::from_millis(after)).await;
    }
}

/// What an address does with who dials it.
#[derive(Clone, Copy)]
pub(crate) struct Fate {
    tcp: Step,
    tls: Step,
}

/// TCP and TLS are up after so many milliseconds.
pub(crate) fn connects(after: u64) -> Fate {
    in_tcp(Step::Up(after))
}

/// TCP is up after so many milliseconds, and then TLS does this.
pub(crate) fn in_tls(after: u64, tls: Step) -> Fate {
    let tcp = Step::Up(after);
    Fate { tcp, tls }
}

/// TCP does this.
pub(crate) fn in_tcp(tcp: Step) -> Fate {
    let tls = Step::Up(0);
    Fate { tcp, tls }
}

pub(crate) fn refuses(after: u64) -> Fate {
    fails(after, faults::refused)
}

pub(crate) fn fails(after: u64, fault: Fault) -> Fate {
    in_tcp(Step::Fails(after, fault))
}

pub(crate) fn hangs() -> Fate {
    in_tcp(Step::Hangs)
}

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
struct Plot {
    begun: Instant,
    fates: HashMap<IpAddr, Fate>,
    dials: Vec<Dial>,
    /// Connections that are held.
    open: usize,
    /// Most dials in the air at one time.
    most: usize,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Plot>>);

impl Shared {
    fn edit<T>(&self, change: impl FnOnce(&mut Plot) -> T) -> T {
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
            let pending = plot.dials.iter().filter(|dial| dial.ended.is_none());
            plot.most = plot.most.max(pending.count());
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
    fn now(&self) -> u64 {
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
        match INFOS.get(&self.addr()) {
            Some(info) => Connected::new().extra(info.clone()),
            None => Connected::new(),
        }
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

type Linking = Pin<Box<dyn Future<Output = Result<Link, BoxError>> + Send>>;

/// Asks the resolver and dials what it is dealt, one after the other.
#[derive(Clone)]
struct Tcp {
    resolver: Resolver,
    plot: Shared,
    asks_after: u64,
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
struct Tls<S> {
    tcp: S,
    plot: Shared,
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

/// A resolver, a race over addresses that do as they are told, and what became of it.
pub(crate) struct Stage {
    pub(crate) script: Script,
    pub(crate) resolver: Resolver,
    pub(crate) journal: Journal,
    plot: Shared,
    tells_of_tcp: bool,
    asks_after: u64,
}

impl Stage {
    /// A host of these addresses, always in this order.
    pub(crate) fn new<const N: usize>(cast: [(IpAddr, Fate); N]) -> Self {
        Self::with(cast, |builder| builder)
    }

    /// The same, with a resolver that is set up further.
    pub(crate) fn with<const N: usize>(
        cast: [(IpAddr, Fate); N],
        set: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        Self::of(&cast, set)
    }

    pub(crate) fn of(cast: &[(IpAddr, Fate)], set: impl FnOnce(Builder) -> Builder) -> Self {
        // Made before anything is timed.
        LazyLock::force(&INFOS);
        let names: Vec<IpAddr> = cast.iter().map(|(addr, _)| *addr).collect();
        let script = Script::new(move |_| Ok(answer(&names)));
        let journal = Journal::default();
        let resolver = script.build(|builder| {
            let builder = builder
                .observe(journal.observer())
                .order(Order::AsGiven)
                .source_address(Some)
                .probe(false);
            set(builder)
        });
        let plot = Plot {
            begun: Instant::now(),
            fates: cast.iter().copied().collect(),
            dials: Vec::new(),
            open: 0,
            most: 0,
        };
        Self {
            script,
            resolver,
            journal,
            plot: Shared(Arc::new(Mutex::new(plot))),
            tells_of_tcp: false,
            asks_after: 0,
        }
    }

    /// From now on a [`TcpLayer`](sidestep::TcpLayer) stands inside of TLS.
    pub(crate) fn telling_of_tcp(mut self) -> Self {
        self.tells_of_tcp = true;
        self
    }

    /// From now on the connector takes so many milliseconds before it asks the resolver.
    pub(crate) fn asking_after(mut self, after: u64) -> Self {
        self.asks_after = after;
        self
    }

    /// From now on the name server says this.
    pub(crate) fn says(&self, addrs: &[IpAddr]) {
        let addrs = addrs.to_vec();
        self.script.say(move |_| Ok(answer(&addrs)));
    }

    /// From now on this address does so.
    pub(crate) fn turns(&self, addr: IpAddr, fate: Fate) {
        self.plot.edit(|plot| plot.fates.insert(addr, fate));
    }

    /// Counts from now on, and forgets what was dialled.
    pub(crate) fn again(&self) {
        self.plot.edit(|plot| {
            plot.begun = Instant::now();
            plot.dials.clear();
            plot.most = 0;
        });
    }

    pub(crate) async fn connect(&self) -> Result<Link, BoxError> {
        self.connect_to("https://edge.test/").await
    }

    pub(crate) async fn connect_to(&self, uri: &'static str) -> Result<Link, BoxError> {
        let (resolver, plot) = (self.resolver.clone(), self.plot.clone());
        let asks_after = self.asks_after;
        let tcp = Tcp {
            resolver,
            plot,
            asks_after,
        };
        let (race, plot) = (self.resolver.race_layer(), self.plot.clone());
        let uri = Uri::from_static(uri);
        match self.tells_of_tcp {
            true => {
                let tcp = self.resolver.tcp_layer().layer(tcp);
                race.layer(Tls { tcp, plot }).oneshot(uri).await
            }
            false => race.layer(Tls { tcp, plot }).oneshot(uri).await,
        }
    }

    /// Connects, and returns whereto and when.
    pub(crate) async fn connected(&self) -> (IpAddr, u64) {
        let link = self.connect().await;
        let link = link.unwrap_or_else(|error| panic!("{error}: {:?}", self.dials()));
        (link.addr(), self.now())
    }

    /// Fails to connect, and returns why and when.
    pub(crate) async fn failed(&self) -> (BoxError, u64) {
        let error = self.connect().await.map(|link| link.addr()).unwrap_err();
        (error, self.now())
    }

    pub(crate) fn now(&self) -> u64 {
        self.plot.edit(|plot| plot.now())
    }

    pub(crate) fn dials(&self) -> Vec<Dial> {
        self.plot.edit(|plot| plot.dials.clone())
    }

    /// Who was dialled when.
    pub(crate) fn starts(&self) -> Vec<(IpAddr, u64)> {
        let dials = self.dials().into_iter();
        dials.map(|dial| (dial.addr, dial.begun)).collect()
    }

    /// How the first dial of an address ended, and when.
    pub(crate) fn end(&self, addr: IpAddr) -> Option<(u64, End)> {
        let dials = self.dials();
        let dial = dials.iter().find(|dial| dial.addr == addr);
        dial.unwrap_or_else(|| panic!("{addr} was not dialled: {dials:?}"))
            .ended
    }

    /// Dials that have not ended.
    pub(crate) fn pending(&self) -> usize {
        let dials = self.dials();
        dials.iter().filter(|dial| dial.ended.is_none()).count()
    }

    pub(crate) fn most(&self) -> usize {
        self.plot.edit(|plot| plot.most)
    }

    pub(crate) fn open(&self) -> usize {
        self.plot.edit(|plot| plot.open)
    }

    /// How often the name server was asked.
    pub(crate) fn asked(&self) -> usize {
        self.script.asked(HOST)
    }

    pub(crate) fn standing(&self, addr: IpAddr) -> Standing {
        let snapshot = self.resolver.snapshot();
        let view = snapshot.host(HOST).and_then(|host| host.addr(addr));
        view.map_or(Standing::Healthy, |view| view.standing)
    }
}

fn answer(addrs: &[IpAddr]) -> Answer {
    Answer::new(addrs.iter().copied()).with_ttl(Duration::from_secs(60))
}

/// What the error says of each address.
pub(crate) fn attempts(error: &BoxError) -> Vec<(IpAddr, Option<Outcome>)> {
    let connect = ConnectError::find(&**error);
    let connect = connect.unwrap_or_else(|| panic!("it gives no account: {error:?}"));
    let each = connect.attempts().iter();
    each.map(|tried| (tried.addr, tried.outcome)).collect()
}

/// What the error that is put first says.
pub(crate) fn primary(error: &BoxError) -> Outcome {
    let connect = ConnectError::find(&**error);
    let connect = connect.unwrap_or_else(|| panic!("it gives no account: {error:?}"));
    let source = std::error::Error::source(connect).expect("it keeps the connector's own");
    Outcome::of(source)
}
