use super::*;
use crate::host::{self, Parsed};
use crate::outcome::Outcome;
use crate::time;

fn host(text: &str) -> Host {
    match host::parse(text) {
        Ok(Parsed::Name(host)) => host,
        other => panic!("{other:?}"),
    }
}

fn addr(n: u8) -> IpAddr {
    [192, 0, 2, n].into()
}

const REFUSED: Failure = Failure {
    why: Outcome::Refused,
    soft: false,
    error: None,
};

struct World {
    book: Book,
    now: Instant,
    rng: fastrand::Rng,
}

impl World {
    fn new(capacity: usize) -> Self {
        let now = time::now();
        Self {
            book: Book::new(capacity, now),
            now,
            rng: fastrand::Rng::with_seed(1),
        }
    }

    fn refuse(&self, name: &str, last: u8) -> Transition {
        let (host, now) = (host(name), self.now);
        self.book
            .fail(&host, addr(last), &REFUSED, now, now, &self.rng)
    }

    fn rank(&self, name: &str, last: u8) -> Rank {
        self.book.read(name, self.now, |page| {
            let found = page.iter().find(|(other, _)| *other == addr(last));
            found.map_or(Rank::Healthy, |(_, record)| record.rank(self.now))
        })
    }
}

#[test]
fn one_hosts_failure_says_nothing_about_another_host_on_the_same_address() {
    let world = World::new(10);
    assert!(matches!(
        world.refuse("a.test", 1),
        Transition::Penalised(_)
    ));
    assert!(matches!(world.rank("a.test", 1), Rank::Penalised(_)));
    assert_eq!(world.rank("b.test", 1), Rank::Healthy);
    assert_eq!(world.rank("a.test", 2), Rank::Healthy);
}

#[test]
fn exactly_one_of_many_callers_gets_the_trial() {
    let mut world = World::new(10);
    let _ = world.refuse("a.test", 1);
    world.now += Duration::from_secs(7);
    let host = host("a.test");
    let trials = || {
        let trial = world.book.take_trial(&host, &[addr(1), addr(2)], world.now);
        trial.map(|trial| trial.addr)
    };
    assert_eq!(
        (0..50).filter_map(|_| trials()).collect::<Vec<_>>(),
        [addr(1)]
    );
}

#[test]
fn an_address_that_left_dns_gets_no_trial() {
    let mut world = World::new(10);
    let _ = world.refuse("a.test", 1);
    world.now += Duration::from_secs(7);
    assert_eq!(
        world
            .book
            .take_trial(&host("a.test"), &[addr(2)], world.now),
        None
    );
}

#[test]
fn memory_stays_bounded_whatever_fails() {
    let world = World::new(50);
    for n in 0..2_000_u32 {
        let _ = world.refuse(&format!("h{n}.test"), 1);
        assert!(world.book.pages.len() <= 50);
    }
    for n in 0..=255 {
        let _ = world.refuse("one.test", n);
    }
    assert!(world.book.read("one.test", world.now, <[_]>::len) <= MAX_ADDRS);
    assert_eq!(
        world.book.hosts.load(Ordering::Relaxed),
        world.book.pages.len()
    );
}

#[test]
fn a_family_without_a_route_goes_second_for_a_while() {
    let mut world = World::new(10);
    let leads = |world: &World| world.book.leads(Family::V6, world.now);
    assert_eq!(leads(&world), Family::V6);
    world.book.no_route(Family::V6, world.now);
    assert_eq!(leads(&world), Family::V4);
    world.book.no_route(Family::V4, world.now);
    assert_eq!(leads(&world), Family::V6, "with neither, as if both");
    world.book.has_route(Family::V4);
    assert_eq!(leads(&world), Family::V4);
    world.now += NO_ROUTE;
    assert_eq!(leads(&world), Family::V6, "it ends by itself");
    world.book.no_route(Family::V6, world.now);
    world.book.has_route(Family::V6);
    assert_eq!(leads(&world), Family::V6, "and with a connection");
}
