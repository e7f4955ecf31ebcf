//! `PassiveHealthLayer` turns failures after the connect into strikes, around stock clients.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressState, Outcome, PassiveHealthLayer, Resolver};
use testkit::{HOST, Mode, Seen, World};
use tower::{Layer as _, Service, ServiceExt as _};

/// Sends a GET with the service and returns the status.
async fn get<S>(service: &mut S, url: &str) -> Result<StatusCode, S::Error>
where
    S: Service<reqwest::Request, Response = reqwest::Response>,
{
    let request = reqwest::Request::new(reqwest::Method::GET, url.parse().unwrap());
    let response = service.ready().await?.call(request).await?;
    Ok(response.status())
}

/// Sends GETs until `is_done` returns true, and returns the number of 503 responses.
async fn get_until(
    world: &World,
    layer: &PassiveHealthLayer,
    client: reqwest::Client,
    is_done: impl Fn(&World) -> bool,
) -> usize {
    let mut service = layer.layer(client);
    let mut unavailable = 0;
    for _ in 0..200 {
        let status = get(&mut service, &world.url()).await.unwrap();
        unavailable += usize::from(status == StatusCode::SERVICE_UNAVAILABLE);
        if is_done(world) {
            return unavailable;
        }
    }
    panic!("200 requests were not enough: {:?}", world.journal.seen());
}

fn is_not_healthy(ip: IpAddr) -> impl Fn(&World) -> bool {
    move |world| world.standing(ip) != AddressState::Healthy
}

/// One of four edges responds with 503 and `Connection: close`. The first 503 is a soft strike, and later connects go
/// to the other edges. The caller gets the response unchanged.
#[tokio::test]
async fn later_connects_avoid_an_edge_that_responds_with_503_and_closes() {
    let world = World::https(4).await;
    let failing = world.ips()[0];
    world.edges.set(failing, Mode::Unavailable).await;
    let layer = world.resolver.passive_health_layer();
    let unavailable = get_until(&world, &layer, world.client(), is_not_healthy(failing)).await;
    assert_eq!(unavailable, 1);
    assert_eq!(world.journal.failures(), [(failing, Outcome::Unavailable)]);
    assert_eq!(
        world.standing(failing),
        AddressState::Probation,
        "a soft strike is no penalty"
    );
    assert_eq!(world.journal.count(|seen| *seen == Seen::Invalidated), 1);
    let mut service = layer.layer(world.client());
    for _ in 0..30 {
        assert_eq!(get(&mut service, &world.url()).await.unwrap(), 200);
    }
    let snapshot = world.resolver.snapshot();
    let addr = snapshot.host(HOST).unwrap().addr(failing).unwrap();
    assert_eq!(addr.error.as_deref(), Some("503 Service Unavailable"));
}

/// HTTP/2 has no `Connection: close`. So a 503 response is a strike only if the program turns
/// `require_connection_close` off and 503 is one of the statuses.
#[tokio::test]
async fn a_503_response_over_http2_is_a_strike_only_if_configured() {
    let world = World::http(1).await;
    let only = world.ips()[0];
    world.edges.set(only, Mode::Unavailable).await;
    let client = || {
        let builder = world.builder().http2_prior_knowledge();
        builder.sidestep(&world.resolver).build().unwrap()
    };
    let layer = world.resolver.passive_health_layer();
    let others = layer
        .clone()
        .require_connection_close(false)
        .statuses([StatusCode::BAD_GATEWAY]);
    for layer in [&layer, &others] {
        let mut service = layer.layer(client());
        for _ in 0..5 {
            assert_eq!(get(&mut service, &world.url()).await.unwrap(), 503);
        }
        assert_eq!(world.journal.failures(), [], "{layer:?}");
    }
    let any = layer.require_connection_close(false);
    get_until(&world, &any, client(), is_not_healthy(only)).await;
    assert_eq!(world.journal.failures(), [(only, Outcome::Unavailable)]);
}

/// The resolver did not return the address, so the 503 response is no strike.
#[tokio::test]
async fn a_503_response_of_an_address_in_the_url_is_no_strike() {
    let world = World::http(2).await;
    let failing = world.ips()[0];
    world.edges.set(failing, Mode::Unavailable).await;
    let mut service = world.resolver.passive_health_layer().layer(world.client());
    let url = world.edges.url(&failing.to_string());
    assert_eq!(get(&mut service, &url).await.unwrap(), 503);
    assert_eq!(world.journal.failures(), []);
}

fn hyper(
    resolver: &Resolver,
    http2: bool,
) -> Client<impl Connect + Clone + Send + Sync + 'static, Empty<Bytes>> {
    let http = HttpConnector::new_with_resolver(resolver.clone());
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .http2_only(http2)
        .retry_canceled_requests(false)
        .build(resolver.connect_layer().layer(http))
}

/// hyper-util's client has no retries here. One request to an edge that closes early fails, and later connects go to
/// the other edge.
#[tokio::test]
async fn an_edge_that_closes_early_fails_one_request_of_hyper() {
    for (mode, http2) in [
        (Mode::CloseAfterRequest, false),
        (Mode::CloseAfterRequest, true),
        (Mode::AcceptAndClose, false),
        (Mode::AcceptAndClose, true),
    ] {
        let world = World::http(2).await;
        let dead = world.ips()[0];
        world.edges.set(dead, mode).await;
        let layer = world.resolver.passive_health_layer();
        let mut service = layer.layer(hyper(&world.resolver, http2));
        let mut failed = 0;
        for _ in 0..40 {
            let request = http::Request::get(world.url()).body(Empty::new()).unwrap();
            let response = service.ready().await.unwrap().call(request).await;
            failed += usize::from(response.is_err());
        }
        let failures = world.journal.failures();
        assert_eq!(failed, 1, "{mode:?}, HTTP/2 {http2}: {failures:?}");
        let expected = [(dead, Outcome::ClosedEarly)];
        assert_eq!(failures, expected, "{mode:?}, HTTP/2 {http2}");
    }
}

