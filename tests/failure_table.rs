//! The failure table, row by row, as far as a stock client can meet it.
//!
//! Refused, TLS, certificate and closed early are in `failover_reqwest.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::net::IpAddr;
use std::time::Duration;

use common::{DialLog, Edges, Fault, HOST, Mode, NameServer, Seen, World, asking, get, within};
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressState, Outcome, Resolver};
use tokio::task::JoinSet;

/// Nothing was held against anyone, and nobody was asked again.
fn nothing_followed(world: &World) {
    assert_eq!(world.journal.failures(), []);
    assert_eq!(world.journal.count(|seen| *seen == Seen::Invalidated), 0);
}

/// A bind error is this machine's: no penalty, no lookup, no retry.
#[tokio::test]
async fn a_bind_error_says_nothing_about_the_address() {
    let world = World::http(2).await;
    // TEST-NET-1: no machine has it, so binding to it fails.
    let nobody = IpAddr::from([192, 0, 2, 1]);
    let client = world
        .builder()
        .local_address(nobody)
        .sidestep(&world.resolver)
        .build()
        .unwrap();
    let error = get(&client, &world.url()).await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    nothing_followed(&world);
    assert_eq!(world.queries(), 1);
}

/// Out of file descriptors, in a child process with a lowered limit.
#[cfg(unix)]
#[test]
fn running_out_of_files_says_nothing_about_the_address() {
    const CHILD: &str = "SIDESTEP_TEST_OUT_OF_FILES";
    if std::env::var_os(CHILD).is_some() {
        return out_of_files();
    }
    let this = std::env::current_exe().unwrap();
    let child = std::process::Command::new(this)
        .args([
            "--exact",
            "running_out_of_files_says_nothing_about_the_address",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}");
    let reached = String::from_utf8_lossy(&child.stdout).contains("met EMFILE");
    assert!(reached, "{said}");
}

#[cfg(unix)]
#[tokio::main(flavor = "current_thread")]
async fn out_of_files() {
    let world = World::http(2).await;
    let client = world.client();
    get(&client, &world.url()).await.unwrap();
    let (_, most) = rlimit::Resource::NOFILE.get().unwrap();
    rlimit::Resource::NOFILE.set(64, most).unwrap();
    let mut hoard: Vec<std::fs::File> = Vec::new();
    let error = loop {
        // The connection of the request before gives its files back.
        common::sleep(Duration::from_millis(100)).await;
        hoard.extend(std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()));
        match get(&client, &world.url()).await {
            Ok(_) => continue,
            Err(error) => break error,
        }
    };
    assert!(format!("{error:?}").contains("code: 24"), "{error:?}");
    println!("met EMFILE");
    nothing_followed(&world);
    drop(hoard);
    get(&client, &world.url())
        .await
        .expect("with files it goes on as before");
    assert_eq!(world.queries(), 1);
}

/// A family without a route is a matter of this machine: the addresses are not blamed. Multicast
/// addresses have no route for TCP, and no packet leaves.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_route_blames_no_address() {
    let world = World::http(1).await;
    world.dns.set(HOST, &["224.0.0.1".parse().unwrap()], 1800);
    let error = get(&world.client(), &world.url()).await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    nothing_followed(&world);
    assert_eq!(world.journal.count(|seen| *seen == Seen::NoRoute), 1);
}

/// A caller that goes away early says nothing.
#[tokio::test]
async fn a_connect_dropped_early_says_nothing() {
    let world = World::http(1).await;
    world.edges.set(world.ips()[0], Mode::BlackHole).await;
    let client = world.client();
    let url = world.url();
    let request = get(&client, &url);
    let early = Duration::from_millis(50);
    assert!(tokio::time::timeout(early, request).await.is_err());
    nothing_followed(&world);
}

/// One that stays pending is a soft strike and a lookup; the total timeout drops it later.
#[tokio::test]
async fn a_connect_pending_for_long_is_a_soft_strike() {
    let stalled = Duration::from_millis(200);
    let world = World::of(Edges::http(1).await, |b| b.slow_connect_after(stalled)).await;
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::BlackHole).await;
    let client = world
        .builder()
        .timeout(Duration::from_millis(500))
        .sidestep(&world.resolver)
        .build()
        .unwrap();
    let error = get(&client, &world.url()).await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(world.journal.failures(), [(dead, Outcome::Slow)]);
    assert_eq!(
        world.standing(dead),
        AddressState::Probation,
        "soft: two strikes"
    );
    assert_eq!(world.journal.count(|seen| *seen == Seen::Invalidated), 1);
}

