use super::*;
use crate::addrs::{Family, v4, v6};
use crate::attempt::ConnectionId;
use crate::attempt::attribution::FamiliesUsed;
use crate::health::record::Failure;
use crate::lookup::{Answer, Lookup, LookupFuture};
use crate::resolver::AttemptEnd;
use crate::{Outcome, Resolver};

/// A lookup that returns two addresses for every host.
struct Two;

const TWO: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)),
];

impl Lookup for Two {
    fn lookup<'a>(&'a self, _: &'a str) -> LookupFuture<'a> {
        Box::pin(async { Ok(Answer::new(TWO)) })
    }
}

async fn first(resolver: &Resolver) -> IpAddr {
    let resolved = resolver.resolve("a.test").await;
    resolved.expect("it is known").addrs()[0]
}

/// The request on the closed connection is retried at once, and only once.
#[tokio::test(start_paused = true)]
async fn an_address_that_has_just_closed_a_connection_goes_behind_those_that_refuse() {
    let resolver = Resolver::builder().lookup(Two).build().unwrap();
    first(&resolver).await;
    resolver.report("a.test", TWO[1], Outcome::Refused);
    resolver.report("a.test", TWO[0], Outcome::ClosedEarly);
    assert_eq!(first(&resolver).await, TWO[1]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(first(&resolver).await, TWO[0], "one soft strike");
}

/// A lookup that returns four IPv6 addresses and one IPv4 address.
struct TwoFamilies;

impl Lookup for TwoFamilies {
    fn lookup<'a>(&'a self, _: &'a str) -> LookupFuture<'a> {
        Box::pin(async { Ok(Answer::new((1..=4).map(v6).chain([v4(1)]))) })
    }
}

#[tokio::test(start_paused = true)]
async fn ipv6_with_two_slow_addresses_goes_second_until_a_probe_reaches_it() {
    let resolver = Resolver::builder()
        .lookup(TwoFamilies)
        .prefer_family(Family::V6)
        .build()
        .unwrap();
    let host = resolver.inner().host("a.test").unwrap();
    for n in 0..2 {
        assert!(first(&resolver).await.is_ipv6(), "after {n} slow connects");
        let context = AttemptContext::new(resolver.inner().id());
        let asked = context.sync_scope(|| resolver.resolve_into("a.test"));
        assert!(asked.await.is_ok());
        tokio::time::sleep(Duration::from_millis(301)).await;
        let connected = AttemptEnd::Connected(ConnectionId {
            remote: (v4(1), 443).into(),
            local: ([127, 0, 0, 1], 50_000).into(),
        });
        resolver
            .inner()
            .attempt_ended(&context, FamiliesUsed::default(), &connected);
    }
    assert_eq!(first(&resolver).await, v4(1));
    assert_eq!(resolver.snapshot().dark_families, 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let probed = Failure::unseen(Outcome::Connected);
    resolver.inner().probed(&host, v6(1), &probed, time::now());
    assert!(first(&resolver).await.is_ipv6());
}

/// The failure of such an attempt is about the previous network.
#[tokio::test(start_paused = true)]
async fn a_dial_that_began_on_another_network_is_held_against_nobody() {
    let resolver = Resolver::builder().lookup(Two).build().unwrap();
    first(&resolver).await;
    let context = AttemptContext::new(resolver.inner().id());
    let asked = context.sync_scope(|| resolver.resolve_into("a.test"));
    assert!(asked.await.is_ok());
    tokio::time::sleep(Duration::from_millis(100)).await;
    resolver.network_changed();
    tokio::time::sleep(Duration::from_millis(100)).await;
    first(&resolver).await;
    let failed = AttemptEnd::Failed(Outcome::TimedOut, "timed out".into());
    resolver
        .inner()
        .attempt_ended(&context, FamiliesUsed::default(), &failed);
    let snapshot = resolver.snapshot();
    let mut addrs = snapshot.hosts[0].addrs.iter();
    assert!(addrs.all(|addr| addr.state == crate::AddressState::Healthy));
}
