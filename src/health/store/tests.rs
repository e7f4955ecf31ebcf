use super::*;
use crate::addrs::v6;
use crate::health::outcome::Outcome;
use crate::host::{self, Parsed};
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
    health: HealthStore,
    now: Instant,
    rng: fastrand::Rng,
}

impl World {
    fn new(capacity: usize) -> Self {
        let now = time::now();
        Self {
            health: HealthStore::new(capacity, now),
            now,
            rng: fastrand::Rng::with_seed(1),
        }
    }

    fn refuse(&self, name: &str, last: u8) -> Transition {
        let (host, now) = (host(name), self.now);
        self.health
            .record_failure(&host, addr(last), &REFUSED, now, now, &self.rng)
    }

    fn rank(&self, name: &str, last: u8) -> Rank {
        self.health.read(name, self.now, |records| {
            let found = records.iter().find(|(other, _)| *other == addr(last));
            found.map_or(Rank::Healthy, |(_, record)| record.rank(self.now))
        })
    }
}

#[test]
fn one_hosts_failure_says_nothing_about_another_host_on_the_same_address() {
    let world = World::new(10);
    assert!(matches!(
        world.refuse("a.test", 1),
        Transition::Penalized(_)
    ));
    assert!(matches!(world.rank("a.test", 1), Rank::Penalized(_)));
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
        let trial = world
            .health
            .take_trial(&host, &[addr(1), addr(2)], None, || false, world.now);
        trial.map(|trial| trial.addr)
    };
    assert_eq!(
        (0..50).filter_map(|_| trials()).collect::<Vec<_>>(),
        [addr(1)]
    );
}

/// A probe tries an address first. If the probe cannot decide, a request that is no retry tries the address.
#[test]
fn a_request_tries_an_address_only_after_a_probe_has_connected() {
    let mut world = World::new(10);
    let edge = host("a.test");
    let tls = Failure::unseen(Outcome::TlsFailed);
    let _ = world
        .health
        .record_failure(&edge, addr(1), &tls, world.now, world.now, &world.rng);
    world.now += Duration::from_secs(7);
    let (rng, health) = (&world.rng, &world.health);
    let take = |now| health.take_trial(&edge, &[addr(1), addr(2)], Some(443), || false, now);
    let by_probe = Trial {
        addr: addr(1),
        port: Some(443),
    };
    assert_eq!(take(world.now), Some(by_probe));
    assert_eq!(take(world.now), None);
    assert_eq!(
        health.accepts(&edge, addr(1), world.now, world.now),
        Transition::None,
        "TCP says nothing about TLS"
    );
    assert_eq!(world.rank("a.test", 1), Rank::Probation);
    let _ = health.record_failure(&edge, addr(2), &tls, world.now, world.now, rng);
    assert_eq!(take(world.now), None, "a request may be sent again now");
    world.now += Duration::from_millis(500);
    let by_request = Trial {
        addr: addr(1),
        port: None,
    };
    assert_eq!(take(world.now), Some(by_request));
    let failed = health.record_failure(&edge, addr(1), &tls, world.now, world.now, rng);
    assert!(matches!(failed, Transition::Penalized(_)));
    assert_eq!(take(world.now + Duration::from_secs(15)), Some(by_probe));
}

#[test]
fn a_probe_clears_a_fault_in_tcp_and_a_doubt() {
    let mut world = World::new(10);
    let edge = host("a.test");
    let _ = world.refuse("a.test", 1);
    world.now += Duration::from_secs(7);
    let taken = world
        .health
        .take_trial(&edge, &[addr(1)], Some(80), || false, world.now);
    assert!(taken.is_some());
    let accepts = |addr| world.health.accepts(&edge, addr, world.now, world.now);
    assert_eq!(accepts(addr(1)), Transition::Recovered);
    assert!(world.health.doubt(&edge, addr(2), true, world.now));
    assert!(!world.health.doubt(&edge, addr(2), true, world.now), "once");
    assert_eq!(world.rank("a.test", 2), Rank::Doubtful);
    assert_eq!(
        accepts(addr(2)),
        Transition::None,
        "no failure was recorded"
    );
    assert_eq!(world.rank("a.test", 2), Rank::Healthy);
}

/// Several connects may try to start the probes of a host. Only the first one gets them.
#[test]
fn each_doubt_has_one_probe() {
    let world = World::new(10);
    let (host, now) = (host("a.test"), world.now);
    let take = || world.health.take_probes(&host, now);
    assert!(take().is_empty());
    for (n, awaits_probe) in [(1, true), (2, true), (3, false)] {
        assert!(world.health.doubt(&host, addr(n), awaits_probe, now));
    }
    assert_eq!(take(), [addr(1), addr(2)]);
    assert!(take().is_empty());
}

