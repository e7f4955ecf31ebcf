//! Attribution agrees with hyper-util's log of its attempts.
//!
//! The cases have random addresses, faults and settings, and use the real `HttpConnector` over loopback.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use futures_util::{StreamExt as _, stream};
use hyper::Uri;
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector, HttpInfo};
use sidestep::lookup::StaticHosts;
use sidestep::{AddressOrder, Connect, Event, Outcome, Resolver};
use testkit::{DialLog, Dialled, Edges, Mode, Scheme, World, get};
use tokio::time::{Instant, timeout};
use tower::{Layer as _, ServiceExt as _};

const HOST: &str = "edge.test";
const MS: Duration = Duration::from_millis(1);
/// Time after which hyper-util starts its second lane.
const LANE_DELAY: Duration = Duration::from_millis(300);
/// Time limit of a connect. It is longer than the lane delay and than each part of a connect timeout.
const LIMIT: Duration = Duration::from_millis(1_500);

/// One connect: its addresses with their modes, and the settings of the connector.
#[derive(Clone, Debug)]
struct Case {
    list: Vec<(IpAddr, Mode)>,
    lanes: bool,
    connect_timeout: Option<Duration>,
    bound: Option<IpAddr>,
    /// Whether the connector has connected to IPv4 and to IPv6 before.
    warm: [bool; 2],
}

impl Case {
    fn random(rng: &mut Rng, has_ipv6: bool) -> Self {
        let mut ips: Vec<IpAddr> = (0..rng.u8(1..=4))
            .map(|n| Ipv4Addr::new(127, 0, 0, 3 + n).into())
            .collect();
        let dual = has_ipv6 && rng.f32() < 0.35;
        if dual {
            ips.push(Ipv6Addr::LOCALHOST.into());
        }
        rng.shuffle(&mut ips);
        let local: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let bound = (rng.f32() < 0.2).then(|| local[usize::from(dual && rng.bool())]);
        let to = |local: usize| bound.is_none_or(|bound: IpAddr| bound == local_of(local));
        Self {
            list: ips.into_iter().map(|ip| (ip, mode(rng))).collect(),
            lanes: rng.f32() < 0.7,
            connect_timeout: (rng.f32() < 0.4).then(|| rng.u64(200..900) as u32 * MS),
            bound,
            warm: [to(0) && rng.bool(), to(1) && has_ipv6 && rng.bool()],
        }
    }

    fn ips(&self) -> Vec<IpAddr> {
        self.list.iter().map(|(ip, _)| *ip).collect()
    }

    fn serves(&self, ip: IpAddr) -> bool {
        self.list.contains(&(ip, Mode::Serve))
    }

    fn connector(&self, resolver: &Resolver) -> Connect<HttpConnector<Resolver>> {
        let mut http = HttpConnector::new_with_resolver(resolver.clone());
        http.set_connect_timeout(self.connect_timeout);
        http.set_local_address(self.bound);
        resolver.connect_layer().layer(http)
    }
}

fn local_of(family: usize) -> IpAddr {
    [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()][family]
}

fn mode(rng: &mut Rng) -> Mode {
    match rng.u8(0..10) {
        0..3 => Mode::Serve,
        3..8 => Mode::Refuse,
        _ => Mode::BlackHole,
    }
}

/// A strike that the resolver has recorded.
#[derive(Clone, Copy, Debug)]
struct Strike {
    addr: IpAddr,
    outcome: Outcome,
    hard: bool,
}

/// How the connect of a case ended.
#[derive(Debug)]
struct ConnectEnd {
    attempts: Vec<Dialled>,
    winner: Option<IpAddr>,
    /// Whether the connect was still pending after [`LIMIT`].
    dropped: bool,
    took: Duration,
    strikes: Vec<Strike>,
}

/// Makes the connect of a case.
///
/// The edges of the case have a port of their own, by which the log tells its attempts from others.
async fn connect(case: &Case, warm: &Edges, log: &DialLog) -> (ConnectEnd, Edges) {
    // All cases bind the same first address, so that no two cases have the same port.
    let mut ips = vec![IpAddr::from([127, 0, 0, 2])];
    ips.extend(case.ips());
    let edges = Edges::on(&ips, Scheme::Http).await;
    for &(ip, mode) in &case.list {
        edges.set(ip, mode).await;
    }
    let strikes = Arc::new(Mutex::new(Vec::new()));
    let resolver = resolver(case, warm, strikes.clone());
    let connector = case.connector(&resolver);
    for (warm_up, host) in case.warm.into_iter().zip(["warm4.test", "warm6.test"]) {
        if warm_up {
            let uri: Uri = warm.url(host).parse().unwrap();
            connector.clone().oneshot(uri).await.unwrap();
        }
    }
    let uri: Uri = edges.url(HOST).parse().unwrap();
    // Another test may have used the port before.
    let before = log.to_port(edges.port()).len();
    let begun = Instant::now();
    let ended = timeout(LIMIT, connector.oneshot(uri)).await;
    let took = Instant::now() - begun;
    let winner = ended.as_ref().ok().and_then(|made| made.as_ref().ok());
    let winner = winner.map(|stream| {
        let mut extras = http::Extensions::new();
        stream.connected().get_extras(&mut extras);
        extras.get::<HttpInfo>().unwrap().remote_addr().ip()
    });
    let strikes = strikes.lock().unwrap().clone();
    let end = ConnectEnd {
        attempts: log.to_port(edges.port()).split_off(before),
        winner,
        dropped: ended.is_err(),
        took,
        strikes,
    };
    (end, edges)
}

