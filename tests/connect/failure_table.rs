//! A stock client meets each row of the failure table.
//!
//! `failover.rs` tests the rows for refusal, TLS, certificate and early close.

use std::net::IpAddr;
use std::time::Duration;

#[cfg(unix)]
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressState, Outcome, Resolver};
use testkit::{
    DialLog, Edges, Fault, HOST, Mode, NameServer, Seen, World, asking, get, in_new_process, within,
};
use tokio::task::JoinSet;

/// Checks that no address has a strike and that the answer is not suspect.
fn assert_no_consequence(world: &World) {
    assert_eq!(world.journal.failures(), []);
    assert_eq!(world.journal.count(|seen| *seen == Seen::Invalidated), 0);
}

/// A bind error is a fault of this machine. It causes no penalty, no re-resolution and no retry.
#[tokio::test]
async fn a_bind_error_is_no_strike() {
    let world = World::http(2).await;
    // No machine has an address of TEST-NET-1, so a bind to it fails.
    let unassigned = IpAddr::from([192, 0, 2, 1]);
    let client = world
        .builder()
        .local_address(unassigned)
        .sidestep(&world.resolver)
        .build()
        .unwrap();
    let error = get(&client, &world.url()).await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    assert_no_consequence(&world);
    assert_eq!(world.queries(), 1);
}

/// A child process with a lowered limit runs out of file descriptors.
#[cfg(unix)]
#[test]
fn a_lack_of_file_descriptors_is_no_strike() {
    let test = "a_lack_of_file_descriptors_is_no_strike";
    if in_new_process(module_path!(), test, |_| {}) {
        out_of_files();
    }
}

#[cfg(unix)]
#[tokio::main(flavor = "current_thread")]
async fn out_of_files() {
    let world = World::http(2).await;
    let client = world.client();
    get(&client, &world.url()).await.unwrap();
    let (_, max) = rlimit::Resource::NOFILE.get().unwrap();
    rlimit::Resource::NOFILE.set(64, max).unwrap();
    let mut files: Vec<std::fs::File> = Vec::new();
    let error = loop {
        // The connection of the previous request closes its file descriptors.
        testkit::sleep(Duration::from_millis(100)).await;
        files.extend(std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()));
        match get(&client, &world.url()).await {
            Ok(_) => continue,
            Err(error) => break error,
        }
    };
    assert!(format!("{error:?}").contains("code: 24"), "{error:?}");
    assert_no_consequence(&world);
    drop(files);
    get(&client, &world.url())
        .await
        .expect("a request succeeds with free file descriptors");
    assert_eq!(world.queries(), 1);
}

/// A family without a route is a fault of this machine, so no address gets a strike.
///
/// Multicast addresses have no route for TCP, and no packet leaves the machine.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_family_without_a_route_is_no_strike() {
    let world = World::http(1).await;
    world.dns.set(HOST, &["224.0.0.1".parse().unwrap()], 1800);
    let error = get(&world.client(), &world.url()).await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    assert_no_consequence(&world);
    assert_eq!(world.journal.count(|seen| *seen == Seen::NoRoute), 1);
}

/// A caller drops its request long before the connect is slow.
#[tokio::test]
async fn a_connect_that_is_dropped_early_is_no_strike() {
    let world = World::http(1).await;
    world.edges.set(world.ips()[0], Mode::BlackHole).await;
    let client = world.client();
    let url = world.url();
    let request = get(&client, &url);
    let early = Duration::from_millis(50);
    assert!(tokio::time::timeout(early, request).await.is_err());
    assert_no_consequence(&world);
}

/// A slow connect is a soft strike and causes a re-resolution. The total timeout drops the connect later.
#[tokio::test]
async fn a_slow_connect_is_a_soft_strike() {
    let slow_after = Duration::from_millis(200);
    let world = World::of(Edges::http(1).await, |b| b.slow_connect_after(slow_after)).await;
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
        "a soft strike is no penalty"
    );
    assert_eq!(world.journal.count(|seen| *seen == Seen::Invalidated), 1);
}

/// An edge hangs in TLS while the others connect. Its address is slow long before any time limit.
#[tokio::test]
async fn an_edge_that_hangs_while_the_others_connect_is_slow() {
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
        get(&client, &world.url())
            .await
            .expect("no request goes to the slow address");
    }
}

/// Requests that are sent 10 ms apart, each on a connection of its own. A connect to a healthy edge takes no time.
struct Burst<'a> {
    world: &'a World,
    hung: IpAddr,
    client: reqwest::Client,
    log: DialLog,
    /// Attempts on the port before this test.
    before: usize,
    requests: JoinSet<reqwest::Result<reqwest::Response>>,
}

impl<'a> Burst<'a> {
    fn on(world: &'a World, hung: IpAddr, client: reqwest::Client) -> Self {
        let log = DialLog::start();
        Self {
            world,
            hung,
            client,
            before: log.to_port(world.edges.port()).len(),
            log,
            requests: JoinSet::new(),
        }
    }

