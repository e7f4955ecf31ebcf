use super::*;
use crate::blame::Reach;
use crate::ends::Ends;
use crate::lookup::{Answer, Answering, Lookup};
use crate::order::{Family, v4, v6};
use crate::penalty::Failure;
use crate::resolver::Ending;
use crate::{Outcome, Resolver};

/// Answers with two addresses, whoever asks.
struct Two;

const TWO: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)),
];

impl Lookup for Two {
    fn lookup<'a>(&'a self, _: &'a str) -> Answering<'a> {
        Box::pin(async { Ok(Answer::new(TWO)) })
    }
}

async fn first(resolver: &Resolver) -> IpAddr {
    let resolved = resolver.resolve("a.test").await;
    resolved.expect("it is known").addrs()[0]
}

/// The request that was on the connection is sent again at once, and for the last time.
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

/// Answers with four addresses of IPv6 and one of IPv4.
struct TwoFamilies;

impl Lookup for TwoFamilies {
    fn lookup<'a>(&'a self, _: &'a str) -> Answering<'a> {
        Box::pin(async { Ok(Answer::new((1..=4).map(v6).chain([v4(1)]))) })
    }
}

#[tokio::test(start_paused = true)]
async fn ipv6_with_two_slow_addresses_goes_second_until_a_probe_reaches_it() {
    let resolver = Resolver::builder()
        .lookup(TwoFamilies)
        .prefer(Family::V6)
        .build()
        .unwrap();
    let host = resolver.inner().host("a.test").unwrap();
    for n in 0..2 {
        assert!(first(&resolver).await.is_ipv6(), "after {n} slow connects");
        let slip = Slip::new(resolver.inner().id());
        let asked = slip.around_call(|| resolver.deal("a.test"));
        assert!(asked.await.is_ok());
        tokio::time::sleep(Duration::from_millis(301)).await;
        let connected = Ending::Connected(Ends {
            remote: (v4(1), 443).into(),
            local: ([127, 0, 0, 1], 50_000).into(),
        });
        resolver.inner().ended(&slip, Reach::default(), &connected);
    }
    assert_eq!(first(&resolver).await, v4(1));
    assert_eq!(resolver.snapshot().dark_families, 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let probed = Failure::unseen(Outcome::Connected);
    resolver.inner().probed(&host, v6(1), &probed, time::now());
    assert!(first(&resolver).await.is_ipv6());
}

/// What it is told then is about the network before.
#[tokio::test(start_paused = true)]
async fn a_dial_that_began_on_another_network_is_held_against_nobody() {
    let resolver = Resolver::builder().lookup(Two).build().unwrap();
    first(&resolver).await;
    let slip = Slip::new(resolver.inner().id());
    let asked = slip.around_call(|| resolver.deal("a.test"));
    assert!(asked.await.is_ok());
    tokio::time::sleep(Duration::from_millis(100)).await;
    resolver.network_changed();
    tokio::time::sleep(Duration::from_millis(100)).await;
    first(&resolver).await;
    let failed = Ending::Failed(Outcome::TimedOut, "timed out".into());
    resolver.inner().ended(&slip, Reach::default(), &failed);
    let snapshot = resolver.snapshot();
    let mut addrs = snapshot.hosts[0].addrs.iter();
    assert!(addrs.all(|addr| addr.standing == crate::Standing::Healthy));
}
