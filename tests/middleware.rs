//! What the middleware for reqwest-middleware sends again, alone and around a client that does so too.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use common::{Edges, HOST, Mode, Nack, World, nacking};
use reqwest::Method;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Result};
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressOrder, Outcome, Resolver};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A client whose own policy sends nothing again, in the middleware.
fn client(world: &World) -> ClientWithMiddleware {
    let never = reqwest::retry::never();
    let client = world.builder().sidestep(&world.resolver).retry(never);
    around(client, &world.resolver)
}

/// The same around a client that sends again by itself.
fn both(world: &World) -> ClientWithMiddleware {
    around(world.builder().sidestep(&world.resolver), &world.resolver)
}

fn around(client: reqwest::ClientBuilder, resolver: &Resolver) -> ClientWithMiddleware {
    ClientBuilder::new(client.build().unwrap())
        .with(resolver.middleware())
        .build()
}

async fn send(client: &ClientWithMiddleware, method: Method, url: &str) -> Result<String> {
    let sending = async {
        let answer = client.request(method, url).body("asked").send().await?;
        Ok(answer.error_for_status()?.text().await?)
    };
    common::within("the answer", common::while_pending(sending)).await
}

#[tokio::test]
async fn an_edge_that_fails_before_the_request_costs_no_request() {
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
            let answer = send(&client, method, &world.url()).await;
            let answer = answer.unwrap_or_else(|error| panic!("{mode:?}, {n}: {error:?}"));
            assert!(answer.contains("127.0.0.3"), "{mode:?}, {n}: {answer}");
        }
        assert_ne!(world.journal.failures(), [], "{mode:?}: it was met");
    }
}

/// An edge that takes a connection and closes it: idempotent requests do not notice.
#[tokio::test]
async fn an_edge_that_closes_costs_no_get() {
    for mode in [Mode::AcceptAndClose, Mode::CloseAfterRequest] {
        let world = World::http(2).await;
        let client = client(&world);
        world.edges.set(world.ips()[0], mode).await;
        for n in 0..20 {
            let answer = send(&client, Method::GET, &world.url()).await;
            answer.unwrap_or_else(|error| panic!("{mode:?}, {n}: {error:?}"));
        }
        assert_ne!(world.journal.failures(), [], "{mode:?}: it was met");
    }
}

/// The middleware inside of another, and around a client with the policy of `.sidestep()`: what one
/// would dial and send alone, all do together.
#[tokio::test]
async fn several_that_send_again_do_not_multiply() {
    for (method, mode, https, dials) in [
        (Method::POST, Mode::TlsReset, true, 4),
        (Method::GET, Mode::TlsReset, true, 4),
        (Method::GET, Mode::CloseAfterRequest, false, 2),
        (Method::POST, Mode::CloseAfterRequest, false, 1),
    ] {
        for several in [client, both, twice] {
            let world = match https {
                true => World::https(4).await,
                false => World::http(4).await,
            };
            let client = several(&world);
            for ip in world.ips() {
                world.edges.set(ip, mode).await;
            }
            send(&client, method.clone(), &world.url())
                .await
                .unwrap_err();
            assert_eq!(world.accepted(), dials, "{method}, {mode:?}");
        }
    }
}

fn twice(world: &World) -> ClientWithMiddleware {
    let never = reqwest::retry::never();
    let client = world.builder().sidestep(&world.resolver).retry(never);
    ClientBuilder::new(client.build().unwrap())
        .with(world.resolver.middleware())
        .with(world.resolver.middleware())
        .build()
}

/// reqwest itself sends that again by default, and so does `.sidestep()`.
#[tokio::test]
async fn what_http2_did_not_process_is_left_to_the_client() {
    let edges = Edges::http(1).await;
    for sidesteps in [false, true] {
        let (addr, asked) = nacking(Nack::RefusedStream, usize::MAX).await;
        let resolver = Resolver::new();
        let client = reqwest::Client::builder()
            .no_proxy()
            .http2_prior_knowledge()
            .tls_backend_preconfigured(edges.client_config());
        let client = match sidesteps {
            true => client.sidestep(&resolver),
            false => client.dns_resolver(resolver.clone()),
        };
        let client = around(client, &resolver);
        let url = format!("http://{addr}/");
        send(&client, Method::GET, &url).await.unwrap_err();
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }
}

