//! Behaviours A1, A4, A8, A9 and A10 over real DNS: what becomes of an answer when its name server
//! is down, says no, or is asked for too much.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::net::IpAddr;
use std::time::Duration;

use sidestep::{AnswerSource, Outcome, Resolver, ResolverBuilder};

use self::common::{Fault, HOST, NameServer, RecordType, asking};

const MS: Duration = Duration::from_millis(1);

fn ip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

/// A name server and a resolver whose answers live 50 ms.
async fn short_lived(
    set: impl FnOnce(ResolverBuilder) -> ResolverBuilder,
) -> (NameServer, Resolver) {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1), ip(2)], 60);
    let builder = Resolver::builder().lookup(asking(&dns));
    let builder = builder.min_ttl(50 * MS).max_ttl(50 * MS);
    (dns, set(builder).build().unwrap())
}

async fn outlive_the_answer() {
    tokio::time::sleep(60 * MS).await;
}

/// A1, A4: SERVFAIL, REFUSED and silence leave an answer; it is served past its life.
#[tokio::test]
async fn a_name_server_that_is_down_costs_no_answer() {
    for fault in [Fault::ServFail, Fault::Refused, Fault::Silent] {
        let (dns, resolver) = short_lived(|builder| builder.serve_stale_after(100 * MS)).await;
        resolver.resolve(HOST).await.unwrap();
        dns.fault(fault);
        outlive_the_answer().await;
        for _ in 0..3 {
            let stale = resolver.resolve(HOST).await.unwrap();
            assert_eq!(
                (stale.addrs().len(), stale.source()),
                (2, AnswerSource::Stale)
            );
        }
        dns.fault(Fault::None);
        resolver.invalidate(HOST);
        let waited_out = resolver.resolve(HOST).await.unwrap();
        assert_eq!(waited_out.addrs().len(), 2);
    }
}

/// A5: a refresh that fails for one family leaves that family's addresses.
#[tokio::test]
async fn a_family_whose_lookup_fails_keeps_its_addresses() {
    let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
    for (rtype, fault) in [
        (RecordType::AAAA, Fault::ServFail),
        (RecordType::A, Fault::Refused),
    ] {
        let (dns, resolver) = short_lived(|builder| builder).await;
        dns.set(HOST, &[ip(1), v6], 60);
        resolver.resolve(HOST).await.unwrap();
        dns.fault_for(rtype, fault);
        for _ in 0..3 {
            outlive_the_answer().await;
            let resolved = resolver.resolve(HOST).await.unwrap();
            assert_eq!(
                (resolved.addrs().len(), resolved.source()),
                (2, AnswerSource::Fresh)
            );
        }
        dns.remove(HOST);
        dns.set(HOST, &[ip(1)], 60);
        dns.fault_for(rtype, Fault::None);
        outlive_the_answer().await;
        let resolved = resolver.resolve(HOST).await.unwrap();
        assert_eq!(resolved.addrs(), [ip(1)], "a family that is gone is gone");
    }
}

/// A4: what the name server says ends an answer at once.
#[tokio::test]
async fn a_name_that_is_gone_is_not_served_stale() {
    let (dns, resolver) = short_lived(|builder| builder).await;
    resolver.resolve(HOST).await.unwrap();
    dns.remove(HOST);
    outlive_the_answer().await;
    assert!(resolver.resolve(HOST).await.unwrap_err().is_not_found());
}

/// A1: all addresses bad, the name server down, the answer past its life: all are returned.
#[tokio::test]
async fn bad_addresses_are_better_than_none() {
    let (dns, resolver) = short_lived(|builder| builder).await;
    resolver.resolve(HOST).await.unwrap();
    dns.fault(Fault::ServFail);
    for last in [1, 2] {
        resolver.report(HOST, ip(last), Outcome::Refused);
    }
    outlive_the_answer().await;
    assert_eq!(resolver.resolve(HOST).await.unwrap().addrs().len(), 2);
}

/// A8: of both families IPv6 leads, and each family is shuffled.
#[tokio::test]
async fn both_families_are_dealt_in_turn() {
    let (dns, resolver) = short_lived(|builder| builder.source_address(Some)).await;
    let v6 = |n| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
    dns.set(HOST, &[ip(1), v6(1), ip(2), v6(2)], 60);
    let mut leads = std::collections::HashSet::new();
    // By chance one leads 100 times in a row once in 2^99 runs.
    for _ in 0..100 {
        let resolved = resolver.resolve(HOST).await.unwrap();
        let families: Vec<bool> = resolved.addrs().iter().map(IpAddr::is_ipv6).collect();
        assert_eq!(families, [true, false, true, false]);
        leads.insert(resolved.addrs()[0]);
    }
    assert_eq!(leads.len(), 2);
}

/// A9: spellings of a name are one query; what is no name for DNS is none.
#[tokio::test]
async fn only_names_are_asked_for_and_each_once() {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1)], 60);
    let resolver = Resolver::builder().lookup(asking(&dns)).build().unwrap();
    for name in [HOST, "EDGE.test", "edge.TEST."] {
        assert_eq!(resolver.resolve(name).await.unwrap().addrs(), [ip(1)]);
    }
    assert_eq!((dns.queries(HOST, RecordType::A), dns.total()), (1, 2));
    for name in ["localhost", "a.localhost.", "127.0.0.1", "[::1]"] {
        resolver.resolve(name).await.unwrap();
    }
    for name in ["a.onion", "b.invalid", "", "a..b", "a b", "a.test:80"] {
        resolver.resolve(name).await.unwrap_err();
    }
    assert_eq!(dns.total(), 2);
}

/// A10: a flood of names pushes out neither the host in use nor the one with a penalty.
#[tokio::test]
async fn a_flood_of_names_leaves_what_is_worth_keeping() {
    let dns = NameServer::start().await;
    for name in [HOST, "hot.test"] {
        dns.set(name, &[ip(1), ip(2)], 60);
    }
    let builder = Resolver::builder().lookup(asking(&dns)).max_hosts(32);
    let resolver = builder.build().unwrap();
    resolver.resolve(HOST).await.unwrap();
    resolver.report(HOST, ip(1), Outcome::Refused);
    for n in 0..500 {
        let _ = resolver.resolve(&format!("h{n}.attacker.test")).await;
        resolver.resolve("hot.test").await.unwrap();
        assert!(resolver.snapshot().hosts.len() <= 32);
    }
    assert_eq!(dns.queries("hot.test", RecordType::A), 1);
    assert_eq!(resolver.resolve(HOST).await.unwrap().addrs()[1], ip(1));
    assert!(
        dns.queries(HOST, RecordType::A) <= 2,
        "one, and one because of the failure"
    );
}
