//! Behaviour F3: an edge that comes and goes costs one request for each penalty at most, and one
//! connect at a time finds out whether it is back.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use common::{DialLog, Edges, Journal, Mode, Seen, World, get};
use hyper::Uri;
use hyper_util::rt::TokioIo;
use sidestep::lookup::StaticHosts;
use sidestep::{Connect, Outcome, Resolver, ResolverBuilder};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower::{Layer as _, Service, ServiceExt as _};

const HOST: &str = "edge.test";
const GOOD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const BAD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// What the bad edge does at present.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Serve,
    Refuse,
    /// Accepts, and TLS fails.
    BreakTls,
}

/// Two edges, one of them bad at times. The kernel accepts for both; nobody speaks.
struct Stand {
    port: u16,
    good: Socket,
    bad: Mutex<(Does, Socket)>,
    /// When a dial of a connector met the bad edge while it was bad.
    met: Mutex<Vec<Instant>>,
}

impl Stand {
    fn new() -> Arc<Self> {
        loop {
            let good = bind((GOOD, 0).into()).unwrap();
            let port = good.local_addr().unwrap().as_socket().unwrap().port();
            good.listen(1024).unwrap();
            if let Ok(bad) = bind((BAD, port).into()) {
                bad.listen(1024).unwrap();
                return Arc::new(Self {
                    port,
                    good,
                    bad: Mutex::new((Does::Serve, bad)),
                    met: Mutex::default(),
                });
            }
        }
    }

    fn set(&self, does: Does) {
        let mut bad = self.bad.lock().unwrap();
        if bad.0 == does {
            return;
        }
        // The port is given up for a moment only; nobody else binds this address to it.
        bad.1 = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        bad.1 = bind((BAD, self.port).into()).unwrap();
        if does != Does::Refuse {
            bad.1.listen(1024).unwrap();
        }
        bad.0 = does;
    }

    /// Connects, and lets the kernel's queue of connections not fill up.
    fn connect(&self, ip: IpAddr) -> io::Result<std::net::TcpStream> {
        let connected = std::net::TcpStream::connect((ip, self.port));
        while self.good.accept().is_ok() {}
        while self.bad.lock().unwrap().1.accept().is_ok() {}
        connected
    }

    fn does(&self) -> Does {
        self.bad.lock().unwrap().0
    }

    fn met(&self) -> Vec<Instant> {
        self.met.lock().unwrap().clone()
    }
}

fn bind(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// Dials one address after the other, as hyper-util does in a family, without leaving its thread:
/// on a clock of the test no timer may run out meanwhile.
#[derive(Clone)]
struct Dialler {
    resolver: Resolver,
    stand: Arc<Stand>,
    /// From being dealt an address to the end of its dial.
    takes: Duration,
}

impl Service<Uri> for Dialler {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let resolving = self.resolver.call(uri.host().unwrap().parse().unwrap());
        let (stand, takes) = (self.stand.clone(), self.takes);
        Box::pin(async move {
            let mut failed = None;
            for addr in resolving.await.map_err(io::Error::other)? {
                tokio::time::sleep(takes).await;
                let (is_bad, does) = (addr.ip() == BAD, stand.does());
                if is_bad && does != Does::Serve {
                    stand.met.lock().unwrap().push(Instant::now());
                }
                match stand.connect(addr.ip()) {
                    Ok(_) if is_bad && does == Does::BreakTls => {
                        return Err(io::Error::other(io::Error::from(
                            io::ErrorKind::UnexpectedEof,
                        )));
                    }
                    Ok(stream) => {
                        stream.set_nonblocking(true)?;
                        return TcpStream::from_std(stream).map(TokioIo::new);
                    }
                    Err(error) => failed = Some(error),
                }
            }
            Err(failed.expect("there are addresses"))
        })
    }
}

/// A stand and a watched connector to it.
struct Play {
    stand: Arc<Stand>,
    journal: Journal,
    connector: Connect<Dialler>,
}

impl Play {
    fn new(takes: Duration, set: impl FnOnce(ResolverBuilder) -> ResolverBuilder) -> Self {
        let (stand, journal, table) = (Stand::new(), Journal::default(), StaticHosts::new());
        table.set(HOST, [IpAddr::from(GOOD), BAD.into()]).unwrap();
        let builder = Resolver::builder()
            .lookup(table)
            .ipv4_mapped_fallback(false)
            .observe(journal.observer());
        let resolver = set(builder).build().unwrap();
        let connector = resolver.connect_layer().layer(Dialler {
            resolver,
            stand: stand.clone(),
            takes,
        });
        Self {
            stand,
            journal,
            connector,
        }
    }

    async fn connect(&self) -> bool {
        let uri = Uri::from_static("http://edge.test/");
        self.connector.clone().oneshot(uri).await.is_ok()
    }

    fn penalties(&self) -> usize {
        let failed = |seen: &Seen| matches!(seen, Seen::Failed(..));
        self.journal.count(failed)
    }

    /// Who was told to find out, and what came of it, in order.
    fn tries(&self) -> Vec<Seen> {
        let mut seen = self.journal.seen();
        seen.retain(|seen| {
            matches!(
                seen,
                Seen::Probe(_) | Seen::Trial(_) | Seen::Failed(..) | Seen::Recovered(_)
            )
        });
        seen
    }
}

