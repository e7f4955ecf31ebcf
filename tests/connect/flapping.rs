//! Behavior F3: a flapping edge fails at most one request per penalty. One connect at a time tries whether the edge
//! serves again.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::rt::TokioIo;
use sidestep::lookup::StaticHosts;
use sidestep::{Connect, Outcome, Resolver, ResolverBuilder};
use socket2::{Domain, Socket, Type};
use testkit::{DialLog, Edges, Journal, Mode, Seen, World, get};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower::{Layer as _, Service, ServiceExt as _};

const HOST: &str = "edge.test";
const GOOD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const BAD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// The present behavior of the bad edge.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Behavior {
    Serve,
    Refuse,
    /// The edge accepts, and TLS fails.
    BreakTls,
}

/// A good edge, and a bad edge that fails at times. The kernel accepts connections for both, and neither sends data.
struct EdgePair {
    port: u16,
    good: Socket,
    bad: Mutex<(Behavior, Socket)>,
    /// When the connector attempted the bad edge while that edge failed.
    failures: Mutex<Vec<Instant>>,
}

impl EdgePair {
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
                    bad: Mutex::new((Behavior::Serve, bad)),
                    failures: Mutex::default(),
                });
            }
        }
    }

    fn set(&self, behavior: Behavior) {
        let mut bad = self.bad.lock().unwrap();
        if bad.0 == behavior {
            return;
        }
        // The port is free for a moment only, and no other test binds this address.
        bad.1 = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        bad.1 = bind((BAD, self.port).into()).unwrap();
        if behavior != Behavior::Refuse {
            bad.1.listen(1024).unwrap();
        }
        bad.0 = behavior;
    }

    /// Connects, and empties the kernel's queues of accepted connections.
    fn connect(&self, ip: IpAddr) -> io::Result<std::net::TcpStream> {
        let connected = std::net::TcpStream::connect((ip, self.port));
        while self.good.accept().is_ok() {}
        while self.bad.lock().unwrap().1.accept().is_ok() {}
        connected
    }

    fn behavior(&self) -> Behavior {
        self.bad.lock().unwrap().0
    }

    fn failures(&self) -> Vec<Instant> {
        self.failures.lock().unwrap().clone()
    }
}

fn bind(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// A connector that attempts one address after the other, like hyper-util within a family.
///
/// Each attempt blocks its thread, so that no timer of a paused clock expires meanwhile.
#[derive(Clone)]
struct SerialConnector {
    resolver: Resolver,
    edges: Arc<EdgePair>,
    /// Time that each attempt takes.
    takes: Duration,
}

impl Service<Uri> for SerialConnector {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let resolving = self.resolver.call(uri.host().unwrap().parse().unwrap());
        let (edges, takes) = (self.edges.clone(), self.takes);
        Box::pin(async move {
            let mut last_error = None;
            for addr in resolving.await.map_err(io::Error::other)? {
                tokio::time::sleep(takes).await;
                let (is_bad, behavior) = (addr.ip() == BAD, edges.behavior());
                if is_bad && behavior != Behavior::Serve {
                    edges.failures.lock().unwrap().push(Instant::now());
                }
                match edges.connect(addr.ip()) {
                    Ok(_) if is_bad && behavior == Behavior::BreakTls => {
                        return Err(io::Error::other(io::Error::from(
                            io::ErrorKind::UnexpectedEof,
                        )));
                    }
                    Ok(stream) => {
                        stream.set_nonblocking(true)?;
                        return TcpStream::from_std(stream).map(TokioIo::new);
                    }
                    Err(error) => last_error = Some(error),
                }
            }
            Err(last_error.expect("an answer has addresses"))
        })
    }
}

/// Two edges, and a connector to them inside of the connect layer.
struct Setup {
    edges: Arc<EdgePair>,
    journal: Journal,
    connector: Connect<SerialConnector>,
}

