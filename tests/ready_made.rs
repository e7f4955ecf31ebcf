//! The client of hyper-util in one line, and its connector under tonic.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::process::Command;
use std::time::Duration;
use std::{env, error, fs, future};

use bytes::Bytes;
use common::{Edges, Guest, HOST, Mode, Scheme, Stream, World};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri, Version};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connect, HttpConnector, HttpInfo};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::{CryptoProvider, ring};
use sidestep::{ConnectError, HappyEyeballs, Outcome, Resolver, TcpConnected};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::{Layer as _, Service, ServiceExt as _};

type Body = Empty<Bytes>;
type BoxError = Box<dyn error::Error + Send + Sync>;

/// Sends a GET, and takes the whole answer, so that its connection is free again.
async fn get<C>(client: &Client<C, Body>, url: &str) -> Result<Response<String>, Error>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let (head, body) = client.get(url.parse::<Uri>().unwrap()).await?.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.into()).unwrap();
    Ok(Response::from_parts(head, body))
}

/// Sends a GET on a connection of its own, which then closes.
async fn get_anew<C>(client: &Client<C, Body>, url: &str) -> Result<(), Error>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let request = Request::get(url).header("connection", "close");
    let response = client.request(request.body(Body::new()).unwrap()).await?;
    response.into_body().collect().await.unwrap();
    Ok(())
}

/// TLS by hand, as the docs of `sidestep::hyper` show it.
fn by_hand(world: &World) -> HappyEyeballs<HttpsConnector<TcpConnected<HttpConnector<Resolver>>>> {
    let mut http = HttpConnector::new_with_resolver(world.resolver.clone());
    http.enforce_http(false);
    http.set_nodelay(true);
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(world.edges.client_config())
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(world.resolver.tcp_connected_layer().layer(http));
    world.resolver.happy_eyeballs_layer().layer(https)
}

/// Runs `test` of this program again, in a process of its own where `set` has set the environment.
/// Returns true in that process.
fn alone(test: &str, set: impl FnOnce(&mut Command)) -> bool {
    const ALONE: &str = "SIDESTEP_TEST_ALONE";
    if env::var_os(ALONE).is_some() {
        return true;
    }
    let mut again = Command::new(env::current_exe().unwrap());
    again.args([test, "--exact"]).env(ALONE, "1");
    set(&mut again);
    let output = again.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "there is no {test}: {said}");
    false
}

/// `client()` goes by the one resolver of the process: its pins lead to the edge.
#[tokio::test]
async fn one_line_makes_a_client_of_the_shared_resolver() {
    let edges = Edges::http(1).await;
    let host = "one-line.test";
    let resolver = Resolver::shared();
    resolver.overrides().set(host, edges.ips()).unwrap();
    let client = sidestep::hyper::client().unwrap();
    let response = get(&client, &edges.url(host)).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_11);
    assert!(resolver.snapshot().host(host).is_some(), "it was asked");
    assert_eq!(edges.served(edges.ips()[0]), 1);
}

#[tokio::test]
async fn a_refusing_edge_costs_no_request() {
    let world = World::http(3).await;
    let client = sidestep::hyper::client_with(&world.resolver).unwrap();
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::Refuse).await;
    for _ in 0..100 {
        get_anew(&client, &world.url()).await.unwrap();
    }
    let blamed: Vec<_> = world.journal.failures().iter().map(|it| it.0).collect();
    assert_eq!(blamed, [dead]);
}

/// The pool is on, and a response tells which address it is from.
#[tokio::test]
async fn connections_are_kept_and_tell_where_they_go() {
    let world = World::http(1).await;
    let client = sidestep::hyper::client_with(&world.resolver).unwrap();
    for _ in 0..3 {
        let response = get(&client, &world.url()).await.unwrap();
        let info = response.extensions().get::<HttpInfo>().unwrap();
        assert_eq!(info.remote_addr().ip(), world.ips()[0]);
    }
    assert_eq!(world.accepted(), 1);
}

