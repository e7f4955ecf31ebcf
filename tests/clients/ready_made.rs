//! Tests the ready-made client of `sidestep::hyper`, and its connector in tonic.

use std::process::Command;
use std::time::Duration;
use std::{env, error, fs, future};

use bytes::Bytes;
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
use testkit::{Edges, Guest, HOST, Mode, Scheme, Stream, World, in_new_process};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::{Layer as _, Service, ServiceExt as _};

type Body = Empty<Bytes>;
type BoxError = Box<dyn error::Error + Send + Sync>;

/// Sends a GET and reads the whole response, so that the connection is idle again.
async fn get<C>(client: &Client<C, Body>, url: &str) -> Result<Response<String>, Error>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let (head, body) = client.get(url.parse::<Uri>().unwrap()).await?.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.into()).unwrap();
    Ok(Response::from_parts(head, body))
}

/// Sends a GET on a new connection, which then closes.
async fn get_on_new_connection<C>(client: &Client<C, Body>, url: &str) -> Result<(), Error>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let request = Request::get(url).header("connection", "close");
    let response = client.request(request.body(Body::new()).unwrap()).await?;
    response.into_body().collect().await.unwrap();
    Ok(())
}

/// Returns a connector with the layers in the order that the documentation of `sidestep::hyper` shows.
fn layered_connector(
    world: &World,
) -> HappyEyeballs<HttpsConnector<TcpConnected<HttpConnector<Resolver>>>> {
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

/// `client()` uses the shared resolver of the process, which has an override for the host.
#[tokio::test]
async fn client_uses_the_shared_resolver() {
    let edges = Edges::http(1).await;
    let host = "one-line.test";
    let resolver = Resolver::shared();
    resolver.overrides().set(host, edges.ips()).unwrap();
    let client = sidestep::hyper::client().unwrap();
    let response = get(&client, &edges.url(host)).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_11);
    assert!(
        resolver.snapshot().host(host).is_some(),
        "the host was resolved"
    );
    assert_eq!(edges.served(edges.ips()[0]), 1);
}

#[tokio::test]
async fn no_request_fails_when_one_edge_refuses() {
    let world = World::http(3).await;
    let client = sidestep::hyper::client_with(&world.resolver).unwrap();
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::Refuse).await;
    for _ in 0..100 {
        get_on_new_connection(&client, &world.url()).await.unwrap();
    }
    let failed: Vec<_> = world.journal.failures().iter().map(|it| it.0).collect();
    assert_eq!(failed, [dead]);
}

/// The client has a pool, and a response has the address of its connection.
#[tokio::test]
async fn connections_are_pooled_and_responses_have_their_address() {
    let world = World::http(1).await;
    let client = sidestep::hyper::client_with(&world.resolver).unwrap();
    for _ in 0..3 {
        let response = get(&client, &world.url()).await.unwrap();
        let info = response.extensions().get::<HttpInfo>().unwrap();
        assert_eq!(info.remote_addr().ip(), world.ips()[0]);
    }
    assert_eq!(world.accepted(), 1);
}

/// The system does not trust the authority of the edges.
#[tokio::test]
async fn an_unknown_authority_is_a_certificate_error() {
    let world = World::https(1).await;
    let client = sidestep::hyper::client_with(&world.resolver).unwrap();
    let error = get(&client, &world.url()).await.unwrap_err();
    let connect = ConnectError::find(&error).expect("the error has a ConnectError");
    assert_eq!(connect.host(), HOST);
    let outcomes: Vec<_> = connect.attempts().iter().map(|to| to.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::BadCertificate)], "{connect}");
    let text = chain(&error);
    assert!(text.contains("invalid peer certificate"), "{text}");
    assert_eq!(world.edges.served(world.ips()[0]), 0);
}

/// Returns the text of an error and of all its sources.
fn chain(error: &dyn error::Error) -> String {
    let mut all = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        all = format!("{all}: {cause}");
        next = cause.source();
    }
    all
}