/// An answer has at most 64 addresses, and the next answer may name 64 others.
#[test]
fn the_record_that_leaves_for_another_is_a_healthy_or_the_oldest_one() {
    let mut world = World::new(10);
    let count = u8::try_from(MAX_ADDRS).unwrap();
    for n in 0..count {
        let _ = world.refuse("a.test", n);
        world.now += Duration::from_millis(1);
    }
    let host = host("a.test");
    let (back, now) = (addr(9), world.now);
    let _ = world.health.record_success(&host, back, now, now);
    let _ = world.refuse("a.test", count);
    let kept = |world: &World, addr| {
        let holds =
            |records: &[(IpAddr, AddressRecord)]| records.iter().any(|(other, _)| *other == addr);
        world.health.read("a.test", world.now, holds)
    };
    assert!(kept(&world, addr(count)) && kept(&world, addr(0)) && !kept(&world, back));
    let _ = world.refuse("a.test", count + 1);
    assert!(kept(&world, addr(count + 1)) && kept(&world, addr(count)) && !kept(&world, addr(0)));
}

#[test]
fn an_address_that_left_dns_gets_no_trial() {
    let mut world = World::new(10);
    let _ = world.refuse("a.test", 1);
    world.now += Duration::from_secs(7);
    assert_eq!(
        world
            .health
            .take_trial(&host("a.test"), &[addr(2)], None, || false, world.now),
        None
    );
}

#[test]
fn memory_stays_bounded_whatever_fails() {
    let world = World::new(50);
    for n in 0..2_000_u32 {
        let _ = world.refuse(&format!("h{n}.test"), 1);
        assert!(world.health.hosts.len() <= 50);
    }
    for n in 0..=255 {
        let _ = world.refuse("one.test", n);
    }
    assert!(world.health.read("one.test", world.now, <[_]>::len) <= MAX_ADDRS);
}

#[test]
fn a_family_without_a_route_goes_second_for_a_while() {
    let mut world = World::new(10);
    let leads = |world: &World| world.health.preferred_family(Family::V6, world.now);
    assert_eq!(leads(&world), Family::V6);
    world.health.no_route(Family::V6, world.now);
    assert_eq!(leads(&world), Family::V4);
    world.health.no_route(Family::V4, world.now);
    assert_eq!(leads(&world), Family::V6, "with neither, as if both");
    world.health.family_connects(Family::V4);
    assert_eq!(leads(&world), Family::V4);
    world.now += NO_ROUTE;
    assert_eq!(leads(&world), Family::V6, "the time ends");
    world.health.no_route(Family::V6, world.now);
    world.health.family_connects(Family::V6);
    assert_eq!(leads(&world), Family::V6, "and with a connection");
}

#[test]
fn a_family_with_two_slow_addresses_goes_second_until_it_connects() {
    let mut world = World::new(10);
    let slow = |world: &World, addr| world.health.deprioritize_if_dark(addr, world.now);
    let leads = |world: &World| world.health.preferred_family(Family::V6, world.now);
    assert_eq!(slow(&world, v6(1)), None);
    assert_eq!(slow(&world, v6(1)), None, "one address is slow");
    assert_eq!(slow(&world, addr(1)), None, "the other family has its own");
    assert_eq!(leads(&world), Family::V6);
    world.health.family_connects(Family::V6);
    assert_eq!(slow(&world, v6(2)), None, "the family has connected since");
    assert_eq!(slow(&world, v6(1)), Some(DARK));
    assert_eq!(slow(&world, v6(2)), None, "it is no news");
    assert_eq!(leads(&world), Family::V4);
    world.health.no_route(Family::V6, world.now);
    world.now += NO_ROUTE;
    assert_eq!(leads(&world), Family::V4, "a shorter time does not end it");
    world.health.family_connects(Family::V6);
    assert_eq!(leads(&world), Family::V6);
    assert_eq!(slow(&world, v6(2)), None);
    world.now += DARK;
    assert_eq!(slow(&world, v6(1)), None, "the other one was long ago");
    assert_eq!(slow(&world, v6(2)), Some(DARK), "the next time is news");
    world.now += DARK;
    assert_eq!(leads(&world), Family::V6, "the time ends");
}

/// Failures during an outage are forgotten. Failures before and after the outage stay.
#[test]
fn failures_of_an_outage_are_forgotten_and_no_others() {
    let mut world = World::new(10);
    let _ = world.refuse("before.test", 1);
    world.now += Duration::from_secs(1);
    let since = world.now;
    let _ = world.refuse("during.test", 1);
    let _ = world.refuse("before.test", 2);
    world.health.clear_since(since);
    // The clock has not advanced, yet this failure comes after the outage.
    let _ = world.refuse("after.test", 1);
    assert_eq!(world.rank("during.test", 1), Rank::Healthy);
    assert_eq!(world.rank("before.test", 2), Rank::Healthy);
    assert!(matches!(world.rank("before.test", 1), Rank::Penalized(_)));
    assert!(matches!(world.rank("after.test", 1), Rank::Penalized(_)));
    assert!(
        !world.health.has_records(&host("during.test")),
        "its page is gone"
    );
}
