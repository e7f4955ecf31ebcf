//! A host can have more addresses than the cache keeps of one answer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sidestep::Resolver;
use sidestep::lookup::{Answer, Lookup, LookupFuture};
use sidestep::reqwest::ClientBuilderExt as _;
use testkit::{Edges, HOST, Journal, Seen, get};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

const ALL: usize = 300;

/// A lookup that returns `named` of `of` addresses, and starts `step` addresses later each time.
struct InTurn {
    named: usize,
    of: usize,
    step: usize,
    lookups: Arc<AtomicUsize>,
}

impl Lookup for InTurn {
    fn lookup<'a>(&'a self, _: &'a str) -> LookupFuture<'a> {
        let begin = self.lookups.fetch_add(1, Ordering::SeqCst) * self.step;
        let addrs = (0..self.named).map(|place| addr((begin + place) % self.of));
        let answer = Answer::new(addrs).with_ttl(Duration::from_secs(60));
        Box::pin(async { Ok(answer) })
    }
}

fn addr(place: usize) -> IpAddr {
    Ipv4Addr::new(127, 1, (place / 250) as u8, 2 + (place % 250) as u8).into()
}

/// Listens on all addresses with one port, and returns the URL.
///
/// An address forwards its connections to the edge if `lives` returns true. All others accept and close, so that a
/// connect fails in TLS.
async fn serve(edges: &Edges, lives: fn(usize) -> bool) -> String {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let edge = SocketAddr::new(edges.ips()[0], edges.port());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let at = stream.local_addr().unwrap().ip().to_canonical();
            if !(0..ALL).any(|place| addr(place) == at && lives(place)) {
                continue;
            }
            tokio::spawn(async move {
                let mut edge = TcpStream::connect(edge).await?;
                copy_bidirectional(&mut stream, &mut edge).await
            });
        }
    });
    format!("https://{HOST}:{port}/")
}

fn client(
    edges: &Edges,
    journal: &Journal,
    (named, of, step): (usize, usize, usize),
) -> (reqwest::Client, Arc<AtomicUsize>) {
    let lookups = Arc::new(AtomicUsize::new(0));
    let builder = Resolver::builder().lookup(InTurn {
        named,
        of,
        step,
        lookups: Arc::clone(&lookups),
    });
    let resolver = builder.observe(journal.observer()).build().unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .tls_backend_preconfigured(edges.client_config())
        .sidestep(&resolver);
    (client.build().unwrap(), lookups)
}

/// The cache keeps 64 random addresses of an answer. If the cache kept the first 64, every request would fail.
///
/// The probability that a request attempts only dead addresses is below 1 in 10^8.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_succeed_if_the_first_64_addresses_are_dead() {
    let edges = Edges::https(1).await;
    let url = serve(&edges, |place| place >= 64).await;
    for _ in 0..10 {
        let (client, _) = client(&edges, &Journal::default(), (ALL, ALL, 1));
        for _ in 0..10 {
            get(&client, &url).await.unwrap();
        }
    }
}

/// Re-resolutions keep their backoff if each answer has another part of the same addresses.
///
/// Either the cache keeps a part of each answer, or each answer names one half of the addresses in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_part_of_the_same_addresses_does_not_reset_the_backoff() {
    let edges = Edges::https(1).await;
    let url = serve(&edges, |_| false).await;
    for names in [(ALL, ALL, 1), (8, 16, 8)] {
        let (journal, began) = (Journal::default(), Instant::now());
        let (client, lookups) = client(&edges, &journal, names);
        for _ in 0..30 {
            get(&client, &url).await.unwrap_err();
        }
        let secs = began.elapsed().as_secs() as usize;
        let lookups = lookups.load(Ordering::SeqCst);
        assert!(lookups <= 3 + secs, "{names:?}: {lookups} in {secs} s");
        assert_ne!(journal.count(|seen| *seen == Seen::Invalidated), 0);
    }
}
