//! The log reports each problem once, and reports no problem where there is none.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sidestep::lookup::{Answer, Lookup, LookupFuture};
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressOrder, Event, ResolverBuilder};
use testkit::{Edges, HOST, World, get};
use tracing_subscriber::fmt::MakeWriter;

const MS: Duration = Duration::from_millis(1);

/// A buffer for the log of one thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Starts to record the log of this thread.
    fn start(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(self.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn count(&self, words: &str) -> usize {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(words)).count()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_panic_of_an_observer_fails_no_request_and_is_logged_once() {
    let log = Log::default();
    let _guard = log.start();
    let edges = Edges::http(2).await;
    let world = World::of(edges, |builder| {
        let builder = builder.address_order(AddressOrder::Preserve);
        builder.observe(|_: &Event<'_>| panic!("an observer of the user"))
    })
    .await;
    let (client, dead) = (world.client(), world.ips()[0]);
    world.edges.set(dead, testkit::Mode::Refuse).await;
    for _ in 0..10 {
        get(&client, &world.url()).await.unwrap();
    }
    assert_eq!(
        log.count("observer set by ResolverBuilder::observe panicked"),
        1
    );
    assert_eq!(world.resolver.snapshot().failed_addresses, 1);
}

/// A lookup that succeeds the first time and then fails.
struct Once(Vec<IpAddr>, AtomicUsize);

impl Lookup for Once {
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
        let is_first = self.1.fetch_add(1, Ordering::Relaxed) == 0;
        let answer = Answer::new(self.0.clone()).with_ttl(MS);
        Box::pin(async move {
            match is_first {
                true => Ok(answer),
                false => Err(sidestep::ResolveError::failed(
                    host,
                    "the name server is down",
                )),
            }
        })
    }
}

/// While DNS is down each request uses a stale answer, and the log says so once.
#[tokio::test]
async fn an_episode_of_stale_answers_is_logged_once() {
    let log = Log::default();
    let _guard = log.start();
    let edges = Edges::http(2).await;
    let lookup = Once(edges.ips(), AtomicUsize::new(0));
    let set = |builder: ResolverBuilder| builder.lookup(lookup).min_ttl(MS).max_ttl(MS);
    let world = World::of(edges, set).await.in_real_time();
    let client = world.client();
    let stale = |world: &World| world.resolver.snapshot().served_stale;
    world.get_until(&client, |world| stale(world) >= 10).await;
    assert_eq!(log.count("served a stale answer"), 1);
}

/// The client has the connect layer but another resolver, so the layer sees no resolution.
#[tokio::test]
async fn a_client_with_another_resolver_is_logged_once() {
    let log = Log::default();
    let _guard = log.start();
    let world = World::http(1).await;
    let other = sidestep::Resolver::builder().lookup(testkit::asking(&world.dns));
    let client = world
        .builder()
        .sidestep(&world.resolver)
        .dns_resolver(Arc::new(other.build().unwrap()))
        .build()
        .unwrap();
    for n in 0..50 {
        assert_eq!(
            log.count("do not use sidestep's resolver"),
            usize::from(n >= 20),
            "{n}"
        );
        get(&client, &world.url()).await.unwrap();
    }
}

/// A URL that names an address needs no resolution, so nothing is wrong.
#[tokio::test]
async fn connects_to_addresses_in_urls_cause_no_warning() {
    let log = Log::default();
    let _guard = log.start();
    let world = World::http(1).await;
    let client = world.client();
    for n in 0..60 {
        let host = if n % 15 == 0 { HOST } else { "127.0.0.2" };
        get(&client, &world.edges.url(host)).await.unwrap();
    }
    assert_eq!(log.count("do not use sidestep's resolver"), 0);
}