/// An edge that hangs in TLS while the others connect is known by that, long before any limit.
#[tokio::test]
async fn an_edge_that_hangs_while_the_others_connect_is_overtaken() {
    let world = World::of(Edges::https(4).await, |builder| builder).await;
    let hung = world.ips()[0];
    world.edges.set(hung, Mode::Hang).await;
    let mut burst = Burst::on(&world, hung, world.client_giving_up(None));
    while world.journal.failures().is_empty() {
        burst.send_one().await;
    }
    assert_eq!(world.journal.failures(), [(hung, Outcome::Slow)]);
    let client = world.client();
    for _ in 0..20 {
        get(&client, &world.url()).await.expect("nobody dials it");
    }
}

/// Requests that are sent 10 ms apart, each on a connection of its own. Connects to edges that are well take no time.
struct Burst<'a> {
    world: &'a World,
    hung: IpAddr,
    client: reqwest::Client,
    log: DialLog,
    /// Dials to the port when it was another test's.
    old: usize,
    requests: JoinSet<reqwest::Result<reqwest::Response>>,
}

impl<'a> Burst<'a> {
    fn on(world: &'a World, hung: IpAddr, client: reqwest::Client) -> Self {
        let log = DialLog::start();
        Self {
            world,
            hung,
            client,
            old: log.to_port(world.edges.port()).len(),
            log,
            requests: JoinSet::new(),
        }
    }

    async fn send_one(&mut self) {
        self.send_at_once().await;
        common::sleep(Duration::from_millis(10)).await;
    }

    async fn send_at_once(&mut self) {
        let dials = self.old + self.dials().len();
        self.requests
            .spawn(self.client.get(self.world.url()).send());
        let port = self.world.edges.port();
        let dialed = self.log.until(port, |all| all.len() > dials);
        within("a dial", dialed).await;
        self.settle().await;
        // No two are dealt their addresses at the same instant.
        tokio::time::advance(Duration::from_micros(1)).await;
    }

    /// Waits until edges that are well have served all that have dialed them.
    async fn settle(&self) {
        let settled = async {
            while self.dialed_elsewhere() > self.served_elsewhere() {
                tokio::task::yield_now().await;
            }
        };
        within("an answer of an edge that is well", settled).await;
    }

    /// Waits until every request has ended.
    async fn end(mut self) {
        while !self.requests.is_empty() {
            self.settle().await;
            common::sleep(Duration::from_millis(10)).await;
            while let Some(answer) = self.requests.try_join_next() {
                answer.unwrap().expect("it is dialled elsewhere");
            }
        }
    }

    fn dials(&self) -> Vec<IpAddr> {
        let dials = self.log.to_port(self.world.edges.port()).into_iter();
        let dials = dials.skip(self.old);
        dials.map(|dial| dial.addr.to_canonical()).collect()
    }

    fn dialed_elsewhere(&self) -> usize {
        let elsewhere = |addr: &&IpAddr| **addr != self.hung;
        self.dials().iter().filter(elsewhere).count()
    }

    fn served_elsewhere(&self) -> usize {
        let all = self.world.ips();
        let others = all.iter().filter(|ip| **ip != self.hung);
        others.map(|&ip| self.world.edges.served(ip)).sum()
    }
}

/// Those that hang at such an edge are given up soon, and dialled elsewhere.
#[tokio::test]
async fn who_hangs_at_an_edge_that_hangs_for_others_too_goes_elsewhere() {
    let world = World::of(Edges::https(4).await, |builder| builder).await;
    let hung = world.ips()[0];
    world.edges.set(hung, Mode::Hang).await;
    let hour = Duration::from_secs(3600);
    let mut burst = Burst::on(&world, hung, world.client_giving_up(hour));
    // So many have met it that they can't all have been unlucky; time stands still until then.
    while world.edges.accepted(hung) < 5 {
        burst.send_at_once().await;
    }
    while world.standing(hung) == AddressState::Healthy {
        burst.send_one().await;
    }
    burst.end().await;
    let failures = world.journal.failures();
    let is_expected = |failure: &(IpAddr, Outcome)| *failure == (hung, Outcome::Slow);
    assert!(failures.iter().all(is_expected), "{failures:?}");
}

/// With one address there is nothing else to dial, so that giving it up would only do harm.
#[tokio::test]
async fn with_one_address_a_connect_is_not_given_up() {
    let world = World::of(Edges::https(1).await, |builder| {
        builder.slow_connect_after(Duration::from_millis(20))
    })
    .await;
    world.edges.set(world.ips()[0], Mode::Hang).await;
    let client = world.client_giving_up(Duration::from_millis(40));
    let request = client.get(world.url()).timeout(Duration::from_millis(400));
    let error = common::while_pending(request.send()).await.unwrap_err();
    assert!(error.is_timeout() && !error.is_connect(), "{error:?}");
    assert_eq!(world.accepted(), 1);
}