    async fn send_one(&mut self) {
        self.send_at_once().await;
        testkit::sleep(Duration::from_millis(10)).await;
    }

    async fn send_at_once(&mut self) {
        let attempts = self.before + self.attempts().len();
        self.requests
            .spawn(self.client.get(self.world.url()).send());
        let port = self.world.edges.port();
        let attempted = self.log.until(port, |all| all.len() > attempts);
        within("an attempt", attempted).await;
        self.settle().await;
        // No two connects get their addresses at the same instant.
        tokio::time::advance(Duration::from_micros(1)).await;
    }

    /// Waits until the healthy edges have served as many requests as attempts have gone to them.
    async fn settle(&self) {
        let settled = async {
            while self.attempts_elsewhere() > self.served_elsewhere() {
                tokio::task::yield_now().await;
            }
        };
        within("a response of a healthy edge", settled).await;
    }

    /// Waits until every request has ended.
    async fn end(mut self) {
        while !self.requests.is_empty() {
            self.settle().await;
            testkit::sleep(Duration::from_millis(10)).await;
            while let Some(response) = self.requests.try_join_next() {
                response.unwrap().expect("the request goes to another edge");
            }
        }
    }

    fn attempts(&self) -> Vec<IpAddr> {
        let attempts = self.log.to_port(self.world.edges.port()).into_iter();
        let attempts = attempts.skip(self.before);
        attempts
            .map(|attempt| attempt.addr.to_canonical())
            .collect()
    }

    fn attempts_elsewhere(&self) -> usize {
        let elsewhere = |addr: &&IpAddr| **addr != self.hung;
        self.attempts().iter().filter(elsewhere).count()
    }

    fn served_elsewhere(&self) -> usize {
        let all = self.world.ips();
        let others = all.iter().filter(|ip| **ip != self.hung);
        others.map(|&ip| self.world.edges.served(ip)).sum()
    }
}

