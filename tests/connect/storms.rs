//! Tests behavior F4 with many callers and dead hosts. The number of lookups is limited, and every caller gets an
//! error.

use std::collections::HashSet;
use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::rt::TokioIo;
use sidestep::lookup::{Answer, Lookup, LookupFuture};
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressSnapshot, AddressState, Connect, ConnectError, Outcome, Resolver};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::{Layer as _, Service, ServiceExt as _};

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// The networks of the dead hosts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Where {
    /// All hosts are in one network, as those of a CDN. Their addresses get penalties.
    OneNetwork,
    /// Each host is in its own network. The local network is down, and no address gets a penalty.
    ManyNetworks,
}

const WHERE: [Where; 2] = [Where::OneNetwork, Where::ManyNetworks];

/// A lookup with two fixed addresses for each host, which records the hosts that were looked up.
#[derive(Clone)]
struct Zone {
    at: Where,
    looked_up: Arc<Mutex<Vec<String>>>,
}

impl Zone {
    fn new(at: Where) -> Self {
        Self {
            at,
            looked_up: Arc::default(),
        }
    }

    fn addrs(&self, host: &str) -> [IpAddr; 2] {
        let n = host.trim_start_matches('h').trim_end_matches(".test");
        let [hi, lo] = n.parse::<u16>().unwrap().to_be_bytes();
        [1, 2].map(|last| match self.at {
            Where::OneNetwork => Ipv4Addr::new(127, 0, lo, 2 * hi + last).into(),
            Where::ManyNetworks => Ipv4Addr::new(127, lo, hi, last).into(),
        })
    }

    fn lookups(&self) -> usize {
        self.looked_up.lock().unwrap().len()
    }

    fn resolver(&self) -> Resolver {
        // On a busy machine a storm delays lookups by more than the default time limit of 5 s.
        let builder = Resolver::builder()
            .lookup(self.clone())
            .lookup_timeout(300 * S);
        builder.max_ttl(3600 * S).build().unwrap()
    }
}

impl Lookup for Zone {
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
        self.looked_up.lock().unwrap().push(host.to_owned());
        let addrs = self.addrs(host);
        Box::pin(async move {
            tokio::time::sleep(5 * MS).await;
            Ok(Answer::new(addrs).with_ttl(3600 * S))
        })
    }
}

/// A connector whose connects are refused at once.
#[derive(Clone)]
struct AllRefuse(Resolver);

impl Service<Uri> for AllRefuse {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let resolving = self.0.call(uri.host().unwrap().parse().unwrap());
        Box::pin(async move {
            assert!(resolving.await?.count() >= 2);
            // The operating system returns this error.
            Err(io::Error::from_raw_os_error(refused()).into())
        })
    }
}

fn refused() -> i32 {
    match () {
        () if cfg!(windows) => 10061,
        () if cfg!(any(target_os = "linux", target_os = "android")) => 111,
        () => 61,
    }
}

type Connector = Connect<AllRefuse>;

fn connector(resolver: &Resolver) -> Connector {
    resolver.connect_layer().layer(AllRefuse(resolver.clone()))
}

/// Starts `tasks` tasks, each of which connects `calls` times to one of `hosts` hosts. Ends when all connects have
/// failed.
async fn storm(connector: &Connector, tasks: u32, hosts: u32, calls: u32, pause: Duration) {
    let mut callers = JoinSet::new();
    for n in 0..tasks {
        let connector = connector.clone();
        let uri: Uri = format!("http://h{}.test/", n % hosts).parse().unwrap();
        callers.spawn(async move {
            for _ in 0..calls {
                let error = connector.clone().oneshot(uri.clone()).await.unwrap_err();
                let cause = error.downcast_ref::<ConnectError>().and_then(Error::source);
                assert!(cause.is_some_and(|it| it.is::<io::Error>()), "{error:?}");
                tokio::time::sleep(pause * (n % 97)).await;
            }
        });
    }
    let all = callers.join_all();
    tokio::time::timeout(300 * S, all)
        .await
        .expect("all callers end");
}

/// Returns the most lookups that are allowed: one for each new host, 100 at once, and one every 10 ms.
fn max_lookups(hosts: u32, since: Instant) -> usize {
    let elapsed = (Instant::now() - since).as_millis() as usize;
    hosts as usize + 100 + elapsed / 10 + 1
}

