//! Whom we blame, compared with what hyper-util's own log says that it dialled: random lists, fates
//! and settings, through the real `HttpConnector` over loopback.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{DialLog, Dialled, Edges, Mode, Scheme, World, get};
use fastrand::Rng;
use futures_util::{StreamExt as _, stream};
use hyper::Uri;
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector, HttpInfo};
use sidestep::lookup::StaticHosts;
use sidestep::{AddressOrder, Connect, Event, Outcome, Resolver};
use tokio::time::{Instant, timeout};
use tower::{Layer as _, ServiceExt as _};

const HOST: &str = "edge.test";
const MS: Duration = Duration::from_millis(1);
/// hyper-util's head start for the first family.
const HEAD_START: Duration = Duration::from_millis(300);
/// Longer than that and every division of a connect timeout.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// A connect to be made: what is there, and how the connector is set up.
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
    fn any(rng: &mut Rng, has_ipv6: bool) -> Self {
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

/// Somebody who was blamed.
#[derive(Clone, Copy, Debug)]
struct Blamed {
    addr: IpAddr,
    outcome: Outcome,
    hard: bool,
}

/// What became of a case.
#[derive(Debug)]
struct Told {
    dialled: Vec<Dialled>,
    winner: Option<IpAddr>,
    /// Neither connected nor failed within our patience.
    dropped: bool,
    took: Duration,
    blamed: Vec<Blamed>,
}

/// Makes the connect. While it lasts the port is the case's own, by which its dials are told apart.
async fn connect(case: &Case, warm: &Edges, log: &DialLog) -> (Told, Edges) {
    // The first address is the same in all cases, so that no two have one port.
    let mut ips = vec![IpAddr::from([127, 0, 0, 2])];
    ips.extend(case.ips());
    let edges = Edges::on(&ips, Scheme::Http).await;
    for &(ip, mode) in &case.list {
        edges.set(ip, mode).await;
    }
    let blamed = Arc::new(Mutex::new(Vec::new()));
    let resolver = resolver(case, warm, blamed.clone());
    let connector = case.connector(&resolver);
    for (warm_up, host) in case.warm.into_iter().zip(["warm4.test", "warm6.test"]) {
        if warm_up {
            let uri: Uri = warm.url(host).parse().unwrap();
            connector.clone().oneshot(uri).await.unwrap();
        }
    }
    let uri: Uri = edges.url(HOST).parse().unwrap();
    // The port may have been another test's before.
    let before = log.to_port(edges.port()).len();
    let begun = Instant::now();
    let ended = timeout(PATIENCE, connector.oneshot(uri)).await;
    let took = Instant::now() - begun;
    let winner = ended.as_ref().ok().and_then(|made| made.as_ref().ok());
    let winner = winner.map(|stream| {
        let mut extras = http::Extensions::new();
        stream.connected().get_extras(&mut extras);
        extras.get::<HttpInfo>().unwrap().remote_addr().ip()
    });
    let blamed = blamed.lock().unwrap().clone();
    let told = Told {
        dialled: log.to_port(edges.port()).split_off(before),
        winner,
        dropped: ended.is_err(),
        took,
        blamed,
    };
    (told, edges)
}

fn resolver(case: &Case, warm: &Edges, blamed: Arc<Mutex<Vec<Blamed>>>) -> Resolver {
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
        .slow_connect_after(HEAD_START)
        .observe(move |event: &Event<'_>| {
            if let Event::AddressFailed {
                addr,
                outcome,
                hard,
                ..
            } = *event
            {
                let blame = Blamed {
                    addr,
                    outcome,
                    hard,
                };
                blamed.lock().unwrap().push(blame);
            }
        })
        .build()
        .unwrap()
}

impl Told {
    /// What is wrong with whom was blamed.
    fn wrongs(&self, case: &Case) -> Vec<String> {
        let mut wrongs = Vec::new();
        for blamed in &self.blamed {
            wrongs.extend(self.wrong_with(blamed, case));
        }
        for missed in self.must_be_blamed(case) {
            if !self.blamed.iter().any(|blamed| blamed.addr == missed) {
                wrongs.push(format!("{missed} failed and was missed"));
            }
        }
        wrongs
    }

    fn wrong_with(&self, blamed: &Blamed, case: &Case) -> Option<String> {
        let to = |dialled: &&Dialled| dialled.addr.to_canonical() == blamed.addr;
        let failed = self.dialled.iter().filter(to).any(|dial| dial.failed);
        match () {
            () if self.winner.map(|addr| addr.to_canonical()) == Some(blamed.addr) => {
                Some(format!("{blamed:?} has just connected"))
            }
            () if blamed.hard && blamed.outcome == Outcome::Slow => {
                Some(format!("{blamed:?} was only slow"))
            }
            () if blamed.hard && !failed => Some(format!("{blamed:?} has not failed")),
            () if blamed.hard && case.serves(blamed.addr) => Some(format!("{blamed:?} is live")),
            // Bound to one family, one that was not dialled may be held to be slow.
            () if !self.dialled.iter().any(|dial| to(&dial)) && case.bound.is_none() => {
                Some(format!("{blamed:?} was not dialled"))
            }
            () if case.serves(blamed.addr) && case.bound.is_none() => {
                Some(format!("{blamed:?} is live"))
            }
            () => None,
        }
    }

