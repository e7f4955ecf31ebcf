use super::*;
use crate::blame::Reach;
use crate::lookup::{Answer, Answering, Lookup};
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

/// An edge that closes connections early is tried by somebody else.
#[tokio::test(start_paused = true)]
async fn who_cannot_send_again_tries_no_address_whose_penalty_is_over() {
    let resolver = Resolver::builder().lookup(Two).build().unwrap();
    first(&resolver).await;
    resolver.report("a.test", TWO[0], Outcome::ClosedEarly);
    tokio::time::sleep(Duration::from_secs(7)).await;
    resolver.inner().begin_care();
    assert_eq!(first(&resolver).await, TWO[1]);
    assert_eq!(resolver.snapshot().trials, 0);
    resolver.inner().end_care();
    assert_eq!(first(&resolver).await, TWO[0]);
    assert_eq!(resolver.snapshot().trials, 1);
}

/// Nor one that may do so again, while there are others, however bad.
#[tokio::test(start_paused = true)]
async fn who_cannot_send_again_dials_an_edge_that_closes_early_last() {
    let resolver = Resolver::builder().lookup(Two).build().unwrap();
    first(&resolver).await;
    resolver.report("a.test", TWO[0], Outcome::ClosedEarly);
    resolver.report("a.test", TWO[1], Outcome::Refused);
    assert_eq!(first(&resolver).await, TWO[0], "one soft strike");
    resolver.inner().begin_care();
    assert_eq!(first(&resolver).await, TWO[1]);
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
