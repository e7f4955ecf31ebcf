//! The paths through reqwest with native-tls: see `tests/clients/paths`.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

use std::net::IpAddr;

use reqwest::{Certificate, ClientBuilder};
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressOrder, Outcome};
use testkit::guests::http_proxy;
use testkit::{Edges, Guest, HOST, Mode, RecordType, Scheme, World, get};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A world whose addresses are always in the same order.
async fn world(edges: Edges) -> World {
    let world = World::of(edges, |builder| {
        builder.address_order(AddressOrder::Preserve)
    })
    .await;
    world.dns.rotate(false);
    world
}

/// The settings of a client that trusts the edges and makes a new connection for each request.
fn builder(edges: &Edges) -> ClientBuilder {
    let ca = Certificate::from_der(&edges.ca()).unwrap();
    reqwest::Client::builder()
        .tls_backend_native()
        .tls_certs_only([ca])
        .pool_max_idle_per_host(0)
}

/// Checks that the address failed once and with this outcome, that no other address failed, and that the host was
/// looked up again.
async fn only_this_failed(world: &World, case: &str, addr: IpAddr, outcome: Outcome) {
    assert_eq!(world.journal.failures(), [(addr, outcome)], "{case}");
    world.dns.asked(HOST, RecordType::A, 2).await;
    let snapshot = world.resolver.snapshot();
    let counted = (snapshot.failed_addresses, snapshot.invalidations);
    assert_eq!((counted, world.queries()), ((1, 1), 2), "{case}");
}

/// In every case the dead edge is attempted at most once.
#[tokio::test]
async fn a_dead_edge_fails_no_request_and_is_attempted_once() {
    for (mode, outcome) in [
        (Mode::Refuse, Outcome::Failed),
        (Mode::BlackHole, Outcome::Slow),
        (Mode::TlsReset, Outcome::TlsFailed),
        (Mode::AcceptAndClose, Outcome::TlsFailed),
        (Mode::WrongCertificate, Outcome::BadCertificate),
        (Mode::CloseAfterRequest, Outcome::ClosedEarly),
    ] {
        let case = format!("{mode:?}");
        let world = world(Edges::https(3).await).await;
        let client = builder(&world.edges).no_proxy().sidestep(&world.resolver);
        let (client, dead) = (client.build().unwrap(), world.ips()[0]);
        world.edges.set(dead, mode).await;
        for _ in 0..10 {
            let response = get(&client, &world.url()).await;
            response.unwrap_or_else(|error| panic!("{case}: {error:?}"));
        }
        assert!(world.edges.accepted(dead) <= 1, "{case}");
        only_this_failed(&world, &case, dead, outcome).await;
    }
}

/// The edge reads the `ClientHello` and closes in order, which OpenSSL reports as an unexpected EOF.
#[tokio::test]
async fn a_close_in_the_handshake_is_a_tls_failure() {
    let guest = Guest::new(|mut stream| async move {
        let mut hello = [0; 16_384];
        assert!(stream.read(&mut hello).await.unwrap() > 0);
    });
    let world = world(Edges::hosting(1, Scheme::Http, guest).await).await;
    let client = builder(&world.edges).no_proxy().sidestep(&world.resolver);
    let client = client.build().unwrap();
    let url = world.url().replace("http:", "https:");
    get(&client, &url).await.unwrap_err();
    let failures = world.journal.failures();
    let only = (world.ips()[0], Outcome::TlsFailed);
    assert!(
        !failures.is_empty() && failures.iter().all(|seen| *seen == only),
        "{failures:?}"
    );
}