#[tokio::test]
async fn a_streaming_body_is_sent_once() {
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

/// A POST that dies on its way is not sent again, and the edge is learned all the same.
#[tokio::test]
async fn an_edge_is_learned_from_what_is_not_sent_again() {
    let world = World::http(1).await;
    let edge = world.ips()[0];
    world.edges.set(edge, Mode::CloseAfterRequest).await;
    send(&client(&world), Method::POST, &world.url())
        .await
        .unwrap_err();
    assert_eq!(world.journal.failures(), [(edge, Outcome::ClosedEarly)]);
}

/// The server has acted on a POST when it redirects; that the connect to where it redirects to fails
/// must not send the POST again. On a connection of its own or one from the pool, to another host or
/// to the same.
#[tokio::test]
async fn a_post_that_was_redirected_is_not_sent_again() {
    for host in [HOST, "other.test"] {
        for is_pooled in [false, true] {
            let world = World::https(2).await;
            let (port, posts) = redirecting(&world).await;
            world.dns.set("other.test", &world.ips(), 60);
            for ip in world.ips() {
                world.edges.set(ip, Mode::TlsReset).await;
            }
            let client = pooling(&world);
            let url = format!("http://{host}:{port}/");
            if is_pooled {
                send(&client, Method::PUT, &url).await.unwrap();
            }
            let away = format!("{url}away");
            send(&client, Method::POST, &away).await.unwrap_err();
            assert!(world.accepted() > 0, "it was redirected");
            let case = (host, is_pooled);
            assert_eq!(posts.load(Ordering::SeqCst), 1, "{case:?}");
        }
    }
}

/// Nothing is known of how the other host does; that the first one does well is no reason.
#[tokio::test]
async fn what_was_redirected_to_dead_edges_is_sent_again_twice_at_most() {
    let world = World::https(2).await;
    let (port, redirected) = redirecting(&world).await;
    world.dns.set("other.test", &world.ips(), 60);
    for ip in world.ips() {
        world.edges.set(ip, Mode::TlsReset).await;
    }
    let away = format!("http://other.test:{port}/away");
    send(&pooling(&world), Method::PUT, &away)
        .await
        .unwrap_err();
    assert_eq!(redirected.load(Ordering::SeqCst), 3);
}

/// The same as of [`client`], with connections that are kept.
fn pooling(world: &World) -> ClientWithMiddleware {
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(world.edges.client_config())
        .sidestep(&world.resolver)
        .retry(reqwest::retry::never());
    around(client, &world.resolver)
}

/// A server that ends a kept connection is no dead edge.
#[tokio::test]
async fn the_end_of_a_connection_that_has_answered_is_not_held_against_the_edge() {
    let world = World::http(1).await;
    let addr = common::answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    world.dns.set(HOST, &[addr.ip()], 60);
    let client = pooling(&world);
    for _ in 0..3 {
        let url = format!("http://{HOST}:{}/", addr.port());
        send(&client, Method::GET, &url).await.unwrap();
    }
    assert_eq!(world.journal.failures(), []);
}

/// Servers at the edges' addresses, on a port of their own, that redirect who asks for `/away` to the
/// edges; and how many did.
async fn redirecting(world: &World) -> (u16, Arc<AtomicUsize>) {
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
    let redirected = Arc::new(AtomicUsize::new(0));
    for listener in [first, second] {
        let (redirected, to) = (Arc::clone(&redirected), world.url());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(redirect(stream, Arc::clone(&redirected), to.clone()));
            }
        });
    }
    (port, redirected)
}

async fn redirect(mut stream: TcpStream, redirected: Arc<AtomicUsize>, to: String) {
    let mut room = [0; 1024];
    let mut asked = String::new();
    while let Ok(read @ 1..) = stream.read(&mut room).await {
        asked.push_str(&String::from_utf8_lossy(&room[..read]));
        if !asked.ends_with("asked") {
            continue;
        }
        let status = match std::mem::take(&mut asked).contains("/away") {
            false => "200 OK".to_owned(),
            true => {
                redirected.fetch_add(1, Ordering::SeqCst);
                format!("303 See Other\r\nlocation: {to}")
            }
        };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// One HTTP/2 connection takes all requests until its address is penalized; no middleware before it
/// is passed over.
#[tokio::test]
async fn a_moving_client_at_the_end_leaves_a_penalized_address() {
    let world = World::of(Edges::https(2).await, |builder| {
        builder.address_order(AddressOrder::Preserve)
    })
    .await;
    let (edges, resolver) = (world.edges.clone(), world.resolver.clone());
    let moving = world.resolver.drain_layer().reqwest(move || {
        let mut tls = edges.client_config();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(tls)
            .sidestep(&resolver)
            .build()
    });
    let moving = moving.unwrap();
    let client = ClientBuilder::new(reqwest::Client::new())
        .with(world.resolver.middleware())
        .with(moving)
        .build();
    let ips = world.ips();
    for _ in 0..3 {
        let answer = send(&client, Method::GET, &world.url()).await.unwrap();
        assert!(answer.contains("127.0.0.2"), "{answer}");
    }
    world.resolver.report(HOST, ips[0], Outcome::Refused);
    for _ in 0..3 {
        let answer = send(&client, Method::GET, &world.url()).await.unwrap();
        assert!(answer.contains("127.0.0.3"), "{answer}");
    }
    assert_eq!(world.accepted(), 2, "one connection to each");
}