/// reqwest's `connect_timeout` drops the connect from outside of all layers: no error is seen.
#[tokio::test]
async fn a_connect_timeout_is_seen_as_a_strike_without_an_error() {
    let stalled = Duration::from_millis(200);
    let world = World::of(Edges::https(2).await, |b| b.slow_connect_after(stalled)).await;
    // TCP is up and TLS hangs: only the outer timeout can end it.
    for ip in world.ips() {
        world.edges.set(ip, Mode::Hang).await;
    }
    let client = world
        .builder()
        .connect_timeout(Duration::from_millis(400))
        .sidestep(&world.resolver)
        .build()
        .unwrap();
    let error = get(&client, &world.url()).await.unwrap_err();
    assert!(error.is_connect() && error.is_timeout(), "{error:?}");
    let [(dialled, Outcome::Slow)] = world.journal.failures()[..] else {
        panic!("{:?}", world.journal.seen());
    };
    assert_eq!(
        (world.accepted(), world.edges.accepted(dialled)),
        (1, 1),
        "nothing is tried after the user's timeout"
    );
}

/// A timeout as long as the watch ends the connect a moment before it, and is seen all the same.
#[tokio::test]
async fn a_connect_timeout_as_long_as_the_watch_is_seen_too() {
    let second = Duration::from_secs(1);
    let world = World::of(Edges::https(1).await, |b| b.slow_connect_after(second)).await;
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::Hang).await;
    let client = world
        .builder()
        .connect_timeout(second)
        .sidestep(&world.resolver)
        .build()
        .unwrap();
    get(&client, &world.url()).await.unwrap_err();
    assert_eq!(world.journal.failures(), [(dead, Outcome::Slow)]);
}

/// An edge that accepts and then says nothing in TLS is given up, and the request goes elsewhere.
#[tokio::test]
async fn an_edge_that_hangs_in_tls_is_given_up_for_another() {
    let world = World::of(Edges::https(2).await, |builder| {
        builder.slow_connect_after(Duration::from_millis(100))
    })
    .await;
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::Hang).await;
    let client = world.client_giving_up(Duration::from_millis(300));
    world
        .get_until(&client, |world| world.is_penalized(dead))
        .await;
    let expected = [(dead, Outcome::Slow), (dead, Outcome::TimedOut)];
    assert_eq!(world.journal.failures(), expected);
}

/// All addresses moved while the old ones swallow packets: the request in flight is given up and
/// dialled at the new address.
#[tokio::test]
async fn a_move_away_from_black_holes_costs_no_request() {
    let world = World::of(Edges::http(4).await, |builder| {
        builder.slow_connect_after(Duration::from_millis(100))
    })
    .await;
    let ips = world.ips();
    world.dns.set(HOST, &ips[..3], 1800);
    let client = world.client_giving_up(Duration::from_millis(400));
    get(&client, &world.url()).await.unwrap();
    world.dns.set(HOST, &ips[3..], 1800);
    for &ip in &ips[..3] {
        world.edges.set(ip, Mode::BlackHole).await;
    }
    for _ in 0..5 {
        assert!(
            get(&client, &world.url())
                .await
                .unwrap()
                .contains("127.0.0.5")
        );
    }
}

/// An unknown host: an error that says so, and no retry.
#[tokio::test]
async fn a_dns_error_is_told_as_such_and_penalizes_nobody() {
    let world = World::http(1).await;
    let client = world.client();
    let error = get(&client, &world.edges.url("nobody.test"))
        .await
        .unwrap_err();
    assert!(error.is_connect() && error.is_dns(), "{error:?}");
    let cause = std::iter::successors(std::error::Error::source(&error), |e| e.source())
        .find_map(|cause| cause.downcast_ref::<sidestep::ResolveError>())
        .expect("our error is in the chain");
    assert!(cause.is_not_found());
    assert_eq!(
        cause.to_string(),
        "nobody.test: the name does not exist (NXDOMAIN)"
    );
    nothing_followed(&world);
    assert_eq!(world.dns.queries("nobody.test", common::RecordType::A), 1);
}

/// A host that DNS cannot carry: an error that says why, and nobody is asked.
#[tokio::test]
async fn an_invalid_name_in_a_url_is_told_as_such() {
    let world = World::http(1).await;
    let label = "a".repeat(64);
    for host in ["a..test", &label, "nobody.invalid"] {
        let error = get(&world.client(), &world.edges.url(host))
            .await
            .unwrap_err();
        let cause = std::iter::successors(std::error::Error::source(&error), |e| e.source())
            .find_map(|cause| cause.downcast_ref::<sidestep::ResolveError>())
            .expect("our error is in the chain");
        let expected = host == "nobody.invalid";
        assert_eq!(cause.is_not_found(), expected, "{cause}");
        assert_eq!(cause.is_invalid_name(), !expected, "{cause}");
    }
    assert_eq!(world.dns.total(), 0);
    nothing_followed(&world);
}