fn resolver(case: &Case, warm: &Edges, strikes: Arc<Mutex<Vec<Strike>>>) -> Resolver {
    let table = StaticHosts::new();
    table.set(HOST, case.ips()).unwrap();
    let [v4, v6] = [0, 1].map(|family| warm.ips().get(family).copied());
    for (name, ip) in [("warm4.test", v4), ("warm6.test", v6)] {
        if let Some(ip) = ip {
            table.set(name, [ip]).unwrap();
        }
    }
    Resolver::builder()
        .lookup(table)
        .address_order(AddressOrder::Preserve)
        .ipv4_mapped_fallback(case.lanes)
        .slow_connect_after(LANE_DELAY)
        .observe(move |event: &Event<'_>| {
            if let Event::AddressFailed {
                addr,
                outcome,
                hard,
                ..
            } = *event
            {
                let strike = Strike {
                    addr,
                    outcome,
                    hard,
                };
                strikes.lock().unwrap().push(strike);
            }
        })
        .build()
        .unwrap()
}

impl ConnectEnd {
    /// Returns the differences between the strikes and the log.
    fn differences(&self, case: &Case) -> Vec<String> {
        let mut differences = Vec::new();
        for strike in &self.strikes {
            differences.extend(self.difference(strike, case));
        }
        for addr in self.required_strikes(case) {
            if !self.strikes.iter().any(|strike| strike.addr == addr) {
                differences.push(format!("{addr} failed and has no strike"));
            }
        }
        differences
    }

    fn difference(&self, strike: &Strike, case: &Case) -> Option<String> {
        let to = |attempt: &&Dialled| attempt.addr.to_canonical() == strike.addr;
        let failed = self
            .attempts
            .iter()
            .filter(to)
            .any(|attempt| attempt.failed);
        match () {
            () if self.winner.map(|addr| addr.to_canonical()) == Some(strike.addr) => {
                Some(format!("{strike:?} has connected"))
            }
            () if strike.hard && strike.outcome == Outcome::Slow => {
                Some(format!("{strike:?} was only slow"))
            }
            () if strike.hard && !failed => Some(format!("{strike:?} has not failed")),
            () if strike.hard && case.serves(strike.addr) => Some(format!("{strike:?} serves")),
            // If the connector is bound to one family, an address without an attempt may count as slow.
            () if !self.attempts.iter().any(|attempt| to(&attempt)) && case.bound.is_none() => {
                Some(format!("{strike:?} was not attempted"))
            }
            () if case.serves(strike.addr) && case.bound.is_none() => {
                Some(format!("{strike:?} serves"))
            }
            () => None,
        }
    }

    /// Returns the addresses that must have a strike.
    ///
    /// - After an error: each address that failed.
    /// - After a success: each address that failed in the family of the winner. If no second lane started and the
    ///   connector has connected to both families before, the addresses of the other family count too. The first
    ///   attempt counts too if a second lane started or won, or if the connector has connected to its family before.
    /// - After [`LIMIT`]: the first attempt, unless the connector is bound.
    ///
    /// The winner never has a strike.
    fn required_strikes(&self, case: &Case) -> Vec<IpAddr> {
        let failed = |attempt: &&Dialled| attempt.failed;
        let first = self.attempts.first().map(|attempt| attempt.addr);
        let is_bound = case.bound.is_some();
        let failed = self
            .attempts
            .iter()
            .filter(failed)
            .map(|attempt| attempt.addr);
        let mut required: Vec<IpAddr> = match self.winner {
            Some(winner) => {
                let in_time = self.took < LANE_DELAY && case.warm == [true, true];
                let is_certain = |ip: &IpAddr| ip.is_ipv6() == winner.is_ipv6() || in_time;
                let late = self.took >= LANE_DELAY && first != Some(winner);
                let lanes = winner != winner.to_canonical();
                let is_known =
                    |first: &IpAddr| late || lanes || case.warm[usize::from(first.is_ipv6())];
                failed
                    .filter(is_certain)
                    .chain(first.filter(is_known))
                    .collect()
            }
            // A bound connector may not attempt the first address of the answer.
            None if self.dropped => first.filter(|_| !is_bound).into_iter().collect(),
            None => failed.collect(),
        };
        required.iter_mut().for_each(|ip| *ip = ip.to_canonical());
        let winner = self.winner.map(|ip| ip.to_canonical());
        required.retain(|ip| Some(*ip) != winner);
        required
    }
}