impl Setup {
    fn new(takes: Duration, set: impl FnOnce(ResolverBuilder) -> ResolverBuilder) -> Self {
        let (edges, journal, table) = (EdgePair::new(), Journal::default(), StaticHosts::new());
        table.set(HOST, [IpAddr::from(GOOD), BAD.into()]).unwrap();
        let builder = Resolver::builder()
            .lookup(table)
            .ipv4_mapped_fallback(false)
            .observe(journal.observer());
        let resolver = set(builder).build().unwrap();
        let connector = resolver.connect_layer().layer(SerialConnector {
            resolver,
            edges: edges.clone(),
            takes,
        });
        Self {
            edges,
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

    /// Returns the probes and trials with the failures and recoveries, in order.
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

/// The edge serves and fails in turn, for 700 ms each. The test connects every 50 ms for some minutes.
#[tokio::test(start_paused = true)]
async fn a_flapping_edge_fails_at_most_one_request_per_penalty() {
    for (behavior, probe) in [
        (Behavior::Refuse, true),
        (Behavior::Refuse, false),
        (Behavior::BreakTls, true),
    ] {
        let setup = Setup::new(Duration::ZERO, |builder| builder.background_probe(probe));
        let begun = Instant::now();
        let mut failed = 0;
        while Instant::now() < begun + 400 * S {
            let phase = (Instant::now() - begun).as_millis() / 700;
            setup.edges.set(if phase.is_multiple_of(2) {
                Behavior::Serve
            } else {
                behavior
            });
            failed += usize::from(!setup.connect().await);
            tokio::time::sleep(50 * MS).await;
        }
        let (failures, penalties) = (setup.edges.failures(), setup.penalties());
        assert!(
            failures.len() <= penalties,
            "{behavior:?}: {} failed attempts, {penalties} penalties",
            failures.len()
        );
        assert!(
            !failures.is_empty() && penalties >= 3,
            "{behavior:?}: an attempt has failed"
        );
        // A penalty lasts 5 s, and up to a fifth less.
        let apart = failures.windows(2).map(|pair| pair[1] - pair[0]).min();
        assert!(
            apart.is_none_or(|apart| apart >= 4 * S),
            "{behavior:?}: {apart:?}"
        );
        assert_eq!(
            failed,
            if behavior == Behavior::BreakTls {
                failures.len()
            } else {
                0
            }
        );
        let probes = setup.journal.count(|seen| matches!(seen, Seen::Probe(_)));
        let trials = setup.journal.count(|seen| matches!(seen, Seen::Trial(_)));
        // After a failure in TLS a request tries the edge once a probe has connected.
        let by_request = !probe || behavior == Behavior::BreakTls;
        assert_eq!(
            (probes > 0, trials > 0),
            (probe, by_request),
            "{behavior:?}"
        );
    }
}

/// A hundred callers connect at once, and the bad edge keeps failing. One caller tries that edge after each penalty,
/// and the others connect to the good edge.
#[tokio::test(start_paused = true)]
async fn of_a_hundred_callers_one_tries_an_edge_after_its_penalty() {
    for (behavior, probe) in [
        (Behavior::Refuse, true),
        (Behavior::Refuse, false),
        (Behavior::BreakTls, true),
    ] {
        let setup = Setup::new(50 * MS, |builder| builder.background_probe(probe));
        assert!(setup.connect().await);
        setup.edges.set(behavior);
        let begun = Instant::now();
        let mut first = None;
        while Instant::now() < begun + 320 * S {
            futures_util::future::join_all((0..100).map(|_| setup.connect())).await;
            let failed = setup.edges.failures().len();
            first = first.or_else(|| (failed > 0).then_some(failed));
            tokio::time::sleep(900 * MS).await;
        }
        let mut tries = setup.tries();
        if behavior == Behavior::BreakTls {
            // A probe comes before each trial.
            tries.retain(|seen| !matches!(seen, Seen::Probe(_)));
        }
        let bad = IpAddr::from(BAD);
        let is_try = |seen: &Seen| matches!(seen, Seen::Probe(_) | Seen::Trial(_));
        let tried = tries.iter().filter(|seen| is_try(seen)).count();
        // The penalties last 5, 10, 20 … 160 s, a fifth more or less.
        assert!((5..=7).contains(&tried), "{behavior:?}: {tries:?}");
        // Each try fails before the next one begins.
        for (place, seen) in tries.iter().enumerate() {
            let expected = if place % 2 == 0 {
                !is_try(seen)
            } else {
                is_try(seen)
            };
            assert!(expected, "{behavior:?}: {tries:?}");
            assert_ne!(*seen, Seen::Recovered(bad), "{behavior:?}: {tries:?}");
        }
        let later = setup.edges.failures().len() - first.unwrap();
        let by_requests = if behavior == Behavior::Refuse && probe {
            0
        } else {
            tried
        };
        assert_eq!(later, by_requests, "{behavior:?}");
    }
}

/// An edge fails and serves again twice, under stock reqwest.
#[tokio::test]
async fn stock_reqwest_attempts_a_flapping_edge_once_each_time_it_fails() {
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
            let connections = world.edges.accepted(dead) - accepted;
            assert_eq!(connections, usize::from(mode == Mode::TlsReset));
            let failures = world.journal.failures();
            assert_eq!(failures, vec![(dead, outcome); turn]);
            world.edges.set(dead, Mode::Serve).await;
            let penalty = world.penalty_left(dead);
            testkit::sleep(penalty).await;
            let recovered =
                |world: &World| world.journal.count(|seen| *seen == Seen::Recovered(dead)) == turn;
            while !recovered(&world) {
                get(&client, &world.url()).await.unwrap();
            }
        }
        let attempts = log.to_port(world.edges.port());
        let failed = attempts.iter().filter(|attempt| attempt.failed);
        failed.count()
    };
    let refusing = flap(Edges::http(2).await, Mode::Refuse, Outcome::Failed).await;
    let broken = flap(Edges::https(2).await, Mode::TlsReset, Outcome::TlsFailed).await;
    assert_eq!(
        (refusing, broken),
        (2, 0),
        "one attempt fails in TCP each time"
    );
}