/// Counts the addresses that were refused and are not healthy. On a busy machine a storm outlasts the first
/// penalties, so addresses on probation count too.
fn penalized(resolver: &Resolver) -> usize {
    let hosts = resolver.snapshot().hosts;
    let addrs = hosts.iter().flat_map(|host| &host.addrs);
    let was_refused = |addr: &&AddressSnapshot| {
        addr.state != AddressState::Healthy && addr.why == Some(Outcome::Refused)
    };
    addrs.filter(was_refused).count()
}

/// Asserts that all addresses have failed if the hosts are down, and none if the local network is down.
fn assert_penalties(resolver: &Resolver, hosts: u32, at: Where) {
    let penalized = penalized(resolver);
    match at {
        Where::OneNetwork => assert_eq!(penalized, 2 * hosts as usize),
        Where::ManyNetworks => assert_eq!(penalized, 0),
    }
}

/// The 100 000 tasks connect within some seconds of a paused clock.
#[tokio::test(start_paused = true)]
async fn many_tasks_that_connect_to_dead_hosts_cause_few_lookups() {
    for at in WHERE {
        let (zone, begun) = (Zone::new(at), Instant::now());
        let resolver = zone.resolver();
        storm(&connector(&resolver), 100_000, 1_000, 2, 20 * MS).await;
        assert!(
            zone.lookups() <= max_lookups(1_000, begun),
            "{at:?}: {}",
            zone.lookups()
        );
        assert_penalties(&resolver, 1_000, at);
        // Lookups that were delayed are sent later, without a caller.
        tokio::time::sleep(60 * S).await;
        let looked_up = zone.looked_up.lock().unwrap().clone();
        for host in looked_up.iter().collect::<HashSet<_>>() {
            let times = looked_up.iter().filter(|other| *other == host).count();
            // Without penalties healthy addresses are left, so a host is looked up only if a caller needs an answer.
            let least = if at == Where::OneNetwork { 2 } else { 1 };
            assert!((least..=6).contains(&times), "{at:?}: {host} {times} times");
        }
        assert!(looked_up.len() <= max_lookups(1_000, begun));
        assert_eq!(resolver.snapshot().hosts.len(), 1_000);
        drop((zone, resolver));
        tokio::time::sleep(3600 * S).await;
        assert_eq!(
            Handle::current().metrics().num_alive_tasks(),
            0,
            "no task is left"
        );
    }
}

/// All 100 000 tasks connect at once, on two threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_on_two_threads_that_connect_at_once_cause_few_lookups() {
    for at in WHERE {
        let (zone, begun) = (Zone::new(at), Instant::now());
        let resolver = zone.resolver();
        storm(&connector(&resolver), 100_000, 1_000, 1, Duration::ZERO).await;
        assert!(
            zone.lookups() <= max_lookups(1_000, begun),
            "{at:?}: {}",
            zone.lookups()
        );
        assert_penalties(&resolver, 1_000, at);
        let tasks = Handle::current().metrics().num_alive_tasks();
        assert!(tasks <= 2_000, "{tasks} tasks for 1 000 hosts");
    }
}

/// Stock reqwest connects over real sockets to a port without a listener.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_of_reqwest_to_dead_hosts_cause_few_lookups() {
    // A client needs a crypto provider, also without TLS. Another test may have installed the same one.
    let _: Result<(), _> = rustls::crypto::ring::default_provider().install_default();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&std::net::SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())
        .unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    for at in WHERE {
        let (zone, begun) = (Zone::new(at), Instant::now());
        let resolver = zone.resolver();
        let builder = reqwest::Client::builder().no_proxy();
        let client = builder.sidestep(&resolver).build().unwrap();
        let mut requests = JoinSet::new();
        for n in 0..2_000 {
            let (client, url) = (client.clone(), format!("http://h{}.test:{port}/", n % 20));
            requests.spawn(async move { client.get(url).send().await });
        }
        for result in requests.join_all().await {
            assert!(result.unwrap_err().is_connect());
        }
        let (lookups, elapsed) = (zone.lookups(), (Instant::now() - begun).as_secs() as u32);
        // Each host has a first lookup, and re-resolves after 0, 1, 3, 7 s …
        let each = 2 + (elapsed + 1).ilog2() as usize;
        assert!(
            lookups <= 20 * each,
            "{at:?}: {lookups} lookups in {elapsed} s"
        );
        assert_penalties(&resolver, 20, at);
    }
}