/// The certificates of the system include the authority of the edges, so `client_with` connects.
#[cfg(target_os = "linux")]
#[test]
fn certificates_of_the_system_are_trusted_and_http2_is_negotiated() {
    let dir = env::temp_dir().join(format!("sidestep-ready-made-{}", std::process::id()));
    let file = dir.join("ca.pem");
    let run = || {
        in_new_process(
            module_path!(),
            "certificates_of_the_system_are_trusted_and_http2_is_negotiated",
            |command| {
                fs::create_dir(&dir).unwrap();
                command
                    .env("SSL_CERT_FILE", &file)
                    .env_remove("SSL_CERT_DIR");
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

/// The system has no certificates, as a container without the package ca-certificates.
#[cfg(target_os = "linux")]
#[test]
fn without_certificates_the_error_says_what_to_install() {
    let no_certificates = |command: &mut Command| {
        command
            .env("SSL_CERT_FILE", "/dev/null")
            .env_remove("SSL_CERT_DIR");
    };
    if in_new_process(
        module_path!(),
        "without_certificates_the_error_says_what_to_install",
        no_certificates,
    ) {
        let error = sidestep::hyper::connector(&Resolver::new()).unwrap_err();
        let text = chain(&error);
        assert!(text.contains("ca-certificates"), "{text}");
        assert!(text.contains("No CA certificates"), "{text}");
    }
}

/// The connector uses the provider of the process, which here has no cipher suites.
#[test]
fn the_crypto_provider_of_the_process_is_used() {
    if in_new_process(
        module_path!(),
        "the_crypto_provider_of_the_process_is_used",
        |_| {},
    ) {
        let resolver = Resolver::new();
        sidestep::hyper::connector(&resolver)
            .expect("without a provider of the process ring is used");
        let provider = CryptoProvider {
            cipher_suites: Vec::new(),
            ..ring::default_provider()
        };
        provider.install_default().unwrap();
        sidestep::hyper::connector(&resolver).expect_err("there are no cipher suites");
    }
}

fn on_a_runtime(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(test);
}

#[tokio::test]
async fn a_connector_with_tls_settings_of_the_program_can_be_layered() {
    let world = World::https(2).await;
    let client = sidestep::hyper::builder().build(layered_connector(&world));
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::Refuse).await;
    let response = get(&client, &world.url()).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(world.edges.served(world.ips()[1]), 1);
}

/// Returns a guest that responds to one HTTP/2 request and then sends nothing, as if all packets were lost.
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

/// The settings of `builder()` end a silent HTTP/2 connection: a ping is sent after 15 s, and lost after 10 s more.
#[tokio::test]
async fn a_silent_http2_connection_ends_after_a_lost_ping() {
    let edges = Edges::hosting(1, Scheme::Https, falls_silent()).await;
    let world = World::of(edges, |builder| builder).await.in_real_time();
    let client = sidestep::hyper::builder().build(layered_connector(&world));
    get(&client, &world.url()).await.unwrap();
    let begin = Instant::now();
    // From here on the clock advances as soon as all tasks wait.
    tokio::time::pause();
    let url = world.url();
    let response = tokio::time::timeout(Duration::from_secs(60), get(&client, &url)).await;
    let error = response.expect("the connection ends").unwrap_err();
    let text = chain(&error);
    assert!(text.contains("keep-alive"), "{text}");
    let took = begin.elapsed();
    let expected = Duration::from_secs(24)..Duration::from_secs(27);
    assert!(expected.contains(&took), "{took:?}");
    assert_eq!(world.accepted(), 1);
}

/// Starts two edges with a gRPC server that responds to health checks.
async fn grpc_servers(scheme: Scheme) -> World {
    let (_, health) = tonic_health::server::health_reporter();
    let guest = Guest::new(move |stream: Box<dyn Stream>| {
        let health = health.clone();
        let response =
            service_fn(move |request: Request<Incoming>| health.clone().oneshot(request));
        let serving = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), response);
        async move {
            let _: hyper::Result<()> = serving.await;
        }
    });
    let edges = Edges::hosting(2, scheme, guest).await;
    World::of(edges, |builder| builder).await
}

/// tonic takes the ready-made connector.
#[tokio::test]
async fn a_tonic_channel_connects_again_when_its_server_dies() {
    let world = grpc_servers(Scheme::Http).await;
    let connector = sidestep::hyper::connector(&world.resolver).unwrap();
    connects_again(&world, connector).await;
}

/// tonic takes a layered connector, also one with TLS, while tonic's own TLS features are off.
#[tokio::test]
async fn a_tonic_channel_connects_again_over_a_layered_connector() {
    let world = grpc_servers(Scheme::Http).await;
    let mut http = HttpConnector::new_with_resolver(world.resolver.clone());
    http.set_nodelay(true);
    connects_again(&world, world.resolver.happy_eyeballs_layer().layer(http)).await;
    let world = grpc_servers(Scheme::Https).await;
    connects_again(&world, layered_connector(&world)).await;
}

/// Kills the server that a channel is connected to, and then the other one.
async fn connects_again<C>(world: &World, connector: C)
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
        calls_succeed(&channel).await;
        world.edges.set(dead, Mode::Serve).await;
    }
}

async fn check(channel: &Channel) -> Result<(), tonic::Status> {
    let request = HealthCheckRequest::default();
    let response = HealthClient::new(channel.clone()).check(request).await?;
    assert_eq!(response.get_ref().status(), ServingStatus::Serving);
    Ok(())
}

/// Sends calls, of which at most one fails because its connection ends.
async fn calls_succeed(channel: &Channel) {
    let mut failed = Vec::new();
    for _ in 0..20 {
        failed.extend(check(channel).await.err());
    }
    assert!(failed.len() <= 1, "{failed:#?}");
}
