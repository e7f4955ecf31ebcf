//! Tests how long an answer waits for its second family, and how a late family joins the answer.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use sidestep::{Event, Family, Resolver};
use testkit::{Fault, RecordType};
use tokio::sync::mpsc;

use super::{MS, Stage, V6, addrs};

const HOST: &str = "edge.test";

/// Gives source addresses to one family alone, as on a machine without the other.
fn only(family: Family) -> impl Fn(IpAddr) -> Option<IpAddr> + Send + Sync + 'static {
    move |to| (to.is_ipv4() == (family == Family::V4)).then_some(to)
}

/// Gives source addresses to both families.
fn routed(to: IpAddr) -> Option<IpAddr> {
    Some(to)
}

/// Makes a resolver that reports how many addresses each answer has.
fn reporting(
    stage: &Stage,
    source: impl Fn(IpAddr) -> Option<IpAddr> + Send + Sync + 'static,
) -> (Resolver, mpsc::UnboundedReceiver<usize>) {
    let (sender, answers) = mpsc::unbounded_channel();
    let observe = move |event: &Event<'_>| {
        if let Event::LookupSucceeded { addrs, .. } = event {
            let _ = sender.send(addrs.len());
        }
    };
    let set = |builder: sidestep::ResolverBuilder| builder.source_address(source).observe(observe);
    (stage.resolver(|dns| dns, set), answers)
}

/// The first family is served after 50 ms (RFC 8305, section 3). The late family joins the answer without another
/// query.
#[tokio::test]
async fn a_late_family_joins_the_answer() {
    for late in [RecordType::A, RecordType::AAAA] {
        let stage = Stage::new(1).await;
        stage.dns().set(HOST, &[stage.right(), V6], 60);
        // The delay is shorter than an overlap, so that no server gets a query twice.
        let delay = 400 * MS;
        stage.dns().delay_for(late, delay);
        let (resolver, mut answers) = reporting(&stage, routed);
        let began = Instant::now();
        assert_eq!(addrs(&resolver, HOST).await.len(), 1);
        assert!(began.elapsed() < delay, "{:?}", began.elapsed());
        assert_eq!(answers.recv().await, Some(1));
        let left = resolver.snapshot().host(HOST).unwrap().life_left.unwrap();
        assert!(
            left <= Duration::from_secs(30),
            "a partial answer is short-lived"
        );
        assert_eq!(answers.recv().await, Some(2));
        assert_eq!(addrs(&resolver, HOST).await.len(), 2);
        let left = resolver.snapshot().host(HOST).unwrap().life_left.unwrap();
        assert!(left > Duration::from_secs(50), "{left:?}");
        assert_eq!(stage.total(), 2);
    }
}

/// Both families answer at almost the same time and make one answer.
#[tokio::test]
async fn an_answer_waits_for_a_family_within_the_resolution_delay() {
    let stage = Stage::new(1).await;
    stage.dns().set(HOST, &[stage.right(), V6], 60);
    let (resolver, mut answers) = reporting(&stage, routed);
    assert_eq!(addrs(&resolver, HOST).await.len(), 2);
    assert_eq!(answers.recv().await, Some(2));
    assert!(answers.try_recv().is_err());
}

/// The family without a route comes first, and the other family late. The first request waits, and the others get the
/// cached answer.
#[tokio::test]
async fn a_family_without_a_route_is_not_served_alone() {
    let stage = Stage::new(1).await;
    stage.dns().set(HOST, &[stage.right(), V6], 60);
    stage.dns().delay_for(RecordType::A, 400 * MS);
    let set = |builder: sidestep::ResolverBuilder| builder.source_address(only(Family::V4));
    let resolver = stage.resolver(|dns| dns, set);
    let began = Instant::now();
    assert_eq!(stage.get(&resolver, HOST).await, stage.right());
    assert!(began.elapsed() >= 400 * MS);
    for _ in 0..99 {
        assert_eq!(stage.get(&resolver, HOST).await, stage.right());
    }
    assert_eq!(stage.total(), 2);

    let stage = Stage::new(1).await;
    stage.dns().set(HOST, &[[192, 0, 2, 1].into(), V6], 60);
    stage.dns().delay_for(RecordType::AAAA, 400 * MS);
    let set = |builder: sidestep::ResolverBuilder| builder.source_address(only(Family::V6));
    let resolver = stage.resolver(|dns| dns, set);
    assert_eq!(addrs(&resolver, HOST).await.len(), 2);
}

/// An answer does not wait for AAAA if the resolver would not use an IPv6 address.
#[tokio::test]
async fn ipv4_does_not_wait_for_ipv6_that_is_not_used() {
    for prefers in [true, false] {
        let stage = Stage::new(1).await;
        stage.dns().set(HOST, &[stage.right(), V6], 60);
        stage.dns().hold();
        let set = |builder: sidestep::ResolverBuilder| match prefers {
            true => builder.prefer_family(Family::V4).source_address(routed),
            false => builder.source_address(only(Family::V4)),
        };
        let resolver = stage.resolver(|dns| dns, set);
        stage.dns().fault_for(RecordType::AAAA, Fault::Silent);
        stage.dns().release();
        assert_eq!(addrs(&resolver, HOST).await, [stage.right()]);
    }
}

/// If the only family of an answer has no route, the host is looked up again at once, and the answer then
/// waits for the other family.
#[tokio::test]
async fn a_partial_answer_without_a_route_is_looked_up_again() {
    let stage = Stage::new(1).await;
    stage.dns().set(HOST, &[stage.right(), V6], 60);
    stage.dns().fault_for(RecordType::A, Fault::ServFail);
    let set = |builder: sidestep::ResolverBuilder| builder.source_address(routed);
    let resolver = stage.resolver(|dns| dns, set);
    assert_eq!(addrs(&resolver, HOST).await, [V6]);
    stage.dns().fault_for(RecordType::A, Fault::None);
    let before = stage.dns().queries(HOST, RecordType::A);
    // The machine has no IPv6 route to a documentation address, whatever `source_address` says.
    let client = stage.client(&resolver);
    let url = stage.edges.url(HOST);
    let _ = super::get(&client, &url).await;
    assert_eq!(stage.get(&resolver, HOST).await, stage.right());
    assert!(stage.dns().queries(HOST, RecordType::A) > before);
}

/// If the queries for one family fail, the answer is partial and short-lived.
#[tokio::test]
async fn a_failed_family_makes_the_answer_short_lived() {
    let stage = Stage::new(1).await;
    stage.dns().set(HOST, &[stage.right(), V6], 60);
    stage.dns().fault_for(RecordType::AAAA, Fault::Refused);
    let resolver = stage.resolver(|dns| dns, |builder| builder);
    assert_eq!(stage.get(&resolver, HOST).await, stage.right());
    let left = resolver.snapshot().host(HOST).unwrap().life_left.unwrap();
    assert!(left <= Duration::from_secs(30), "{left:?}");
}
