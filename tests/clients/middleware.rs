//! `RetryMiddleware` retries requests, alone and around a client that retries too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use reqwest::Method;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Result};
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressOrder, Outcome, Resolver};
use testkit::{Edges, HOST, Mode, Nack, World, nacking};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Returns a client without retries inside the middleware.
fn client(world: &World) -> ClientWithMiddleware {
    let never = reqwest::retry::never();
    let client = world.builder().sidestep(&world.resolver).retry(never);
    with_middleware(client, &world.resolver)
}

/// Returns a client with retries of its own inside the middleware.
fn client_with_retries(world: &World) -> ClientWithMiddleware {
    with_middleware(world.builder().sidestep(&world.resolver), &world.resolver)
}

fn with_middleware(client: reqwest::ClientBuilder, resolver: &Resolver) -> ClientWithMiddleware {
    ClientBuilder::new(client.build().unwrap())
        .with(resolver.middleware())
        .build()
}

async fn send(client: &ClientWithMiddleware, method: Method, url: &str) -> Result<String> {
    let sending = async {
        let response = client.request(method, url).body("asked").send().await?;
        Ok(response.error_for_status()?.text().await?)
    };
    testkit::within("the response", testkit::while_pending(sending)).await
}

#[tokio::test]
async fn an_edge_that_fails_before_the_request_is_sent_fails_no_request() {
    for (https, mode) in [
        (true, Mode::Refuse),
        (true, Mode::TlsReset),
        (true, Mode::WrongCertificate),
        (true, Mode::BlackHole),
    ] {
        let world = match https {
            true => World::https(2).await,
            false => World::http(2).await,
        };
        let (client, dead) = (client(&world), world.ips()[0]);
        world.edges.set(dead, mode).await;
        for n in 0..40 {
            let method = [Method::GET, Method::POST][n % 2].clone();
            let body = send(&client, method, &world.url()).await;
            let body = body.unwrap_or_else(|error| panic!("{mode:?}, {n}: {error:?}"));
            assert!(body.contains("127.0.0.3"), "{mode:?}, {n}: {body}");
        }
        assert_ne!(
            world.journal.failures(),
            [],
            "{mode:?}: a connect has attempted the edge"
        );
    }
}

/// An edge accepts a connection and closes it. The middleware retries the GET at the other edge.
#[tokio::test]
async fn an_edge_that_closes_early_fails_no_get() {
    for mode in [Mode::AcceptAndClose, Mode::CloseAfterRequest] {
        let world = World::http(2).await;
        let client = client(&world);
        world.edges.set(world.ips()[0], mode).await;
        for n in 0..20 {
            let body = send(&client, Method::GET, &world.url()).await;
            body.unwrap_or_else(|error| panic!("{mode:?}, {n}: {error:?}"));
        }
        assert_ne!(
            world.journal.failures(),
            [],
            "{mode:?}: a connect has attempted the edge"
        );
    }
}

/// The middleware makes no more connects and sends around another one, or around a client with the policy of
/// `.sidestep()`, than alone.
#[tokio::test]
async fn several_retry_layers_do_not_multiply_retries() {
    for (method, mode, https, connects) in [
        (Method::POST, Mode::TlsReset, true, 4),
        (Method::GET, Mode::TlsReset, true, 4),
        (Method::GET, Mode::CloseAfterRequest, false, 2),
        (Method::POST, Mode::CloseAfterRequest, false, 1),
    ] {
        for make_client in [client, client_with_retries, client_with_two_middlewares] {
            let world = match https {
                true => World::https(4).await,
                false => World::http(4).await,
            };
            let client = make_client(&world);
            for ip in world.ips() {
                world.edges.set(ip, mode).await;
            }
            send(&client, method.clone(), &world.url())
                .await
                .unwrap_err();
            assert_eq!(world.accepted(), connects, "{method}, {mode:?}");
        }
    }
}

/// Returns a client without retries inside two middlewares.
fn client_with_two_middlewares(world: &World) -> ClientWithMiddleware {
    let never = reqwest::retry::never();
    let client = world.builder().sidestep(&world.resolver).retry(never);
    ClientBuilder::new(client.build().unwrap())
        .with(world.resolver.middleware())
        .with(world.resolver.middleware())
        .build()
}

/// A client without `.sidestep()` retries an unprocessed HTTP/2 request by its default policy, and a client with
/// `.sidestep()` does so too.
#[tokio::test]
async fn the_client_and_not_the_middleware_retries_unprocessed_http2_requests() {
    let edges = Edges::http(1).await;
    for has_sidestep in [false, true] {
        let (addr, requests) = nacking(Nack::RefusedStream, usize::MAX).await;
        let resolver = Resolver::new();
        let client = reqwest::Client::builder()
            .no_proxy()
            .http2_prior_knowledge()
            .tls_backend_preconfigured(edges.client_config());
        let client = match has_sidestep {
            true => client.sidestep(&resolver),
            false => client.dns_resolver(resolver.clone()),
        };
        let client = with_middleware(client, &resolver);
        let url = format!("http://{addr}/");
        send(&client, Method::GET, &url).await.unwrap_err();
        assert_eq!(requests.load(Ordering::SeqCst), 3);
    }
}

#[tokio::test]
async fn a_request_with_a_streaming_body_is_not_retried() {
    let world = World::https(2).await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::TlsReset).await;
    }
    let chunk = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from("once"))]);
    let body = reqwest::Body::wrap_stream(chunk);
    let request = client(&world).put(world.url()).body(body);
    request.send().await.unwrap_err();
    assert_eq!(world.accepted(), 1);
}