/// Minutes of an edge that changes its mind every 700 ms, under a request each 50 ms.
#[tokio::test(start_paused = true)]
async fn a_flapping_edge_costs_one_request_for_each_penalty() {
    for (does, probe) in [
        (Does::Refuse, true),
        (Does::Refuse, false),
        (Does::BreakTls, true),
    ] {
        let play = Play::new(Duration::ZERO, |builder| builder.background_probe(probe));
        let begun = Instant::now();
        let mut failed = 0;
        while Instant::now() < begun + 400 * S {
            let phase = (Instant::now() - begun).as_millis() / 700;
            play.stand.set(if phase.is_multiple_of(2) {
                Does::Serve
            } else {
                does
            });
            failed += usize::from(!play.connect().await);
            tokio::time::sleep(50 * MS).await;
        }
        let (met, penalties) = (play.stand.met(), play.penalties());
        assert!(
            met.len() <= penalties,
            "{does:?}: {} dials, {penalties} penalties",
            met.len()
        );
        assert!(!met.is_empty() && penalties >= 3, "{does:?}: it was met");
        // 5 s, and up to a fifth less.
        let apart = met.windows(2).map(|pair| pair[1] - pair[0]).min();
        assert!(
            apart.is_none_or(|apart| apart >= 4 * S),
            "{does:?}: {apart:?}"
        );
        assert_eq!(failed, if does == Does::BreakTls { met.len() } else { 0 });
        let probes = play.journal.count(|seen| matches!(seen, Seen::Probe(_)));
        let trials = play.journal.count(|seen| matches!(seen, Seen::Trial(_)));
        // What fails in TLS is tried by a request once a probe has connected.
        let by_request = !probe || does == Does::BreakTls;
        assert_eq!((probes > 0, trials > 0), (probe, by_request), "{does:?}");
    }
}

/// A hundred callers at a time, and an edge that stays dead: each penalty is ended by one, and the
/// others are dealt the other edge.
#[tokio::test(start_paused = true)]
async fn among_a_hundred_callers_one_finds_out() {
    for (does, probe) in [
        (Does::Refuse, true),
        (Does::Refuse, false),
        (Does::BreakTls, true),
    ] {
        let play = Play::new(50 * MS, |builder| builder.background_probe(probe));
        assert!(play.connect().await);
        play.stand.set(does);
        let begun = Instant::now();
        let mut first = None;
        while Instant::now() < begun + 320 * S {
            futures_util::future::join_all((0..100).map(|_| play.connect())).await;
            let seen = play.stand.met().len();
            first = first.or_else(|| (seen > 0).then_some(seen));
            tokio::time::sleep(900 * MS).await;
        }
        let mut tries = play.tries();
        if does == Does::BreakTls {
            // Each comes before a trial.
            tries.retain(|seen| !matches!(seen, Seen::Probe(_)));
        }
        let bad = IpAddr::from(BAD);
        let is_try = |seen: &Seen| matches!(seen, Seen::Probe(_) | Seen::Trial(_));
        let tried = tries.iter().filter(|seen| is_try(seen)).count();
        // 5, 10, 20 … 160 s, a fifth more or less.
        assert!((5..=7).contains(&tried), "{does:?}: {tries:?}");
        // One has failed before the next begins.
        for (place, seen) in tries.iter().enumerate() {
            let expected = if place % 2 == 0 {
                !is_try(seen)
            } else {
                is_try(seen)
            };
            assert!(expected, "{does:?}: {tries:?}");
            assert_ne!(*seen, Seen::Recovered(bad), "{does:?}: {tries:?}");
        }
        let later = play.stand.met().len() - first.unwrap();
        let by_requests = if does == Does::Refuse && probe {
            0
        } else {
            tried
        };
        assert_eq!(later, by_requests, "{does:?}");
    }
}

/// The same edge through stock reqwest: it comes and goes twice.
#[tokio::test]
async fn a_flapping_edge_costs_stock_reqwest_one_dial_each_time() {
    let log = DialLog::start();
    let flap = async |edges: Edges, mode: Mode, outcome: Outcome| {
        let world = World::of(edges, |builder| builder).await;
        let (client, dead) = (world.client(), world.ips()[0]);
        for turn in 1..=2 {
            world.edges.set(dead, mode).await;
            let accepted = world.edges.accepted(dead);
            world
                .get_until(&client, |world| world.is_penalized(dead))
                .await;
            for _ in 0..20 {
                get(&client, &world.url()).await.unwrap();
            }
            let met = world.edges.accepted(dead) - accepted;
            assert_eq!(met, usize::from(mode == Mode::TlsReset));
            let failures = world.journal.failures();
            assert_eq!(failures, vec![(dead, outcome); turn]);
            world.edges.set(dead, Mode::Serve).await;
            let penalty = world.penalty_left(dead);
            common::sleep(penalty).await;
            let recovered =
                |world: &World| world.journal.count(|seen| *seen == Seen::Recovered(dead)) == turn;
            while !recovered(&world) {
                get(&client, &world.url()).await.unwrap();
            }
        }
        let dials = log.to_port(world.edges.port());
        let failed = dials.iter().filter(|dial| dial.failed);
        failed.count()
    };
    let refusing = flap(Edges::http(2).await, Mode::Refuse, Outcome::Failed).await;
    let broken = flap(Edges::https(2).await, Mode::TlsReset, Outcome::TlsFailed).await;
    assert_eq!((refusing, broken), (2, 0), "in TCP, one dial each time");
}