/// The edges' authority is not one that this system trusts.
#[tokio::test]
async fn an_authority_that_the_platform_does_not_know_is_an_error_that_says_so() {
    let world = World::https(1).await;
    let client = sidestep::hyper::client_with(&world.resolver).unwrap();
    let error = get(&client, &world.url()).await.unwrap_err();
    let connect = ConnectError::find(&error).expect("it tells of the connect");
    assert_eq!(connect.host(), HOST);
    let outcomes: Vec<_> = connect.attempts().iter().map(|to| to.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::BadCertificate)], "{connect}");
    let said = chain(&error);
    assert!(said.contains("invalid peer certificate"), "{said}");
    assert_eq!(world.edges.served(world.ips()[0]), 0);
}

/// What an error and all behind it say.
fn chain(error: &dyn error::Error) -> String {
    let mut all = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        all = format!("{all}: {cause}");
        next = cause.source();
    }
    all
}

/// The whole way of `client_with`, with the edges' authority among those of the system.
#[cfg(target_os = "linux")]
#[test]
fn what_the_platform_trusts_is_trusted_and_http2_is_chosen() {
    let dir = env::temp_dir().join(format!("sidestep-ready-made-{}", std::process::id()));
    let file = dir.join("ca.pem");
    let run = || {
        alone(
            "what_the_platform_trusts_is_trusted_and_http2_is_chosen",
            |again| {
                fs::create_dir(&dir).unwrap();
                again.env("SSL_CERT_FILE", &file).env_remove("SSL_CERT_DIR");
            },
        )
    };
    if !run() {
        return fs::remove_dir_all(&dir).unwrap();
    }
    on_a_runtime(async {
        let world = World::https(2).await;
        fs::write(env::var_os("SSL_CERT_FILE").unwrap(), world.edges.ca_pem()).unwrap();
        let client = sidestep::hyper::client_with(&world.resolver).unwrap();
        let dead = world.ips()[0];
        world.edges.set(dead, Mode::Refuse).await;
        let response = get(&client, &world.url()).await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(world.edges.served(world.ips()[1]), 1);
    });
}

/// A container without ca-certificates.
#[cfg(target_os = "linux")]
#[test]
fn without_any_certificates_the_error_says_what_to_do() {
    let nothing = |again: &mut Command| {
        again
            .env("SSL_CERT_FILE", "/dev/null")
            .env_remove("SSL_CERT_DIR");
    };
    if alone(
        "without_any_certificates_the_error_says_what_to_do",
        nothing,
    ) {
        let error = sidestep::hyper::connector(&Resolver::new()).unwrap_err();
        let said = chain(&error);
        assert!(said.contains("ca-certificates"), "{said}");
        assert!(said.contains("No CA certificates"), "{said}");
    }
}

/// The process's provider is taken: here one that can do nothing.
#[test]
fn the_crypto_provider_of_the_process_is_respected() {
    if alone("the_crypto_provider_of_the_process_is_respected", |_| {}) {
        let resolver = Resolver::new();
        sidestep::hyper::connector(&resolver).expect("without one ring is taken");
        let crippled = CryptoProvider {
            cipher_suites: Vec::new(),
            ..ring::default_provider()
        };
        crippled.install_default().unwrap();
        sidestep::hyper::connector(&resolver).expect_err("there are no cipher suites");
    }
}

fn on_a_runtime(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(test);
}

#[tokio::test]
async fn tls_of_ones_own_is_layered_by_hand() {
    let world = World::https(2).await;
    let client = sidestep::hyper::builder().build(by_hand(&world));
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::Refuse).await;
    let response = get(&client, &world.url()).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(world.edges.served(world.ips()[1]), 1);
}