/// Each strike is for an attempted address, each hard strike is for a failed address, and no failed address lacks a
/// strike.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strikes_agree_with_the_attempts_in_the_log_of_hyper_util() {
    const CASES: usize = 300;
    let log = DialLog::start();
    let seed = std::env::var("SIDESTEP_SEED").ok();
    let seed = seed.map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("SIDESTEP_SEED={seed}");
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    let mut warm: Vec<IpAddr> = vec![[127, 0, 0, 2].into()];
    warm.extend(has_ipv6.then_some(IpAddr::from(Ipv6Addr::LOCALHOST)));
    let warm = Edges::on(&warm, Scheme::Http).await;
    let mut rng = Rng::with_seed(seed);
    let cases: Vec<Case> = (0..CASES)
        .map(|_| Case::random(&mut rng, has_ipv6))
        .collect();
    let ends = stream::iter(cases).map(|case| {
        let (warm, log) = (warm.clone(), log.clone());
        async move {
            let task = async move { (connect(&case, &warm, &log).await, case) };
            tokio::spawn(task).await.unwrap()
        }
    });
    // The edges live until the end, so that no two cases have the same port.
    let ends: Vec<((ConnectEnd, Edges), Case)> = ends.buffer_unordered(32).collect().await;
    let wrong = ends.iter().filter_map(|((end, _), case)| {
        let differences = end.differences(case);
        (!differences.is_empty()).then(|| format!("{differences:?}\n  {end:?}\n  {case:?}\n"))
    });
    let wrong: String = wrong.collect();
    assert!(wrong.is_empty(), "seed {seed}:\n{wrong}");
    // The comparison needs many cases of each kind.
    let count = |is: fn(&ConnectEnd) -> bool| ends.iter().filter(|((end, _), _)| is(end)).count();
    let winners = count(|end| end.winner.is_some() && !end.strikes.is_empty());
    let mapped = count(|end| end.winner.is_some_and(|ip| ip != ip.to_canonical()));
    let errors = count(|end| end.winner.is_none() && !end.dropped);
    let dropped = count(|end| end.dropped);
    println!(
        "{winners} winners with strikes, {mapped} in the second lane, {errors} errors, {dropped} pending"
    );
    assert!(winners > 40 && errors > 40 && dropped > 5, "seed {seed}");
}

/// TLS fails over IPv6 and not over IPv4. One request fails, later requests go to IPv4, and IPv4 gets no strike.
#[tokio::test]
async fn a_tls_failure_of_one_family_is_no_strike_for_the_other() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return println!("this machine has no IPv6");
    }
    let ips = [
        IpAddr::from(Ipv6Addr::LOCALHOST),
        IpAddr::from([127, 0, 0, 2]),
    ];
    let world = World::of(Edges::on(&ips, Scheme::Https).await, |b| b).await;
    world.edges.set(ips[0], Mode::TlsReset).await;
    let client = world.client_without_retries();
    get(&client, &world.url()).await.unwrap_err();
    for _ in 0..20 {
        get(&client, &world.url())
            .await
            .expect("IPv4 goes first now");
    }
    assert_eq!(world.journal.failures(), [(ips[0], Outcome::TlsFailed)]);
}

/// `local_address` binds the client to IPv4. After a connect that skipped IPv6, a failure in TLS is a strike for the
/// IPv4 edge.
#[tokio::test]
async fn a_tls_failure_of_a_client_bound_to_ipv4_is_a_strike_for_ipv4() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return println!("this machine has no IPv6");
    }
    let ips = [Ipv6Addr::LOCALHOST.into(), IpAddr::from([127, 0, 0, 2])];
    let world = World::of(Edges::on(&ips, Scheme::Https).await, |b| b).await;
    let client = world
        .builder()
        .local_address(IpAddr::from(Ipv4Addr::LOCALHOST))
        .dns_resolver(world.resolver.clone())
        .connector_layer(world.resolver.connect_layer())
        .build()
        .unwrap();
    get(&client, &world.url()).await.unwrap();
    world.edges.set(ips[1], Mode::TlsReset).await;
    get(&client, &world.url()).await.unwrap_err();
    assert_eq!(world.journal.failures(), [(ips[1], Outcome::TlsFailed)]);
}

/// The IPv6 edge refuses, and the client has connected to IPv6 before. The first connect to IPv4 is a strike for the
/// IPv6 edge.
#[tokio::test]
async fn a_family_that_refuses_gets_a_strike_if_the_other_connects_in_time() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return println!("this machine has no IPv6");
    }
    let ips = [Ipv6Addr::LOCALHOST.into(), IpAddr::from([127, 0, 0, 2])];
    let world = World::of(Edges::on(&ips, Scheme::Http).await, |b| b).await;
    let client = world.client();
    get(&client, &world.url()).await.unwrap();
    assert_eq!(world.edges.served(ips[0]), 1, "IPv6 goes first");
    world.edges.set(ips[0], Mode::Refuse).await;
    get(&client, &world.url()).await.unwrap();
    let [(refused, _)] = world.journal.failures()[..] else {
        panic!("{:?}", world.journal.seen());
    };
    assert_eq!(refused, ips[0]);
}
