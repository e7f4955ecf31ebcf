//! Names with more records than are kept of one answer.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Edges, HOST, Journal, Seen, get};
use sidestep::Resolver;
use sidestep::lookup::{Answer, Lookup, LookupFuture};
use sidestep::reqwest::ClientBuilderExt as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

const ALL: usize = 300;

/// Names so many of so many addresses, and begins so much later each time.
struct InTurn {
    named: usize,
    of: usize,
    step: usize,
    asked: Arc<AtomicUsize>,
}

impl Lookup for InTurn {
    fn lookup<'a>(&'a self, _: &'a str) -> LookupFuture<'a> {
        let begin = self.asked.fetch_add(1, Ordering::SeqCst) * self.step;
        let addrs = (0..self.named).map(|place| addr((begin + place) % self.of));
        let answer = Answer::new(addrs).with_ttl(Duration::from_secs(60));
        Box::pin(async { Ok(answer) })
    }
}

fn addr(place: usize) -> IpAddr {
    Ipv4Addr::new(127, 1, (place / 250) as u8, 2 + (place % 250) as u8).into()
}

/// All addresses, with one port: those for which `lives` is false accept and close, so that a connect fails
/// in TLS; the others are the edge.
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
        asked: Arc::clone(&lookups),
    });
    let resolver = builder.observe(journal.observer()).build().unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .tls_backend_preconfigured(edges.client_config())
        .sidestep(&resolver);
    (client.build().unwrap(), lookups)
}

/// Were the first 64 kept, no request would ever meet one of the others. That a request meets only dead
/// ones at random has odds below 1 in 10^8.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_succeed_though_the_first_64_addresses_are_dead() {
    let edges = Edges::https(1).await;
    let url = serve(&edges, |place| place >= 64).await;
    for _ in 0..10 {
        let (client, _) = client(&edges, &Journal::default(), (ALL, ALL, 1));
        for _ in 0..10 {
            get(&client, &url).await.unwrap();
        }
    }
}

/// All are kept of no answer, or a name server names half of them in turn: re-resolutions keep their
/// backoff.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_part_of_the_same_addresses_is_no_news() {
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