/// If several connects hang at one edge, the layer gives them up and connects to another edge.
#[tokio::test]
async fn a_connect_that_hangs_where_others_hang_is_made_elsewhere() {
    let world = World::of(Edges::https(4).await, |builder| builder).await;
    let hung = world.ips()[0];
    world.edges.set(hung, Mode::Hang).await;
    let hour = Duration::from_secs(3600);
    let mut burst = Burst::on(&world, hung, world.client_giving_up(hour));
    // Five pending connects to one edge are more than chance. The clock is stopped until then.
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

/// The host has no other address, so the layer does not give the connect up.
#[tokio::test]
async fn with_one_address_a_connect_is_not_given_up() {
    let world = World::of(Edges::https(1).await, |builder| {
        builder.slow_connect_after(Duration::from_millis(20))
    })
    .await;
    world.edges.set(world.ips()[0], Mode::Hang).await;
    let client = world.client_giving_up(Duration::from_millis(40));
    let request = client.get(world.url()).timeout(Duration::from_millis(400));
    let error = testkit::while_pending(request.send()).await.unwrap_err();
    assert!(error.is_timeout() && !error.is_connect(), "{error:?}");
    assert_eq!(world.accepted(), 1);
}

/// The `connect_timeout` of reqwest drops the connect outside of all layers, so that the layer sees no error.
#[tokio::test]
async fn a_connect_that_the_connect_timeout_drops_is_slow() {
    let slow_after = Duration::from_millis(200);
    let world = World::of(Edges::https(2).await, |b| b.slow_connect_after(slow_after)).await;
    // TCP connects and TLS hangs, so that only the outer timeout ends the connect.
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
    let [(attempted, Outcome::Slow)] = world.journal.failures()[..] else {
        panic!("{:?}", world.journal.seen());
    };
    assert_eq!(
        (world.accepted(), world.edges.accepted(attempted)),
        (1, 1),
        "no attempt follows the timeout"
    );
}

/// A `connect_timeout` equal to `slow_connect_after` drops the connect a moment earlier. The connect still counts as
/// slow.
#[tokio::test]
async fn a_connect_that_is_dropped_at_slow_connect_after_is_slow() {
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

/// An edge accepts and sends nothing in TLS. The layer gives the connect up, and the request goes to the other edge.
#[tokio::test]
async fn a_connect_that_hangs_in_tls_is_given_up_for_another_edge() {
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

/// DNS names another edge and the old edges are black-holed. The layer gives the pending connect up, and the same
/// request reaches the new edge.
#[tokio::test]
async fn a_dns_change_away_from_black_holed_edges_fails_no_request() {
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

/// A lookup of an unknown host fails with an error that says so, and is not retried.
#[tokio::test]
async fn an_unknown_host_is_a_dns_error_and_no_strike() {
    let world = World::http(1).await;
    let client = world.client();
    let error = get(&client, &world.edges.url("nobody.test"))
        .await
        .unwrap_err();
    assert!(error.is_connect() && error.is_dns(), "{error:?}");
    let cause = std::iter::successors(std::error::Error::source(&error), |e| e.source())
        .find_map(|cause| cause.downcast_ref::<sidestep::ResolveError>())
        .expect("a ResolveError is among the causes");
    assert!(cause.is_not_found());
    assert_eq!(
        cause.to_string(),
        "nobody.test: the name does not exist (NXDOMAIN)"
    );
    assert_no_consequence(&world);
    assert_eq!(world.dns.queries("nobody.test", testkit::RecordType::A), 1);
}

/// If a URL has a host that DNS cannot carry, the error says why. The resolver sends no query, also for `.invalid`.
#[tokio::test]
async fn an_invalid_host_in_a_url_is_an_error_without_a_query() {
    let world = World::http(1).await;
    let label = "a".repeat(64);
    for host in ["a..test", &label, "nobody.invalid"] {
        let error = get(&world.client(), &world.edges.url(host))
            .await
            .unwrap_err();
        let cause = std::iter::successors(std::error::Error::source(&error), |e| e.source())
            .find_map(|cause| cause.downcast_ref::<sidestep::ResolveError>())
            .expect("a ResolveError is among the causes");
        let expected = host == "nobody.invalid";
        assert_eq!(cause.is_not_found(), expected, "{cause}");
        assert_eq!(cause.is_invalid_name(), !expected, "{cause}");
    }
    assert_eq!(world.dns.total(), 0);
    assert_no_consequence(&world);
}

/// If the name server fails, the error names the host, says that the lookup failed, and has the cause as its source.
#[tokio::test]
async fn a_failure_of_the_name_server_is_a_failed_lookup() {
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

/// The host has no other address, so its penalty delays no connect.
#[tokio::test]
async fn a_single_address_is_attempted_despite_its_penalty() {
    let world = World::http(1).await;
    let only = world.ips()[0];
    let client = world.client();
    world.edges.set(only, Mode::Refuse).await;
    get(&client, &world.url()).await.unwrap_err();
    assert!(world.is_penalized(only));
    world.edges.set(only, Mode::Serve).await;
    get(&client, &world.url())
        .await
        .expect("the request attempts the address at once");
    assert_eq!(world.standing(only), AddressState::Healthy);
}

/// A failure of an address of an older answer does not make a newer answer suspect.
#[tokio::test]
async fn a_late_failure_does_not_make_a_newer_answer_suspect() {
    let slow_after = Duration::from_millis(300);
    let world = World::of(Edges::http(2).await, |b| b.slow_connect_after(slow_after)).await;
    let (old, new) = (world.ips()[0], world.ips()[1]);
    world.dns.set(HOST, &[old], 1800);
    world.edges.set(old, Mode::BlackHole).await;
    let client = world.client();
    let (log, port) = (DialLog::start(), world.edges.port());
    let before = log.to_port(port).len();
    let late = client.get(world.url()).send();
    let late = tokio::spawn(tokio::time::timeout(Duration::from_secs(1), late));
    within("an attempt", log.until(port, |all| all.len() > before)).await;
    // DNS changes and a lookup returns the new address before the first connect is slow.
    world.dns.set(HOST, &[new], 1800);
    world.resolver.invalidate(HOST);
    get(&client, &world.url()).await.unwrap();
    testkit::sleep(Duration::from_secs(1)).await;
    let late = late
        .await
        .unwrap()
        .expect("the first connect is given up in time");
    assert_eq!(
        late.unwrap().status(),
        200,
        "the request uses the newer answer"
    );
    assert_eq!(
        world.journal.count(|seen| *seen == Seen::Invalidated),
        1,
        "only the call of invalidate"
    );
    assert_eq!(world.queries(), 2);
}

/// With an HTTP proxy the client resolves the host of the proxy, so strikes are for the addresses of the proxy.
#[tokio::test]
async fn with_a_proxy_strikes_are_for_the_addresses_of_the_proxy() {
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
            .expect("the other edge of the proxy responds");
        if world.is_penalized(dead) {
            break;
        }
    }
    assert_eq!(world.journal.failures(), [(dead, Outcome::Failed)]);
    assert_eq!(world.dns.queries("origin.test", testkit::RecordType::A), 0);
}

/// Overrides of reqwest and addresses in URLs bypass the resolver, so their failures are no strikes.
#[tokio::test]
async fn overrides_of_reqwest_and_addresses_in_urls_cause_no_lookup_and_no_strike() {
    let world = World::http(2).await;
    let addr = (world.ips()[0], world.edges.port()).into();
    let client = world
        .builder()
        .resolve_to_addrs(HOST, &[addr])
        .sidestep(&world.resolver)
        .build()
        .unwrap();
    get(&client, &world.url()).await.unwrap();
    get(&client, &world.edges.url("127.0.0.3")).await.unwrap();
    world.edges.set(world.ips()[0], Mode::Refuse).await;
    get(&client, &world.url()).await.unwrap_err();
    assert_eq!(world.dns.total(), 0);
    assert_no_consequence(&world);
}
