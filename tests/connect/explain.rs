//! An error and the snapshot tell what happened to each address, when and why.

use std::error::Error;
use std::time::Duration;

use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressState, AnswerSource, ConnectError, Outcome};
use testkit::{Edges, Fault, HOST, Mode, World, get};

/// Finds the [`ConnectError`] among the causes of a client's error.
fn connect_error<'a>(error: &'a (dyn Error + 'static)) -> &'a ConnectError {
    std::iter::successors(Some(error), |&cause| cause.source())
        .find_map(|cause| cause.downcast_ref())
        .unwrap_or_else(|| panic!("no ConnectError is among the causes of {error:?}"))
}

/// If every address refuses, the error names each with its outcome. The source of the error is the connector's error.
#[tokio::test]
async fn an_error_names_the_host_and_every_attempted_address() {
    let world = World::http(3).await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::Refuse).await;
    }
    let error = get(&world.client(), &world.url()).await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    let connect = connect_error(&error);
    assert_eq!(connect.host(), HOST);
    assert_eq!(connect.served_from(), AnswerSource::Fresh);
    let mut attempted: Vec<_> = connect
        .attempts()
        .iter()
        .map(|attempt| attempt.addr)
        .collect();
    attempted.sort();
    assert_eq!(attempted, world.ips());
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
    let source = connect.source().unwrap().to_string();
    assert_eq!(source, "tcp connect error");
}

/// An error marks an address that was not attempted, and lists a failure of an earlier connect with its age.
#[tokio::test]
async fn an_error_lists_the_failures_of_earlier_connects() {
    let world = World::https(2).await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::TlsReset).await;
    }
    let client = world.client_without_retries();
    let error = get(&client, &world.url()).await.unwrap_err();
    let [first, second] = connect_error(&error).attempts() else {
        panic!("the error lists two addresses: {error:?}");
    };
    assert_eq!((first.outcome, first.ago), (Some(Outcome::TlsFailed), None));
    assert_eq!((second.outcome, second.ago), (None, None), "not attempted");
    assert!(connect_error(&error).to_string().contains("not attempted"));

    let error = get(&client, &world.url()).await.unwrap_err();
    let [now, before] = connect_error(&error).attempts() else {
        panic!("the error lists two addresses: {error:?}");
    };
    assert_eq!((now.addr, before.addr), (second.addr, first.addr));
    assert_eq!((now.outcome, now.ago), (Some(Outcome::TlsFailed), None));
    assert_eq!(before.outcome, Some(Outcome::TlsFailed));
    assert!(before.ago.is_some(), "the failure is of an earlier connect");
}

/// The error tells whether its addresses come from a stale answer or from an override.
#[tokio::test]
async fn an_error_tells_where_its_addresses_come_from() {
    let world = World::of(Edges::http(1).await, |builder| {
        builder
            .min_ttl(Duration::from_millis(1))
            .max_ttl(Duration::from_millis(1))
    })
    .await;
    let client = world.client();
    get(&client, &world.url()).await.unwrap();
    testkit::sleep(Duration::from_millis(2)).await;
    world.dns.fault(Fault::ServFail);
    world.edges.set(world.ips()[0], Mode::Refuse).await;
    let error = get(&client, &world.url()).await.unwrap_err();
    assert_eq!(connect_error(&error).served_from(), AnswerSource::Stale);
    let addrs = world.ips();
    world.resolver.overrides().set(HOST, addrs).unwrap();
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

/// If a connect was given up, the error says so and tells how long the connect was pending.
#[tokio::test]
async fn the_error_of_a_connect_that_was_given_up_says_so() {
    let world = World::of(Edges::https(2).await, |builder| {
        builder.slow_connect_after(Duration::from_millis(20))
    })
    .await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::Hang).await;
    }
    // A retry would wait at the last address, since a connect without another address is not given up.
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

/// The snapshot tells the state of an address, when and why it began, and when it ends.
#[tokio::test]
async fn the_snapshot_tells_the_state_of_an_address_with_its_reason_and_times() {
    let world = World::http(2).await;
    let dead = world.ips()[0];
    let client = world.client();
    world.edges.set(dead, Mode::Refuse).await;
    world.edges.set(world.ips()[1], Mode::Refuse).await;
    get(&client, &world.url()).await.unwrap_err();
    let snapshot = world.resolver.snapshot();
    let addr = snapshot.host(HOST).unwrap().addr(dead).unwrap();
    assert_eq!(addr.state, AddressState::Penalized, "{addr:?}");
    let remaining = addr.until.unwrap();
    assert!(
        remaining > Duration::ZERO && remaining <= Duration::from_secs(6),
        "{remaining:?}"
    );
    assert!(addr.since.unwrap() < Duration::from_secs(6));
    assert_eq!(addr.why, Some(Outcome::Refused));
    let error = addr.error.as_deref().unwrap();
    assert!(error.starts_with("tcp connect error: "), "{error}");
    world.edges.set(dead, Mode::Serve).await;
    get(&client, &world.url()).await.unwrap();
    let snapshot = world.resolver.snapshot();
    let addr = snapshot.host(HOST).unwrap().addr(dead).unwrap();
    assert_eq!((addr.state, addr.until), (AddressState::Healthy, None));
}

/// If a connect resolves no host, the layer returns the connector's error unchanged. Here the URL names an address.
#[tokio::test]
async fn a_connect_that_resolves_no_host_keeps_the_error_of_its_connector() {
    let world = World::http(1).await;
    let ip = world.ips()[0];
    world.edges.set(ip, Mode::Refuse).await;
    let url = world.edges.url(&ip.to_string());
    let error = get(&world.client(), &url).await.unwrap_err();
    let mut causes = std::iter::successors(Some(&error as &(dyn Error + 'static)), |&e| e.source());
    assert!(!causes.any(|cause| cause.is::<ConnectError>()), "{error:?}");
}

/// The connect layer returns the error of a timeout layer unchanged, so that reqwest reports a timeout.
#[tokio::test]
async fn a_timeout_layer_below_the_connect_layer_is_reported_as_a_timeout() {
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
