//! How long a connect takes when the addresses that lead are black holes.

use std::convert::Infallible;
use std::fmt;
use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use sidestep::{Order, Resolver};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

use crate::edge::{Edges, Mode};
use crate::fixed::Fixed;
use crate::paper;

/// Addresses of the host.
pub(crate) const ALL: u8 = 4;
/// Time between the starts of two attempts: 250 ms (RFC 8305, section 8).
pub(crate) const DELAY: Duration = Duration::from_millis(250);
/// Times that each is measured.
const REPEATS: usize = 7;
const HOST: &str = "edge.test";

/// What connects took with so many addresses dead, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Connects {
    pub(crate) dead: u8,
    pub(crate) first_ms: Spread,
    pub(crate) second_ms: Spread,
    /// Bare connects to addresses that live, by a resolver that has to look them up.
    pub(crate) round_trip_ms: Spread,
    /// By how much sleeps of 250 ms, as many as addresses are dead, were too long together.
    pub(crate) timer_error_ms: Spread,
    /// hyper-util's; `None` was given up at the limit.
    pub(crate) hyper_first_ms: Option<f64>,
    pub(crate) hyper_second_ms: Option<f64>,
    /// As curl's source says.
    pub(crate) curl_paper_ms: f64,
    /// As Go's source says.
    pub(crate) go_paper_ms: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) worst: f64,
}

impl Spread {
    fn of(all: impl IntoIterator<Item = Duration>) -> Self {
        let mut all: Vec<_> = all.into_iter().map(millis).collect();
        all.sort_by(f64::total_cmp);
        Self {
            median: all[all.len() / 2],
            worst: all[all.len() - 1],
        }
    }
}

pub(crate) fn measure(limit: Duration) -> Vec<Connects> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let stands = join_all((0..ALL).map(Stand::build)).await;
        let hyper = join_all(stands.iter().map(|stand| stand.hyper(limit)));
        let ours = async {
            let mut all = Vec::new();
            for stand in &stands {
                all.push(stand.ours().await);
            }
            all
        };
        let (hyper, ours) = tokio::join!(hyper, ours);
        let rows = stands.iter().zip(hyper).zip(ours);
        rows.map(|((stand, hyper), ours)| connects(stand.dead, hyper, &ours))
            .collect()
    })
}

fn connects(dead: u8, hyper: [Option<Duration>; 2], ours: &[Ours]) -> Connects {
    let spread = |what: fn(&Ours) -> Duration| Spread::of(ours.iter().map(what));
    let [first, second] = hyper.map(|took| took.map(millis));
    Connects {
        dead,
        first_ms: spread(|it| it.first),
        second_ms: spread(|it| it.second),
        round_trip_ms: spread(|it| it.round_trip),
        timer_error_ms: spread(|it| it.timer_error),
        hyper_first_ms: first,
        hyper_second_ms: second,
        curl_paper_ms: millis(paper::curl(dead.into())),
        go_paper_ms: millis(paper::go(dead.into(), ALL.into())),
    }
}

/// Four edges, the first of them dead.
struct Stand {
    edges: Edges,
    dead: u8,
}

/// One client's connects, and what this machine made of time meanwhile.
struct Ours {
    first: Duration,
    second: Duration,
    round_trip: Duration,
    timer_error: Duration,
}

impl Stand {
    async fn build(dead: u8) -> Self {
        let edges = Edges::http(ALL).await;
        for &ip in &edges.ips()[..dead.into()] {
            edges.set(ip, Mode::BlackHole).await;
        }
        Self { edges, dead }
    }

    /// Connects twice through hyper-util, which learns nothing from the first.
    async fn hyper(&self, limit: Duration) -> [Option<Duration>; 2] {
        let mut connector = stock(self.addrs());
        let mut took = [None; 2];
        for took in &mut took {
            let connect = self.connect(&mut connector);
            *took = timeout(limit, connect).await.ok();
        }
        took
    }

    async fn ours(&self) -> Vec<Ours> {
        let mut all = Vec::new();
        for _ in 0..REPEATS {
            all.push(self.once().await);
        }
        all
    }

    /// Connects twice with a resolver that knows nothing yet.
    async fn once(&self) -> Ours {
        let (ips, dead) = (self.edges.ips(), self.dead.into());
        let mut bare = HttpConnector::new_with_resolver(resolver(&ips[dead..]));
        let round_trip = self.connect(&mut bare).await;
        let resolver = resolver(&ips);
        let http = HttpConnector::new_with_resolver(resolver.clone());
        let mut race = resolver.race_layer().layer(http);
        let (first, timer_error) = tokio::join!(self.connect(&mut race), self.timers());
        let second = self.connect(&mut race).await;
        Ours {
            first,
            second,
            round_trip,
            timer_error,
        }
    }

    async fn connect<S>(&self, connector: &mut S) -> Duration
    where
        S: Service<Uri, Response = TokioIo<TcpStream>>,
        S::Error: fmt::Debug,
    {
        let uri: Uri = self.edges.url(HOST).parse().expect("it is a URI");
        let begun = Instant::now();
        let made = connector.oneshot(uri).await;
        let took = begun.elapsed();
        let peer = made.expect("one address lives").into_inner().peer_addr();
        let peer = peer.expect("it is connected").ip().to_canonical();
        let live = &self.edges.ips()[self.dead.into()..];
        assert!(live.contains(&peer), "{peer} is dead");
        took
    }

    /// Sleeps as often as a race has to wait.
    async fn timers(&self) -> Duration {
        let begun = Instant::now();
        for _ in 0..self.dead {
            sleep(DELAY).await;
        }
        begun.elapsed().saturating_sub(DELAY * self.dead.into())
    }

    fn addrs(&self) -> Vec<SocketAddr> {
        let addr = |ip| SocketAddr::new(ip, 0);
        self.edges.ips().into_iter().map(addr).collect()
    }
}

/// Returns a resolver that knows nothing yet and will deal these addresses, in this order.
fn resolver(ips: &[IpAddr]) -> Resolver {
    let builder = Resolver::builder()
        .lookup(Fixed(ips.to_vec()))
        .order(Order::AsGiven);
    builder.build().expect("the settings are valid")
}

/// Returns hyper-util's connector over these addresses, in this order.
fn stock(
    addrs: Vec<SocketAddr>,
) -> impl Service<Uri, Response = TokioIo<TcpStream>, Error: fmt::Debug> {
    let known = move |_: Name| ready(Ok::<_, Infallible>(addrs.clone().into_iter()));
    HttpConnector::new_with_resolver(service_fn(known))
}

fn millis(took: Duration) -> f64 {
    took.as_micros() as f64 / 1000.0
}
