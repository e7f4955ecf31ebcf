//! Behaviour F6: our own network is down, or is another one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::*;
use sidestep::lookup::{Chain, Lookup, LookupFuture};
use sidestep::{AddressState, Event};

/// Four hosts, each in a network of its own, and one more address in the first one's.
fn host(n: u8) -> String {
    format!("h{n}.test")
}

fn addr(n: u8) -> IpAddr {
    [10, n, 0, 1].into()
}

async fn known(n: std::ops::RangeInclusive<u8>) -> (Script, Resolver, Told) {
    let told = Told::default();
    let script = Script::new(|host| {
        let n = host[1..].split('.').next().unwrap().parse().unwrap();
        Ok(Answer::new([addr(n), [10, n, 0, 2].into()]).with_ttl(60 * S))
    });
    let resolver = Resolver::builder()
        .lookup(script.clone())
        .observe(told.observer())
        .build()
        .unwrap();
    for n in n {
        resolver.resolve(&host(n)).await.unwrap();
    }
    (script, resolver, told)
}

#[derive(Clone, Default)]
struct Told(Arc<std::sync::Mutex<Vec<&'static str>>>);

impl Told {
    fn observer(&self) -> impl Fn(&Event<'_>) + Send + Sync + 'static {
        let told = self.clone();
        move |event: &Event<'_>| {
            let word = match event {
                Event::NetworkDown => "down",
                Event::NetworkUp => "up",
                Event::NetworkChanged => "changed",
                _ => return,
            };
            told.0.lock().unwrap().push(word);
        }
    }

    fn all(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

fn standing(resolver: &Resolver, n: u8) -> AddressState {
    let snapshot = resolver.snapshot();
    let host = snapshot.host(&host(n)).unwrap();
    host.addr(addr(n)).unwrap().state
}

fn penalized(resolver: &Resolver, hosts: std::ops::RangeInclusive<u8>) -> usize {
    hosts
        .filter(|&n| standing(resolver, n) != AddressState::Healthy)
        .count()
}

/// Nothing is held against any address, before and during it; one success thaws.
#[tokio::test(start_paused = true)]
async fn an_outage_of_our_own_is_held_against_nobody() {
    let (_script, resolver, told) = known(1..=20).await;
    for n in 1..=20 {
        resolver.report(&host(n), addr(n), Outcome::TimedOut);
    }
    assert_eq!(penalized(&resolver, 1..=20), 0);
    advance(60 * S).await;
    resolver.report(&host(7), addr(7), Outcome::TimedOut);
    assert_eq!(penalized(&resolver, 1..=20), 0, "until something connects");
    resolver.report(&host(9), addr(9), Outcome::Connected);
    assert_eq!(told.all(), ["down", "up"]);
    resolver.report(&host(7), addr(7), Outcome::TimedOut);
    assert_eq!(penalized(&resolver, 1..=20), 1, "and then failures count");
}

/// What was bad before stays bad.
#[tokio::test(start_paused = true)]
async fn what_failed_before_the_outage_stays_as_it_was() {
    let (_script, resolver, _told) = known(1..=9).await;
    for _ in 0..4 {
        resolver.report(&host(9), addr(9), Outcome::Refused);
        advance(21 * S).await;
    }
    resolver.report(&host(9), addr(9), Outcome::Refused);
    advance(11 * S).await;
    for n in 1..=8 {
        resolver.report(&host(n), addr(n), Outcome::TimedOut);
    }
    assert_eq!(penalized(&resolver, 1..=8), 0);
    assert_eq!(standing(&resolver, 9), AddressState::Penalized);
}

/// While something still connects, failures are the addresses' own, however many.
#[tokio::test(start_paused = true)]
async fn many_dead_hosts_beside_a_live_one_are_no_outage() {
    let (_script, resolver, told) = known(1..=20).await;
    for n in 1..=20 {
        resolver.report(&host(n), addr(n), Outcome::TimedOut);
        resolver.report(&host(1), [10, 1, 0, 2].into(), Outcome::Connected);
    }
    assert_eq!(penalized(&resolver, 1..=20), 20);
    assert!(told.all().is_empty());
}

/// Another network: health and answers are forgotten, and who waits for a lookup gets the answer
/// of one that is sent anew.
#[tokio::test(start_paused = true)]
async fn on_another_network_all_is_asked_and_judged_anew() {
    let (script, resolver, told) = known(1..=2).await;
    resolver.overrides().set("pinned.test", [ip(1)]).unwrap();
    resolver.report(&host(1), addr(1), Outcome::Refused);
    script.takes(2 * S);
    let waiting = tokio::spawn({
        let resolver = resolver.clone();
        async move { resolver.resolve("h5.test").await.unwrap().addrs().len() }
    });
    tokio::time::sleep(S).await;
    resolver.network_changed();
    assert!(
        resolver
            .snapshot()
            .hosts
            .iter()
            .all(|host| host.host == "pinned.test")
    );
    let begun = Instant::now();
    assert_eq!(waiting.await.unwrap(), 2);
    assert_eq!(
        Instant::now() - begun,
        3 * S,
        "the old lookup is not believed"
    );
    assert_eq!(script.asked("h5.test"), 2);
    resolver.resolve(&host(1)).await.unwrap();
    assert_eq!(
        (script.asked("h1.test"), standing(&resolver, 1)),
        (2, AddressState::Healthy)
    );
    assert_eq!(told.all(), ["changed"]);
}

/// A lookup hears of it, through whatever it is wrapped in, before anything is asked there.
#[tokio::test]
async fn a_lookup_is_told_of_another_network() {
    #[derive(Clone, Default)]
    struct Networks(Arc<AtomicU8>);

    impl Lookup for Networks {
        fn lookup<'a>(&'a self, _host: &'a str) -> LookupFuture<'a> {
            Box::pin(async { Ok(Answer::new([addr(self.0.load(Relaxed))])) })
        }

        fn network_changed(&self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    let networks = Networks::default();
    let one_after_another = Chain::new(Arc::new(networks.clone())).or(networks.clone());
    let resolver = Resolver::builder()
        .lookup(one_after_another)
        .build()
        .unwrap();
    assert_eq!(resolver.resolve("a.test").await.unwrap().addrs(), [addr(0)]);
    resolver.network_changed();
    assert_eq!(networks.0.load(Relaxed), 2, "the first and the second");
    assert_eq!(resolver.resolve("a.test").await.unwrap().addrs(), [addr(2)]);
}

/// What is asked while the lookup still asks as on the network before does not count as asked here.
#[tokio::test]
async fn an_answer_of_the_name_servers_of_before_is_not_believed() {
    #[derive(Clone, Default)]
    struct Late(Arc<AtomicU8>, Arc<OnceLock<Resolver>>);

    impl Lookup for Late {
        fn lookup<'a>(&'a self, _host: &'a str) -> LookupFuture<'a> {
            Box::pin(async { Ok(Answer::new([addr(self.0.load(Relaxed))])) })
        }

        fn network_changed(&self) {
            let resolver = self.1.get().unwrap().clone();
            let meanwhile = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async { resolver.resolve("a.test").await.unwrap() })
            });
            assert_eq!(meanwhile.join().unwrap().addrs(), [addr(0)]);
            self.0.store(1, Relaxed);
        }
    }

    let late = Late::default();
    let resolver = Resolver::builder().lookup(late.clone()).build().unwrap();
    late.1.set(resolver.clone()).unwrap();
    resolver.network_changed();
    assert_eq!(resolver.resolve("a.test").await.unwrap().addrs(), [addr(1)]);
}

/// What fails after a connection was made says that the network is there.
#[tokio::test(start_paused = true)]
async fn services_that_close_early_are_no_outage() {
    let script = Script::answer(&[1], 60);
    script.say(|_| Ok(Answer::new((1..=6).map(|n| IpAddr::from([10, n, 0, 1])))));
    let resolver = script.resolver();
    for n in 1..=6 {
        let host = format!("h{n}.test");
        resolver.resolve(&host).await.unwrap();
        resolver.report(&host, [10, n, 0, 1].into(), Outcome::ClosedEarly);
    }
    assert_eq!(
        resolver.snapshot().failed_addresses,
        6,
        "each is held against its address"
    );
}
