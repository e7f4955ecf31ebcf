//! Tests behavior F6: an outage or a change of the local network.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::*;
use sidestep::lookup::{Chain, Lookup, LookupFuture};
use sidestep::{AddressState, Event};

/// Returns the name of host `n`, which has two addresses in a network of its own.
fn host(n: u8) -> String {
    format!("h{n}.test")
}

fn addr(n: u8) -> IpAddr {
    [10, n, 0, 1].into()
}

async fn with_hosts(n: std::ops::RangeInclusive<u8>) -> (Script, Resolver, Events) {
    let events = Events::default();
    let script = Script::new(|host| {
        let n = host[1..].split('.').next().unwrap().parse().unwrap();
        Ok(Answer::new([addr(n), [10, n, 0, 2].into()]).with_ttl(60 * S))
    });
    let resolver = Resolver::builder()
        .lookup(script.clone())
        .observe(events.observer())
        .build()
        .unwrap();
    for n in n {
        resolver.resolve(&host(n)).await.unwrap();
    }
    (script, resolver, events)
}

#[derive(Clone, Default)]
struct Events(Arc<std::sync::Mutex<Vec<&'static str>>>);

impl Events {
    fn observer(&self) -> impl Fn(&Event<'_>) + Send + Sync + 'static {
        let events = self.clone();
        move |event: &Event<'_>| {
            let name = match event {
                Event::NetworkDown => "down",
                Event::NetworkUp => "up",
                Event::NetworkChanged => "changed",
                _ => return,
            };
            events.0.lock().unwrap().push(name);
        }
    }

    fn all(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

fn state_of(resolver: &Resolver, n: u8) -> AddressState {
    let snapshot = resolver.snapshot();
    let host = snapshot.host(&host(n)).unwrap();
    host.addr(addr(n)).unwrap().state
}

fn penalized(resolver: &Resolver, hosts: std::ops::RangeInclusive<u8>) -> usize {
    hosts
        .filter(|&n| state_of(resolver, n) != AddressState::Healthy)
        .count()
}

/// No address gets a penalty before and during an outage. The first connection ends the outage.
#[tokio::test(start_paused = true)]
async fn an_outage_of_the_local_network_penalizes_no_address() {
    let (_script, resolver, events) = with_hosts(1..=20).await;
    for n in 1..=20 {
        resolver.report(&host(n), addr(n), Outcome::TimedOut);
    }
    assert_eq!(penalized(&resolver, 1..=20), 0);
    advance(60 * S).await;
    resolver.report(&host(7), addr(7), Outcome::TimedOut);
    assert_eq!(
        penalized(&resolver, 1..=20),
        0,
        "no penalty before a connection"
    );
    resolver.report(&host(9), addr(9), Outcome::Connected);
    assert_eq!(events.all(), ["down", "up"]);
    resolver.report(&host(7), addr(7), Outcome::TimedOut);
    assert_eq!(
        penalized(&resolver, 1..=20),
        1,
        "failures count after the outage"
    );
}

/// An address that had a penalty before the outage keeps the penalty.
#[tokio::test(start_paused = true)]
async fn a_penalty_from_before_an_outage_stays() {
    let (_script, resolver, _events) = with_hosts(1..=9).await;
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
    assert_eq!(state_of(&resolver, 9), AddressState::Penalized);
}

/// While connects succeed, every failure gives its address a penalty.
#[tokio::test(start_paused = true)]
async fn many_dead_hosts_are_no_outage_while_connects_succeed() {
    let (_script, resolver, events) = with_hosts(1..=20).await;
    for n in 1..=20 {
        resolver.report(&host(n), addr(n), Outcome::TimedOut);
        resolver.report(&host(1), [10, 1, 0, 2].into(), Outcome::Connected);
    }
    assert_eq!(penalized(&resolver, 1..=20), 20);
    assert!(events.all().is_empty());
}

/// A change of the network clears health and answers. A caller of an in-flight lookup gets the answer of a
/// new lookup.
#[tokio::test(start_paused = true)]
async fn a_change_of_the_network_clears_answers_and_health() {
    let (script, resolver, events) = with_hosts(1..=2).await;
    resolver.overrides().set("pinned.test", [ip(1)]).unwrap();
    resolver.report(&host(1), addr(1), Outcome::Refused);
    script.takes(2 * S);
    let caller = tokio::spawn({
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
    assert_eq!(caller.await.unwrap(), 2);
    assert_eq!(
        Instant::now() - begun,
        3 * S,
        "the answer of the old lookup is not used"
    );
    assert_eq!(script.asked("h5.test"), 2);
    resolver.resolve(&host(1)).await.unwrap();
    assert_eq!(
        (script.asked("h1.test"), state_of(&resolver, 1)),
        (2, AddressState::Healthy)
    );
    assert_eq!(events.all(), ["changed"]);
}

/// A `Chain` passes a change of the network to each of its lookups before the next lookup is sent.
#[tokio::test]
async fn a_chain_passes_a_change_of_the_network_to_each_lookup() {
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
    let chain = Chain::new(Arc::new(networks.clone())).or(networks.clone());
    let resolver = Resolver::builder().lookup(chain).build().unwrap();
    assert_eq!(resolver.resolve("a.test").await.unwrap().addrs(), [addr(0)]);
    resolver.network_changed();
    assert_eq!(networks.0.load(Relaxed), 2, "both lookups of the chain");
    assert_eq!(resolver.resolve("a.test").await.unwrap().addrs(), [addr(2)]);
}

/// An answer that arrives while the lookup still uses the old name servers is not kept.
#[tokio::test]
async fn an_answer_of_the_old_name_servers_is_not_kept() {
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

/// A failure after a connection was made shows that the network works.
#[tokio::test(start_paused = true)]
async fn early_closes_are_no_outage() {
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
        "each early close is a failure of its address"
    );
}