/// The name server fails: the error names what was attempted, and nothing is held against anyone.
#[tokio::test]
async fn a_failing_name_server_is_told_as_such() {
    for fault in [Fault::ServFail, Fault::Refused] {
        let dns = NameServer::start().await;
        dns.fault(fault);
        let resolver = Resolver::builder().lookup(asking(&dns)).build().unwrap();
        let error = resolver.resolve("edge.test").await.unwrap_err();
        assert!(
            !error.is_not_found() && !error.is_no_records(),
            "{fault:?}: {error:?}"
        );
        assert_eq!(error.to_string(), "edge.test: the lookup failed");
        assert!(std::error::Error::source(&error).is_some());
    }
}

/// A penalty never adds delay when there is nothing else to dial.
#[tokio::test]
async fn a_single_address_is_dialled_though_it_is_penalized() {
    let world = World::http(1).await;
    let only = world.ips()[0];
    let client = world.client();
    world.edges.set(only, Mode::Refuse).await;
    get(&client, &world.url()).await.unwrap_err();
    assert!(world.is_penalized(only));
    world.edges.set(only, Mode::Serve).await;
    get(&client, &world.url())
        .await
        .expect("it is dialled at once");
    assert_eq!(world.standing(only), AddressState::Healthy);
}

/// A late report about an older answer does not end the newer one.
#[tokio::test]
async fn a_late_failure_does_not_harm_a_newer_answer() {
    let stalled = Duration::from_millis(300);
    let world = World::of(Edges::http(2).await, |b| b.slow_connect_after(stalled)).await;
    let (old, new) = (world.ips()[0], world.ips()[1]);
    world.dns.set(HOST, &[old], 1800);
    world.edges.set(old, Mode::BlackHole).await;
    let client = world.client();
    let (log, port) = (DialLog::start(), world.edges.port());
    let before = log.to_port(port).len();
    let late = client.get(world.url()).send();
    let late = tokio::spawn(tokio::time::timeout(Duration::from_secs(1), late));
    within("a dial", log.until(port, |all| all.len() > before)).await;
    // The name moves and is looked up again before the first connect is seen to hang.
    world.dns.set(HOST, &[new], 1800);
    world.resolver.invalidate(HOST);
    get(&client, &world.url()).await.unwrap();
    common::sleep(Duration::from_secs(1)).await;
    let late = late.await.unwrap().expect("it is given up in time");
    assert_eq!(late.unwrap().status(), 200, "for the newer answer");
    assert_eq!(
        world.journal.count(|seen| *seen == Seen::Invalidated),
        1,
        "only the one by hand"
    );
    assert_eq!(world.queries(), 2);
}

/// Under an HTTP proxy the name asked is the proxy's, and that is what is learned about.
#[tokio::test]
async fn under_a_proxy_the_proxys_addresses_are_learned_about() {
    let world = World::http(2).await;
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::Refuse).await;
    let client = reqwest::Client::builder()
        .proxy(reqwest::Proxy::http(world.url()).unwrap())
        .pool_max_idle_per_host(0)
        .tls_backend_preconfigured(world.edges.client_config())
        .sidestep(&world.resolver)
        .build()
        .unwrap();
    for _ in 0..200 {
        get(&client, "http://origin.test/")
            .await
            .expect("the proxy's other edge answers");
        if world.is_penalized(dead) {
            break;
        }
    }
    assert_eq!(world.journal.failures(), [(dead, Outcome::Failed)]);
    assert_eq!(world.dns.queries("origin.test", common::RecordType::A), 0);
}

/// Overrides bypass the resolver: their failures blame nobody.
#[tokio::test]
async fn overrides_and_literals_ask_nobody_and_blame_nobody() {
    let world = World::http(2).await;
    let pinned = (world.ips()[0], world.edges.port()).into();
    let client = world
        .builder()
        .resolve_to_addrs(HOST, &[pinned])
        .sidestep(&world.resolver)
        .build()
        .unwrap();
    get(&client, &world.url()).await.unwrap();
    get(&client, &world.edges.url("127.0.0.3")).await.unwrap();
    world.edges.set(world.ips()[0], Mode::Refuse).await;
    get(&client, &world.url()).await.unwrap_err();
    assert_eq!(world.dns.total(), 0);
    nothing_followed(&world);
}