/// The edge sends an alert about the client's certificate, or speaks no TLS. OpenSSL has a number for each.
#[tokio::test]
async fn an_alert_or_plain_text_in_the_handshake_is_a_tls_failure() {
    const BAD_CERTIFICATE: &[u8] = &[21, 3, 3, 0, 2, 2, 42];
    for reply in [BAD_CERTIFICATE, b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let guest = Guest::new(move |mut stream| async move {
            let mut hello = [0; 16_384];
            assert!(stream.read(&mut hello).await.unwrap() > 0);
            stream.write_all(reply).await.unwrap();
            // The client closes the connection.
            while stream.read(&mut hello).await.is_ok_and(|read| read > 0) {}
        });
        let world = world(Edges::hosting(1, Scheme::Http, guest).await).await;
        let client = builder(&world.edges).no_proxy().sidestep(&world.resolver);
        let client = client.build().unwrap();
        let url = world.url().replace("http:", "https:");
        let error = get(&client, &url).await.unwrap_err();
        let failures = world.journal.failures();
        let only = (world.ips()[0], Outcome::TlsFailed);
        assert!(
            !failures.is_empty() && failures.iter().all(|seen| *seen == only),
            "{failures:?}: {error:?}"
        );
    }
}

/// The client does not trust the authority of the edge.
#[tokio::test]
async fn an_unknown_issuer_is_a_wrong_certificate() {
    let world = world(Edges::https(1).await).await;
    // The system's authorities did not sign the certificate of the edge.
    let client = reqwest::Client::builder()
        .no_proxy()
        .sidestep(&world.resolver);
    let client = client.build().unwrap();
    get(&client, &world.url()).await.unwrap_err();
    let failures = world.journal.failures();
    let only = (world.ips()[0], Outcome::BadCertificate);
    assert!(
        !failures.is_empty() && failures.iter().all(|seen| *seen == only),
        "{failures:?}"
    );
}

/// An origin, two proxies in the clear whose tunnels lead to it, and a client of the proxies.
async fn tunneled() -> (Edges, World, reqwest::Client) {
    let origin = Edges::on(&[[127, 0, 0, 9].into()], Scheme::Https).await;
    let (guest, _) = http_proxy((origin.ips()[0], origin.port()).into());
    let world = world(Edges::hosting(2, Scheme::Http, guest).await).await;
    let proxy = reqwest::Proxy::all(world.url()).unwrap();
    let client = builder(&origin).proxy(proxy).sidestep(&world.resolver);
    (origin, world, client.build().unwrap())
}

/// A proxy that refuses or closes has failed once.
#[tokio::test]
async fn a_dead_proxy_fails_no_request() {
    for (mode, outcome) in [
        (Mode::Refuse, Outcome::Failed),
        (Mode::AcceptAndClose, Outcome::ClosedEarly),
    ] {
        let (origin, world, client) = tunneled().await;
        let dead = world.ips()[0];
        world.edges.set(dead, mode).await;
        for _ in 0..5 {
            get(&client, &origin.url("origin.edge.test")).await.unwrap();
        }
        only_this_failed(&world, &format!("{mode:?}"), dead, outcome).await;
    }
}

/// The proxy reports that the origin refuses, or the origin closes early.
#[tokio::test]
async fn a_failure_of_the_origin_outside_of_tls_is_no_failure_of_the_proxy() {
    for mode in [Mode::Refuse, Mode::CloseAfterRequest] {
        let (origin, world, client) = tunneled().await;
        origin.set(origin.ips()[0], mode).await;
        let response = get(&client, &origin.url("origin.edge.test")).await;
        assert!(response.is_err(), "{mode:?}");
        assert_eq!(world.journal.failures(), [], "{mode:?}");
    }
}

/// `ConnectLayer` documents this limit: native-tls returns the same error for both ends of a tunnel, so a failed
/// handshake with the origin is recorded for the proxy. If the layer can distinguish the two, this test must change.
#[tokio::test]
async fn a_failed_handshake_with_the_origin_counts_as_a_failure_of_the_proxy() {
    for (mode, outcome) in [
        (Mode::TlsReset, Outcome::TlsFailed),
        (Mode::WrongCertificate, Outcome::BadCertificate),
    ] {
        let (origin, world, client) = tunneled().await;
        origin.set(origin.ips()[0], mode).await;
        let response = get(&client, &origin.url("origin.edge.test")).await;
        assert!(response.is_err(), "{mode:?}");
        let failures = world.journal.failures();
        assert_eq!(failures[0], (world.ips()[0], outcome), "{mode:?}");
        origin.set(origin.ips()[0], Mode::Serve).await;
        let response = get(&client, &origin.url("origin.edge.test")).await;
        response.expect("penalized proxies are attempted if no other proxy is left");
    }
}
