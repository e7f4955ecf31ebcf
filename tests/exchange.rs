//! What becomes of requests once a connection is up, seen around stock clients.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use common::{HOST, Mode, Seen, World};
use http::StatusCode;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressState, Outcome, PassiveHealthLayer, Resolver};
use tower::{Layer as _, Service, ServiceExt as _};

/// Sends a GET through a watched reqwest client and returns the status.
async fn get<S>(service: &mut S, url: &str) -> Result<StatusCode, S::Error>
where
    S: Service<reqwest::Request, Response = reqwest::Response>,
{
    let request = reqwest::Request::new(reqwest::Method::GET, url.parse().unwrap());
    let answer = service.ready().await?.call(request).await?;
    Ok(answer.status())
}

/// Sends GETs until `enough`, and returns how many were answered 503.
async fn get_until(
    world: &World,
    layer: &PassiveHealthLayer,
    client: reqwest::Client,
    enough: impl Fn(&World) -> bool,
) -> usize {
    let mut service = layer.layer(client);
    let mut unavailable = 0;
    for _ in 0..200 {
        let status = get(&mut service, &world.url()).await.unwrap();
        unavailable += usize::from(status == StatusCode::SERVICE_UNAVAILABLE);
        if enough(world) {
            return unavailable;
        }
    }
    panic!("not within 200 requests: {:?}", world.journal.seen());
}

fn is_behind(ip: IpAddr) -> impl Fn(&World) -> bool {
    move |world| world.standing(ip) != AddressState::Healthy
}

/// One of four edges answers 503 and asks to be left: the first is a soft strike, and the others
/// are dialled from then on. The response itself goes to the caller as it is.
#[tokio::test]
async fn an_edge_that_answers_503_and_closes_is_left_by_later_connects() {
    let world = World::https(4).await;
    let sick = world.ips()[0];
    world.edges.set(sick, Mode::Unavailable).await;
    let layer = world.resolver.passive_health_layer();
    let unavailable = get_until(&world, &layer, world.client(), is_behind(sick)).await;
    assert_eq!(unavailable, 1);
    assert_eq!(world.journal.failures(), [(sick, Outcome::Unavailable)]);
    assert_eq!(world.standing(sick), AddressState::Probation, "two strikes");
    assert_eq!(world.journal.count(|seen| *seen == Seen::Invalidated), 1);
    let mut service = layer.layer(world.client());
    for _ in 0..30 {
        assert_eq!(get(&mut service, &world.url()).await.unwrap(), 200);
    }
    let host = world.resolver.snapshot();
    let view = host.host(HOST).unwrap().addr(sick).unwrap();
    assert_eq!(view.error.as_deref(), Some("503 Service Unavailable"));
}

/// HTTP/2 has no `Connection: close`: nothing counts there until the operator says so, and then
/// for the statuses that the operator chose.
#[tokio::test]
async fn the_operator_chooses_what_counts() {
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
    get_until(&world, &any, client(), is_behind(only)).await;
    assert_eq!(world.journal.failures(), [(only, Outcome::Unavailable)]);
}

/// A good answer, and one from an address that the resolver did not give, count for nothing.
#[tokio::test]
async fn an_address_in_the_url_is_not_blamed() {
    let world = World::http(2).await;
    let sick = world.ips()[0];
    world.edges.set(sick, Mode::Unavailable).await;
    let mut service = world.resolver.passive_health_layer().layer(world.client());
    let url = world.edges.url(&sick.to_string());
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

/// hyper-util's own client, which has no retries of ours: an edge that takes a request and dies
/// costs the request that found out, and no further one.
#[tokio::test]
async fn under_hyper_an_edge_that_dies_before_it_answers_is_learned() {
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
            let answer = service.ready().await.unwrap().call(request).await;
            failed += usize::from(answer.is_err());
        }
        let found = world.journal.failures();
        assert_eq!(failed, 1, "{mode:?}, HTTP/2 {http2}: {found:?}");
        let expected = [(dead, Outcome::ClosedEarly)];
        assert_eq!(found, expected, "{mode:?}, HTTP/2 {http2}");
    }
}