    /// Whoever failed before the winner in its family, and, in an error, whoever failed at all. The
    /// first family as a whole when the second won in time; its head in any case.
    fn must_be_blamed(&self, case: &Case) -> Vec<IpAddr> {
        let failed = |dial: &&Dialled| dial.failed;
        let head = self.dialled.first().map(|dial| dial.addr);
        let is_bound = case.bound.is_some();
        let failed = self.dialled.iter().filter(failed).map(|dial| dial.addr);
        let mut must: Vec<IpAddr> = match self.winner {
            Some(winner) => {
                let in_time = self.took < HEAD_START && case.warm == [true, true];
                let is_told = |ip: &IpAddr| ip.is_ipv6() == winner.is_ipv6() || in_time;
                let late = self.took >= HEAD_START && head != Some(winner);
                let lanes = winner != winner.to_canonical();
                let known = |head: &IpAddr| late || lanes || case.warm[usize::from(head.is_ipv6())];
                failed.filter(is_told).chain(head.filter(known)).collect()
            }
            // Until one of another family has been connected to, whose head is the list's.
            None if self.dropped => head.filter(|_| !is_bound).into_iter().collect(),
            None => failed.collect(),
        };
        must.iter_mut().for_each(|ip| *ip = ip.to_canonical());
        let winner = self.winner.map(|ip| ip.to_canonical());
        must.retain(|ip| Some(*ip) != winner);
        must
    }
}

/// Nobody is blamed who was not dialled, nobody for certain who has not failed, and nobody missed
/// who must have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_we_blame_is_what_hyper_util_dialled() {
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
    let cases: Vec<Case> = (0..CASES).map(|_| Case::any(&mut rng, has_ipv6)).collect();
    let told = stream::iter(cases).map(|case| {
        let (warm, log) = (warm.clone(), log.clone());
        async move {
            let task = async move { (connect(&case, &warm, &log).await, case) };
            tokio::spawn(task).await.unwrap()
        }
    });
    // The edges live to the end, so that no two cases have one port.
    let told: Vec<((Told, Edges), Case)> = told.buffer_unordered(32).collect().await;
    let wrong = told.iter().filter_map(|((told, _), case)| {
        let wrongs = told.wrongs(case);
        (!wrongs.is_empty()).then(|| format!("{wrongs:?}\n  {told:?}\n  {case:?}\n"))
    });
    let wrong: String = wrong.collect();
    assert!(wrong.is_empty(), "seed {seed}:\n{wrong}");
    // Of each kind there were many, or the comparison is worth nothing.
    let count = |is: fn(&Told) -> bool| told.iter().filter(|((told, _), _)| is(told)).count();
    let winners = count(|told| told.winner.is_some() && !told.blamed.is_empty());
    let mapped = count(|told| told.winner.is_some_and(|ip| ip != ip.to_canonical()));
    let errors = count(|told| told.winner.is_none() && !told.dropped);
    let dropped = count(|told| told.dropped);
    println!(
        "{winners} winners past others, {mapped} in the second lane, {errors} errors, {dropped} hung"
    );
    assert!(winners > 40 && errors > 40 && dropped > 5, "seed {seed}");
}

/// TLS fails on the one family and not on the other: the family that works is found at once, and
/// nothing is held against it.
#[tokio::test]
async fn a_family_that_is_broken_in_tls_does_not_take_the_other_down() {
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
        get(&client, &world.url()).await.expect("IPv4 leads now");
    }
    assert_eq!(world.journal.failures(), [(ips[0], Outcome::TlsFailed)]);
}

/// A client that is bound to IPv4, as by `local_address`: once it was seen to pass IPv6 over, an
/// error in TLS is about the IPv4 edge.
#[tokio::test]
async fn a_client_bound_to_ipv4_blames_the_ipv4_edge() {
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

/// The IPv6 edge refuses, and a client that has dialled IPv6 before knows it from the
/// first connect that goes to IPv4.
#[tokio::test]
async fn a_family_that_refuses_is_known_when_the_other_connects_in_time() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return println!("this machine has no IPv6");
    }
    let ips = [Ipv6Addr::LOCALHOST.into(), IpAddr::from([127, 0, 0, 2])];
    let world = World::of(Edges::on(&ips, Scheme::Http).await, |b| b).await;
    let client = world.client();
    get(&client, &world.url()).await.unwrap();
    assert_eq!(world.edges.served(ips[0]), 1, "IPv6 leads");
    world.edges.set(ips[0], Mode::Refuse).await;
    get(&client, &world.url()).await.unwrap();
    let [(refused, _)] = world.journal.failures()[..] else {
        panic!("{:?}", world.journal.seen());
    };
    assert_eq!(refused, ips[0]);
}