/// Answers one HTTP/2 request and is silent from then on, as an edge whose packets are lost.
fn falls_silent() -> Guest {
    Guest::new(|stream: Box<dyn Stream>| async move {
        let mut h2 = h2::server::handshake(stream).await.unwrap();
        let (_, mut respond) = h2.accept().await.unwrap().unwrap();
        respond.send_response(Response::new(()), true).unwrap();
        let second = h2.accept().await;
        let _held = (h2, second);
        future::pending().await
    })
}

/// An HTTP/2 connection without a sign of life is ended after 15 s and 10 s, by the settings of
/// `builder()`.
#[tokio::test]
async fn a_silent_http2_connection_is_ended() {
    let edges = Edges::hosting(1, Scheme::Https, falls_silent()).await;
    let world = World::of(edges, |builder| builder).await.in_real_time();
    let client = sidestep::hyper::builder().build(by_hand(&world));
    get(&client, &world.url()).await.unwrap();
    let begin = Instant::now();
    // From here on time passes as soon as everybody waits.
    tokio::time::pause();
    let url = world.url();
    let answer = tokio::time::timeout(Duration::from_secs(60), get(&client, &url)).await;
    let error = answer.expect("it is ended").unwrap_err();
    let said = chain(&error);
    assert!(said.contains("keep-alive"), "{said}");
    let took = begin.elapsed();
    let expected = Duration::from_secs(24)..Duration::from_secs(27);
    assert!(expected.contains(&took), "{took:?}");
    assert_eq!(world.accepted(), 1);
}

/// A gRPC server on each edge, which answers health checks.
async fn grpc_servers(scheme: Scheme) -> World {
    let (_, health) = tonic_health::server::health_reporter();
    let guest = Guest::new(move |stream: Box<dyn Stream>| {
        let health = health.clone();
        let answer = service_fn(move |request: Request<Incoming>| health.clone().oneshot(request));
        let serving = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), answer);
        async move {
            let _: hyper::Result<()> = serving.await;
        }
    });
    let edges = Edges::hosting(2, scheme, guest).await;
    World::of(edges, |builder| builder).await
}

/// The connector of the one line goes into tonic as it is.
#[tokio::test]
async fn a_channel_of_tonic_moves_when_its_server_dies() {
    let world = grpc_servers(Scheme::Http).await;
    let connector = sidestep::hyper::connector(&world.resolver).unwrap();
    moves(&world, connector).await;
}

/// The same by hand, also with TLS, of which tonic's own features are off.
#[tokio::test]
async fn a_channel_of_tonic_moves_over_a_race_by_hand() {
    let world = grpc_servers(Scheme::Http).await;
    let mut http = HttpConnector::new_with_resolver(world.resolver.clone());
    http.set_nodelay(true);
    moves(&world, world.resolver.happy_eyeballs_layer().layer(http)).await;
    let world = grpc_servers(Scheme::Https).await;
    moves(&world, by_hand(&world)).await;
}

/// Kills the server that a channel is connected to, and then the other one.
async fn moves<C>(world: &World, connector: C)
where
    C: Service<Uri, Error = BoxError> + Send + 'static,
    C::Response: hyper::rt::Read + hyper::rt::Write + Send + Unpin,
    C::Future: Send,
{
    let endpoint = Endpoint::from_shared(world.url()).unwrap();
    let channel = endpoint.connect_with_connector(connector).await.unwrap();
    check(&channel).await.unwrap();
    for dead in world.ips() {
        world.edges.set(dead, Mode::Refuse).await;
        goes_on(&channel).await;
        world.edges.set(dead, Mode::Serve).await;
    }
}

async fn check(channel: &Channel) -> Result<(), tonic::Status> {
    let request = HealthCheckRequest::default();
    let response = HealthClient::new(channel.clone()).check(request).await?;
    assert_eq!(response.get_ref().status(), ServingStatus::Serving);
    Ok(())
}

/// One call may meet the connection's end; no other fails.
async fn goes_on(channel: &Channel) {
    let mut failed = Vec::new();
    for _ in 0..20 {
        failed.extend(check(channel).await.err());
    }
    assert!(failed.len() <= 1, "{failed:#?}");
}
