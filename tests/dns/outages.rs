//! Tests behaviors A1, A4, A5, A8, A9 and A10 over real DNS, with name servers that fail, deny a name, or get many
//! queries.

use std::net::IpAddr;
use std::time::Duration;

use sidestep::{AnswerSource, Outcome, Resolver, ResolverBuilder};
use testkit::{Fault, HOST, NameServer, RecordType, asking};

const MS: Duration = Duration::from_millis(1);

fn ip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

/// Makes a name server, and a resolver whose answers live for 50 ms.
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

/// A1, A4: an expired answer is served after SERVFAIL, REFUSED and silence.
#[tokio::test]
async fn an_expired_answer_is_served_while_its_name_server_is_down() {
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
        let in_backoff = resolver.resolve(HOST).await.unwrap();
        assert_eq!(in_backoff.addrs().len(), 2);
    }
}

/// A5: if the lookup fails for one family, the addresses of that family stay.
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
        assert_eq!(
            resolved.addrs(),
            [ip(1)],
            "a family without records is removed"
        );
    }
}

/// A4: NXDOMAIN ends an answer at once.
#[tokio::test]
async fn an_answer_is_not_served_as_stale_after_nxdomain() {
    let (dns, resolver) = short_lived(|builder| builder).await;
    resolver.resolve(HOST).await.unwrap();
    dns.remove(HOST);
    outlive_the_answer().await;
    assert!(resolver.resolve(HOST).await.unwrap_err().is_not_found());
}

/// A1: all addresses are returned if all have failed, the answer has expired and the name server is down.
#[tokio::test]
async fn failed_addresses_are_returned_if_there_are_no_others() {
    let (dns, resolver) = short_lived(|builder| builder).await;
    resolver.resolve(HOST).await.unwrap();
    dns.fault(Fault::ServFail);
    for last in [1, 2] {
        resolver.report(HOST, ip(last), Outcome::Refused);
    }
    outlive_the_answer().await;
    assert_eq!(resolver.resolve(HOST).await.unwrap().addrs().len(), 2);
}

/// A8: the families take turns, IPv6 goes first, and each family is shuffled.
#[tokio::test]
async fn families_take_turns_and_are_shuffled() {
    let (dns, resolver) = short_lived(|builder| builder.source_address(Some)).await;
    let v6 = |n| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
    dns.set(HOST, &[ip(1), v6(1), ip(2), v6(2)], 60);
    let mut leads = std::collections::HashSet::new();
    // By chance, one address goes first 100 times in a row once in 2^99 runs.
    for _ in 0..100 {
        let resolved = resolver.resolve(HOST).await.unwrap();
        let families: Vec<bool> = resolved.addrs().iter().map(IpAddr::is_ipv6).collect();
        assert_eq!(families, [true, false, true, false]);
        leads.insert(resolved.addrs()[0]);
    }
    assert_eq!(leads.len(), 2);
}

/// A9: all spellings of a name share one lookup. Invalid names, reserved names and IP literals need no query.
#[tokio::test]
async fn only_valid_names_are_queried_and_each_only_once() {
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

/// A10: a flood of hosts evicts neither the host in use nor the host with a penalty.
#[tokio::test]
async fn a_flood_of_hosts_evicts_neither_a_host_in_use_nor_a_penalty() {
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
        "the first lookup and one re-resolve"
    );
}
