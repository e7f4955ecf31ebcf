//! It explains itself: an error and the snapshot say what happened to each address, when and why.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::error::Error;
use std::time::Duration;

use common::{Edges, Fault, HOST, Mode, World, get};
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressState, AnswerSource, ConnectError, Outcome};

/// Finds our error in the chain of a client's, as a user would.
fn connect_error<'a>(error: &'a (dyn Error + 'static)) -> &'a ConnectError {
    std::iter::successors(Some(error), |&cause| cause.source())
        .find_map(|cause| cause.downcast_ref())
        .unwrap_or_else(|| panic!("it is in the chain of {error:?}"))
}

/// Every address was refused: each is named with what happened to it, and the connector's own
/// error stays behind ours.
#[tokio::test]
async fn an_error_names_the_host_and_every_address_tried() {
    let world = World::http(3).await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::Refuse).await;
    }
    let error = get(&world.client(), &world.url()).await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    let connect = connect_error(&error);
    assert_eq!(connect.host(), HOST);
    assert_eq!(connect.served_from(), AnswerSource::Fresh);
    let mut tried: Vec<_> = connect.attempts().iter().map(|tried| tried.addr).collect();
    tried.sort();
    assert_eq!(tried, world.ips());
    for attempt in connect.attempts() {
        assert_eq!(
            (attempt.outcome, attempt.ago),
            (Some(Outcome::Refused), None)
        );
    }
    let text = connect.to_string();
    assert!(
        text.starts_with("connecting to edge.test failed: 127.0.0."),
        "{text}"
    );
    assert!(text.contains("127.0.0.4 refused"), "{text}");
    assert!(text.contains("(from a fresh answer"), "{text}");
    let behind = connect.source().unwrap().to_string();
    assert_eq!(behind, "tcp connect error");
}

/// One that was never dialled is told as such; what an earlier connect of the same request found
/// out is told with its time.
#[tokio::test]
async fn an_error_tells_what_earlier_connects_found_out() {
    let world = World::https(2).await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::TlsReset).await;
    }
    let stock = world.client_without_retries();
    let error = get(&stock, &world.url()).await.unwrap_err();
    let [first, second] = connect_error(&error).attempts() else {
        panic!("two were given: {error:?}");
    };
    assert_eq!((first.outcome, first.ago), (Some(Outcome::TlsFailed), None));
    assert_eq!((second.outcome, second.ago), (None, None), "not attempted");
    assert!(connect_error(&error).to_string().contains("not attempted"));

    let error = get(&stock, &world.url()).await.unwrap_err();
    let [now, before] = connect_error(&error).attempts() else {
        panic!("two were given: {error:?}");
    };
    assert_eq!((now.addr, before.addr), (second.addr, first.addr));
    assert_eq!((now.outcome, now.ago), (Some(Outcome::TlsFailed), None));
    assert_eq!(before.outcome, Some(Outcome::TlsFailed));
    assert!(before.ago.is_some(), "an earlier connect found it out");
}

/// While DNS is down and the edges are too, the error says that the answer was an old one.
#[tokio::test]
async fn an_error_tells_where_the_addresses_were_from() {
    let world = World::of(Edges::http(1).await, |builder| {
        builder
            .min_ttl(Duration::from_millis(1))
            .max_ttl(Duration::from_millis(1))
    })
    .await;
    let client = world.client();
    get(&client, &world.url()).await.unwrap();
    common::sleep(Duration::from_millis(2)).await;
    world.dns.fault(Fault::ServFail);
    world.edges.set(world.ips()[0], Mode::Refuse).await;
    let error = get(&client, &world.url()).await.unwrap_err();
    assert_eq!(connect_error(&error).served_from(), AnswerSource::Stale);
    let pinned = world.ips();
    world.resolver.overrides().set(HOST, pinned).unwrap();
    let error = get(&client, &world.url()).await.unwrap_err();
    let connect = connect_error(&error);
    assert_eq!(
        (connect.served_from(), connect.age()),
        (AnswerSource::Override, Duration::ZERO)
    );
    assert!(
        connect
            .to_string()
            .ends_with("refused (from the overrides)"),
        "{connect}"
    );
}

/// A connect that was given up says so, and for how long it had been tried.
#[tokio::test]
async fn a_connect_that_was_given_up_says_so() {
    let world = World::of(Edges::https(2).await, |builder| {
        builder.slow_connect_after(Duration::from_millis(20))
    })
    .await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::Hang).await;
    }
    // A request that is sent again would wait at the last address, for there is nothing better then.
    let layer = world.resolver.connect_layer();
    let without_retries = world
        .builder()
        .dns_resolver(world.resolver.clone())
        .connector_layer(layer.timeout(Duration::from_millis(50)))
        .build()
        .unwrap();
    let error = get(&without_retries, &world.url()).await.unwrap_err();
    let connect = connect_error(&error);
    assert!(connect.is_given_up());
    let text = connect.to_string();
    let expected = "connecting to edge.test was given up after ";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("timed out"), "{text}");
}

/// The snapshot says of each address what it is, since when, why and until when.
#[tokio::test]
async fn the_snapshot_tells_since_when_why_and_until_when() {
    let world = World::http(2).await;
    let dead = world.ips()[0];
    let client = world.client();
    world.edges.set(dead, Mode::Refuse).await;
    world.edges.set(world.ips()[1], Mode::Refuse).await;
    get(&client, &world.url()).await.unwrap_err();
    let snapshot = world.resolver.snapshot();
    let view = snapshot.host(HOST).unwrap().addr(dead).unwrap();
    assert_eq!(view.state, AddressState::Penalized, "{view:?}");
    let left = view.until.unwrap();
    assert!(
        left > Duration::ZERO && left <= Duration::from_secs(6),
        "{left:?}"
    );
    assert!(view.since.unwrap() < Duration::from_secs(6));
    assert_eq!(view.why, Some(Outcome::Refused));
    let error = view.error.as_deref().unwrap();
    assert!(error.starts_with("tcp connect error: "), "{error}");
    world.edges.set(dead, Mode::Serve).await;
    get(&client, &world.url()).await.unwrap();
    let snapshot = world.resolver.snapshot();
    let view = snapshot.host(HOST).unwrap().addr(dead).unwrap();
    assert_eq!((view.state, view.until), (AddressState::Healthy, None));
}

/// What happens under a proxy's or an override's address has no account of ours: the error is the
/// connector's, untouched.
#[tokio::test]
async fn a_connect_that_asked_nobody_keeps_its_own_error() {
    let world = World::http(1).await;
    let ip = world.ips()[0];
    world.edges.set(ip, Mode::Refuse).await;
    let url = world.edges.url(&ip.to_string());
    let error = get(&world.client(), &url).await.unwrap_err();
    let mut causes = std::iter::successors(Some(&error as &(dyn Error + 'static)), |&e| e.source());
    assert!(!causes.any(|cause| cause.is::<ConnectError>()), "{error:?}");
}

/// An error that is not the connector's own is left as it is: reqwest knows a timeout layer's.
#[tokio::test]
async fn a_timeout_layer_below_ours_is_told_as_a_timeout() {
    let world = World::https(1).await;
    world.edges.set(world.ips()[0], Mode::Hang).await;
    let limit = Duration::from_millis(50);
    let client = world
        .builder()
        .connector_layer(tower::timeout::TimeoutLayer::new(limit))
        .sidestep(&world.resolver)
        .build()
        .unwrap();
    let error = get(&client, &world.url()).await.unwrap_err();
    assert!(error.is_timeout() && error.is_connect(), "{error:?}");
}