/// An edge takes connections and never answers. The request that is given up late enough tells, whether its
/// caller drops it or the client's own timeout ends it, and later connects go elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_hangs_is_a_soft_strike_once_the_user_says_from_when_on() {
    const MS: Duration = Duration::from_millis(1);
    for by_client in [false, true] {
        for after in [None, Some(50 * MS), Some(5_000 * MS)] {
            let world = World::of(common::Edges::http(2).await, |builder| {
                builder.address_order(sidestep::AddressOrder::Preserve)
            })
            .await;
            let hangs = world.ips()[0];
            world.edges.set(hangs, Mode::Hang).await;
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
            let (url, patience) = (world.url(), if by_client { 30_000 } else { 300 } * MS);
            let ended = tokio::time::timeout(patience, get(&mut service, &url));
            assert!(!matches!(ended.await, Ok(Ok(_))));
            let is_told = after == Some(50 * MS);
            let expected = is_told.then_some((hangs, Outcome::Silent));
            assert_eq!(
                world.journal.failures(),
                Vec::from_iter(expected),
                "{after:?}"
            );
            if is_told {
                assert_eq!(get(&mut service, &world.url()).await.unwrap(), 200);
            }
        }
    }
}

/// A late response is a response, over either version of HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_response_says_nothing() {
    const MS: Duration = Duration::from_millis(1);
    for http2 in [false, true] {
        let world = World::http(1).await;
        world.edges.answer_after(50 * MS);
        let layer = world
            .resolver
            .passive_health_layer()
            .slow_response_after(MS);
        let mut service = layer.layer(keeping_client(&world, http2));
        assert_eq!(get(&mut service, &world.url()).await.unwrap(), 200);
        assert_eq!(world.journal.failures(), [], "HTTP/2 {http2}");
    }
}

/// A kept connection that hangs has answered before. HTTP/2 shares its connection from the start; one of
/// HTTP/1.1 is back in the pool at a time that no client tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_hangs_says_nothing() {
    const MS: Duration = Duration::from_millis(1);
    let world = World::http(1).await;
    let layer = world
        .resolver
        .passive_health_layer()
        .slow_response_after(MS);
    let mut service = layer.layer(keeping_client(&world, true));
    assert_eq!(get(&mut service, &world.url()).await.unwrap(), 200);
    world.edges.answer_after(30_000 * MS);
    let url = world.url();
    let kept = get(&mut service, &url);
    tokio::time::timeout(100 * MS, kept).await.unwrap_err();
    assert_eq!(world.accepted(), 1, "the connection was kept");
    assert_eq!(world.journal.failures(), []);
}

/// A client that keeps its connections.
fn keeping_client(world: &World, http2: bool) -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(world.edges.client_config());
    let builder = match http2 {
        true => builder.http2_prior_knowledge(),
        false => builder,
    };
    builder.sidestep(&world.resolver).build().unwrap()
}

/// After a redirect it is another host that has answered.
#[tokio::test]
async fn after_a_redirect_the_host_that_answered_is_meant() {
    let world = World::http(1).await;
    let sick = world.ips()[0];
    world.edges.set(sick, Mode::Unavailable).await;
    let to = world.url();
    let found = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
    let front = common::answers(found).await;
    world.dns.set("front.test", &[front.ip()], 60);
    let mut service = world.resolver.passive_health_layer().layer(world.client());
    let url = format!("http://front.test:{}/", front.port());
    assert_eq!(get(&mut service, &url).await.unwrap(), 503);
    assert_eq!(world.journal.failures(), [(sick, Outcome::Unavailable)]);
}

/// A kept connection that has answered and is closed at the next request is no dead edge.
#[tokio::test]
async fn the_end_of_a_connection_that_has_answered_says_nothing() {
    let world = World::http(1).await;
    let addr = common::answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    world.dns.set(HOST, &[addr.ip()], 60);
    let http = HttpConnector::new_with_resolver(world.resolver.clone());
    let client = Client::builder(TokioExecutor::new())
        .retry_canceled_requests(false)
        .build(world.resolver.connect_layer().layer(http));
    let mut service = world.resolver.passive_health_layer().layer(client);
    let url = format!("http://{HOST}:{}/", addr.port());
    let mut ask = async || {
        let request = http::Request::get(&url).body(Empty::<Bytes>::new());
        service.ready().await?.call(request.unwrap()).await
    };
    ask().await.unwrap();
    ask().await.expect_err("hyper itself sends nothing again");
    assert_eq!(world.journal.failures(), []);
}
