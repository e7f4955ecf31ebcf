//! Behaviour F4 at its worst: everything is dead and everybody calls. The name server is spared, and
//! every caller is told.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

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

/// Where the dead hosts live.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Where {
    /// In one network, as those of one CDN: their addresses are to blame.
    OneNetwork,
    /// In a network each: it is our own that is down, and nobody is to blame.
    ManyNetworks,
}

const WHERE: [Where; 2] = [Where::OneNetwork, Where::ManyNetworks];

/// Two addresses for each host, which never change; and when it was asked for which.
#[derive(Clone)]
struct Zone {
    at: Where,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Zone {
    fn new(at: Where) -> Self {
        Self {
            at,
            asked: Arc::default(),
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

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn resolver(&self) -> Resolver {
        // A storm keeps a busy machine from its lookups for longer than 5 s.
        let builder = Resolver::builder()
            .lookup(self.clone())
            .lookup_timeout(300 * S);
        builder.max_ttl(3600 * S).build().unwrap()
    }
}

impl Lookup for Zone {
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
        self.asked.lock().unwrap().push(host.to_owned());
        let addrs = self.addrs(host);
        Box::pin(async move {
            tokio::time::sleep(5 * MS).await;
            Ok(Answer::new(addrs).with_ttl(3600 * S))
        })
    }
}

/// A connector to which everybody refuses at once.
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
            // As the operating system says it.
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

/// Lets so many tasks call so many hosts, each so often; ends when all have been told.
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
    tokio::time::timeout(300 * S, all).await.expect("all end");
}

/// What may be asked: each host once because nothing was known of it, a hundred more in one second,
/// and one each 10 ms.
fn most(hosts: u32, since: Instant) -> usize {
    let elapsed = (Instant::now() - since).as_millis() as usize;
    hosts as usize + 100 + elapsed / 10 + 1
}

/// On a busy machine a storm outlasts the first penalties; an address whose penalty is over is not healthy yet.
fn penalized(resolver: &Resolver) -> usize {
    let hosts = resolver.snapshot().hosts;
    let addrs = hosts.iter().flat_map(|host| &host.addrs);
    let was_refused = |addr: &&AddressSnapshot| {
        addr.state != AddressState::Healthy && addr.why == Some(Outcome::Refused)
    };
    addrs.filter(was_refused).count()
}

/// Of dead addresses all but few are held to be dead; of a dead network of our own none is.
fn judged(resolver: &Resolver, hosts: u32, at: Where) {
    let penalized = penalized(resolver);
    match at {
        Where::OneNetwork => assert_eq!(penalized, 2 * hosts as usize),
        Where::ManyNetworks => assert_eq!(penalized, 0),
    }
}

/// 100 000 tasks, 1 000 dead hosts: over some seconds, on a clock of the test.
#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_tasks_against_a_thousand_dead_hosts() {
    for at in WHERE {
        let (zone, begun) = (Zone::new(at), Instant::now());
        let resolver = zone.resolver();
        storm(&connector(&resolver), 100_000, 1_000, 2, 20 * MS).await;
        assert!(
            zone.asked() <= most(1_000, begun),
            "{at:?}: {}",
            zone.asked()
        );
        judged(&resolver, 1_000, at);
        // What was put off is made up for though nobody calls any more.
        tokio::time::sleep(60 * S).await;
        let asked = zone.asked.lock().unwrap().clone();
        for host in asked.iter().collect::<HashSet<_>>() {
            let times = asked.iter().filter(|other| *other == host).count();
            // Where nobody is blamed somebody healthy is left, and who needs an answer asks for it.
            let least = if at == Where::OneNetwork { 2 } else { 1 };
            assert!((least..=6).contains(&times), "{at:?}: {host} {times} times");
        }
        assert!(asked.len() <= most(1_000, begun));
        assert_eq!(resolver.snapshot().hosts.len(), 1_000);
        drop((zone, resolver));
        tokio::time::sleep(3600 * S).await;
        assert_eq!(
            Handle::current().metrics().num_alive_tasks(),
            0,
            "none is left"
        );
    }
}

/// The same, all at once and on threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_tasks_at_once_on_two_threads() {
    for at in WHERE {
        let (zone, begun) = (Zone::new(at), Instant::now());
        let resolver = zone.resolver();
        storm(&connector(&resolver), 100_000, 1_000, 1, Duration::ZERO).await;
        assert!(
            zone.asked() <= most(1_000, begun),
            "{at:?}: {}",
            zone.asked()
        );
        judged(&resolver, 1_000, at);
        let tasks = Handle::current().metrics().num_alive_tasks();
        assert!(tasks <= 2_000, "{tasks} tasks for 1 000 hosts");
    }
}

/// Stock reqwest, real sockets: a port at which nobody listens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_requests_to_twenty_dead_hosts() {
    // No TLS is spoken, but a client wants to be able to. Whoever was first has set the same.
    let _: Result<(), _> = rustls::crypto::ring::default_provider().install_default();
    let nobody = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    nobody
        .bind(&std::net::SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())
        .unwrap();
    let port = nobody.local_addr().unwrap().as_socket().unwrap().port();
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
        for ended in requests.join_all().await {
            assert!(ended.unwrap_err().is_connect());
        }
        let (asked, elapsed) = (zone.asked(), (Instant::now() - begun).as_secs() as u32);
        // Once, and once more at 0, 1, 3, 7 s …
        let each = 2 + (elapsed + 1).ilog2() as usize;
        assert!(asked <= 20 * each, "{at:?}: {asked} in {elapsed} s");
        judged(&resolver, 20, at);
    }
}