/// A POST is not retried after an early close, and the early close is a strike all the same.
#[tokio::test]
async fn an_early_close_of_a_request_without_a_retry_is_a_strike() {
    let world = World::http(1).await;
    let edge = world.ips()[0];
    world.edges.set(edge, Mode::CloseAfterRequest).await;
    send(&client(&world), Method::POST, &world.url())
        .await
        .unwrap_err();
    assert_eq!(world.journal.failures(), [(edge, Outcome::ClosedEarly)]);
}

/// A server has processed a POST when its response is a redirect. If the connect to the target fails, the POST is not
/// sent again.
///
/// The POST uses a new or a pooled connection, and the target is the same or another host.
#[tokio::test]
async fn a_post_that_is_redirected_is_not_sent_again() {
    for host in [HOST, "other.test"] {
        for is_pooled in [false, true] {
            let world = World::https(2).await;
            let (port, posts) = redirecting_servers(&world).await;
            world.dns.set("other.test", &world.ips(), 60);
            for ip in world.ips() {
                world.edges.set(ip, Mode::TlsReset).await;
            }
            let client = pooling_client(&world);
            let url = format!("http://{host}:{port}/");
            if is_pooled {
                send(&client, Method::PUT, &url).await.unwrap();
            }
            let redirected = format!("{url}away");
            send(&client, Method::POST, &redirected).await.unwrap_err();
            assert!(world.accepted() > 0, "the client follows the redirect");
            let case = (host, is_pooled);
            assert_eq!(posts.load(Ordering::SeqCst), 1, "{case:?}");
        }
    }
}

/// The resolver knows no healthy address of the target. The healthy addresses of the first host allow no more retries.
#[tokio::test]
async fn a_request_that_is_redirected_to_dead_edges_is_retried_twice_at_most() {
    let world = World::https(2).await;
    let (port, redirects) = redirecting_servers(&world).await;
    world.dns.set("other.test", &world.ips(), 60);
    for ip in world.ips() {
        world.edges.set(ip, Mode::TlsReset).await;
    }
    let redirected = format!("http://other.test:{port}/away");
    send(&pooling_client(&world), Method::PUT, &redirected)
        .await
        .unwrap_err();
    assert_eq!(redirects.load(Ordering::SeqCst), 3);
}

/// Returns the same as [`client`], with a connection pool.
fn pooling_client(world: &World) -> ClientWithMiddleware {
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(world.edges.client_config())
        .sidestep(&world.resolver)
        .retry(reqwest::retry::never());
    with_middleware(client, &world.resolver)
}

/// A server closes a pooled connection after its response, which is no strike.
#[tokio::test]
async fn the_close_of_a_pooled_connection_that_has_responded_is_no_strike() {
    let world = World::http(1).await;
    let addr = testkit::answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    world.dns.set(HOST, &[addr.ip()], 60);
    let client = pooling_client(&world);
    for _ in 0..3 {
        let url = format!("http://{HOST}:{}/", addr.port());
        send(&client, Method::GET, &url).await.unwrap();
    }
    assert_eq!(world.journal.failures(), []);
}

/// Starts servers at the addresses of the edges, which redirect requests for `/away` to the edges.
///
/// Returns the port of the servers, and the number of redirects.
async fn redirecting_servers(world: &World) -> (u16, Arc<AtomicUsize>) {
    let [one, other] = world.ips()[..] else {
        panic!("there are two edges");
    };
    let (first, second) = loop {
        let first = TcpListener::bind((one, 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        if let Ok(second) = TcpListener::bind((other, port)).await {
            break (first, second);
        }
    };
    let port = first.local_addr().unwrap().port();
    let redirects = Arc::new(AtomicUsize::new(0));
    for listener in [first, second] {
        let (redirects, target) = (Arc::clone(&redirects), world.url());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(redirect(stream, Arc::clone(&redirects), target.clone()));
            }
        });
    }
    (port, redirects)
}

async fn redirect(mut stream: TcpStream, redirects: Arc<AtomicUsize>, target: String) {
    let mut buffer = [0; 1024];
    let mut request = String::new();
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        request.push_str(&String::from_utf8_lossy(&buffer[..read]));
        if !request.ends_with("asked") {
            continue;
        }
        let status = match std::mem::take(&mut request).contains("/away") {
            false => "200 OK".to_owned(),
            true => {
                redirects.fetch_add(1, Ordering::SeqCst);
                format!("303 See Other\r\nlocation: {target}")
            }
        };
        let response = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(response.as_bytes()).await.unwrap();
    }
}

/// One HTTP/2 connection takes all requests until its address is penalized. The rotating client works after another
/// middleware too.
#[tokio::test]
async fn a_rotating_client_after_another_middleware_leaves_a_penalized_address() {
    let world = World::of(Edges::https(2).await, |builder| {
        builder.address_order(AddressOrder::Preserve)
    })
    .await;
    let (edges, resolver) = (world.edges.clone(), world.resolver.clone());
    let rotating = world.resolver.drain_layer().reqwest(move || {
        let mut tls = edges.client_config();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(tls)
            .sidestep(&resolver)
            .build()
    });
    let rotating = rotating.unwrap();
    let client = ClientBuilder::new(world.client())
        .with(world.resolver.middleware())
        .with(rotating)
        .build();
    let ips = world.ips();
    for _ in 0..3 {
        let body = send(&client, Method::GET, &world.url()).await.unwrap();
        assert!(body.contains("127.0.0.2"), "{body}");
    }
    world.resolver.report(HOST, ips[0], Outcome::Refused);
    for _ in 0..3 {
        let body = send(&client, Method::GET, &world.url()).await.unwrap();
        assert!(body.contains("127.0.0.3"), "{body}");
    }
    assert_eq!(world.accepted(), 2, "one connection to each edge");
}
