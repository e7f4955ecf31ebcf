//! One of several edges dies, under every stock client: HTTP/1.1 and HTTP/2, with and without rustls.

use sidestep::Outcome;
use testkit::Mode;

use crate::paths::only_these_failed;
use crate::paths::stock::Stock;

/// The first address refuses. The connector of the client attempts the next one, and the failure is still recorded.
#[tokio::test]
async fn an_edge_that_refuses_fails_no_request_and_is_attempted_once() {
    for stock in Stock::all() {
        refuses(stock).await;
    }
}

pub(crate) async fn refuses(stock: Stock) {
    let case = format!("{stock:?}");
    let world = stock.world(3).await;
    let (client, dead) = (stock.client(&world), world.ips()[0]);
    world.edges.set(dead, Mode::Refuse).await;
    for _ in 0..10 {
        let body = client.get(&world.url()).await.unwrap();
        assert!(body.contains("127.0.0.3"), "{case}: {body}");
    }
    only_these_failed(&world, &case, &[(dead, Outcome::Failed)]).await;
}

/// The first address swallows packets. The second lane wins, and the first address is slow.
#[tokio::test]
async fn a_black_hole_delays_one_request() {
    for stock in Stock::all() {
        let world = stock.world(3).await;
        let (client, dead) = (stock.client(&world), world.ips()[0]);
        world.edges.set(dead, Mode::BlackHole).await;
        for _ in 0..10 {
            client.get(&world.url()).await.unwrap();
        }
        only_these_failed(&world, &format!("{stock:?}"), &[(dead, Outcome::Slow)]).await;
    }
}

/// TCP connects and TLS fails. `.sidestep()` sends the request to another edge. Without it one request fails.
#[tokio::test]
async fn an_edge_broken_in_tls_is_attempted_once() {
    for (mode, outcome) in [
        (Mode::TlsReset, Outcome::TlsFailed),
        (Mode::AcceptAndClose, Outcome::TlsFailed),
        (Mode::WrongCertificate, Outcome::BadCertificate),
    ] {
        for stock in Stock::tls() {
            breaks_in_tls(stock, mode, outcome).await;
        }
    }
}

pub(crate) async fn breaks_in_tls(stock: Stock, mode: Mode, outcome: Outcome) {
    let case = format!("{mode:?} {stock:?}");
    let world = stock.world(3).await;
    let (client, dead) = (stock.client(&world), world.ips()[0]);
    world.edges.set(dead, mode).await;
    let mut failed = 0;
    for _ in 0..10 {
        failed += usize::from(client.get(&world.url()).await.is_err());
    }
    assert_eq!(failed, usize::from(!stock.sends_again()), "{case}");
    assert_eq!(world.edges.accepted(dead), 1, "{case}");
    only_these_failed(&world, &case, &[(dead, outcome)]).await;
}

/// The connection dies before the response. Only a retry policy notices.
#[tokio::test]
async fn an_edge_that_closes_early_is_attempted_once() {
    for stock in Stock::all().filter(|stock| stock.sends_again()) {
        let case = format!("{stock:?}");
        let world = stock.world(3).await;
        let (client, dead) = (stock.client(&world), world.ips()[0]);
        world.edges.set(dead, Mode::CloseAfterRequest).await;
        for _ in 0..10 {
            client.get(&world.url()).await.unwrap();
        }
        assert_eq!(world.edges.accepted(dead), 1, "{case}");
        only_these_failed(&world, &case, &[(dead, Outcome::ClosedEarly)]).await;
    }
}