/// An edge accepts connections and never responds. A request that ends after `slow_response_after` is a soft strike,
/// whether its caller drops it or the client's timeout ends it. Later connects go to the other edge.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_response_after_slow_response_after_is_a_soft_strike() {
    const MS: Duration = Duration::from_millis(1);
    for by_client in [false, true] {
        for after in [None, Some(50 * MS), Some(5_000 * MS)] {
            let world = World::of(testkit::Edges::http(2).await, |builder| {
                builder.address_order(sidestep::AddressOrder::Preserve)
            })
            .await;
            let hung = world.ips()[0];
            world.edges.set(hung, Mode::Hang).await;
            let layer = world
                .resolver
                .passive_health_layer()
                .slow_response_after(after);
            let builder = world.builder().sidestep(&world.resolver);
            let client = match by_client {
                true => builder.timeout(300 * MS).build().unwrap(),
                false => builder.build().unwrap(),
            };
            let mut service = layer.layer(client);
            let (url, limit) = (world.url(), if by_client { 30_000 } else { 300 } * MS);
            let ended = tokio::time::timeout(limit, get(&mut service, &url));
            assert!(!matches!(ended.await, Ok(Ok(_))));
            let is_strike = after == Some(50 * MS);
            let expected = is_strike.then_some((hung, Outcome::Silent));
            assert_eq!(
                world.journal.failures(),
                Vec::from_iter(expected),
                "{after:?}"
            );
            if is_strike {
                assert_eq!(get(&mut service, &world.url()).await.unwrap(), 200);
            }
        }
    }
}

/// A response after `slow_response_after` is no strike, over HTTP/1.1 and HTTP/2.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_response_is_no_strike() {
    const MS: Duration = Duration::from_millis(1);
    for http2 in [false, true] {
        let world = World::http(1).await;
        world.edges.answer_after(50 * MS);
        let layer = world
            .resolver
            .passive_health_layer()
            .slow_response_after(MS);
        let mut service = layer.layer(pooling_client(&world, http2));
        assert_eq!(get(&mut service, &world.url()).await.unwrap(), 200);
        assert_eq!(world.journal.failures(), [], "HTTP/2 {http2}");
    }
}

/// A pooled connection that hangs has carried a response before, so it is no strike.
///
/// The test uses HTTP/2, whose connection is shared from the start. No client tells when a connection of HTTP/1.1 is
/// back in the pool.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooled_connection_that_hangs_is_no_strike() {
    const MS: Duration = Duration::from_millis(1);
    let world = World::http(1).await;
    let layer = world
        .resolver
        .passive_health_layer()
        .slow_response_after(MS);
    let mut service = layer.layer(pooling_client(&world, true));
    assert_eq!(get(&mut service, &world.url()).await.unwrap(), 200);
    world.edges.answer_after(30_000 * MS);
    let url = world.url();
    let second = get(&mut service, &url);
    tokio::time::timeout(100 * MS, second).await.unwrap_err();
    assert_eq!(
        world.accepted(),
        1,
        "the second request uses the same connection"
    );
    assert_eq!(world.journal.failures(), []);
}

/// Returns a client with a connection pool.
fn pooling_client(world: &World, http2: bool) -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(world.edges.client_config());
    let builder = match http2 {
        true => builder.http2_prior_knowledge(),
        false => builder,
    };
    builder.sidestep(&world.resolver).build().unwrap()
}

/// After a redirect, a 503 response is a strike for the address of the last host.
#[tokio::test]
async fn after_a_redirect_the_strike_is_for_the_host_that_responded() {
    let world = World::http(1).await;
    let failing = world.ips()[0];
    world.edges.set(failing, Mode::Unavailable).await;
    let target = world.url();
    let redirect = format!("HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
    let front = testkit::answers(redirect).await;
    world.dns.set("front.test", &[front.ip()], 60);
    let mut service = world.resolver.passive_health_layer().layer(world.client());
    let url = format!("http://front.test:{}/", front.port());
    assert_eq!(get(&mut service, &url).await.unwrap(), 503);
    assert_eq!(world.journal.failures(), [(failing, Outcome::Unavailable)]);
}

/// A server closes a pooled connection at the next request. The connection has carried a response before, so this
/// is no strike.
#[tokio::test]
async fn the_close_of_a_pooled_connection_that_has_responded_is_no_strike() {
    let world = World::http(1).await;
    let addr = testkit::answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    world.dns.set(HOST, &[addr.ip()], 60);
    let http = HttpConnector::new_with_resolver(world.resolver.clone());
    let client = Client::builder(TokioExecutor::new())
        .retry_canceled_requests(false)
        .build(world.resolver.connect_layer().layer(http));
    let mut service = world.resolver.passive_health_layer().layer(client);
    let url = format!("http://{HOST}:{}/", addr.port());
    let mut send = async || {
        let request = http::Request::get(&url).body(Empty::<Bytes>::new());
        service.ready().await?.call(request.unwrap()).await
    };
    send().await.unwrap();
    send()
        .await
        .expect_err("hyper does not send the request again");
    assert_eq!(world.journal.failures(), []);
}
