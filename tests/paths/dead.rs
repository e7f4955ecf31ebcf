//! One edge of several dies, under every stock client: HTTP/1.1 and HTTP/2, plain and rustls.

use sidestep::Outcome;

use crate::common::Mode;
use crate::only_these_failed;
use crate::stock::Stock;

/// The first address refuses: a client's own connector goes on, and it is seen all the same.
#[tokio::test]
async fn an_edge_that_refuses_costs_no_request_and_is_dialled_once() {
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
        let answer = client.get(&world.url()).await.unwrap();
        assert!(answer.contains("127.0.0.3"), "{case}: {answer}");
    }
    only_these_failed(&world, &case, &[(dead, Outcome::Failed)]).await;
}

/// The first address swallows packets: the second lane wins, and the first is seen to be stuck.
#[tokio::test]
async fn a_black_hole_costs_one_race() {
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

/// TCP is up and TLS fails. `.sidestep()` sends the request elsewhere; without it one is lost.
#[tokio::test]
async fn an_edge_broken_in_tls_is_met_once() {
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
    let mut lost = 0;
    for _ in 0..10 {
        lost += usize::from(client.get(&world.url()).await.is_err());
    }
    assert_eq!(lost, usize::from(!stock.sends_again()), "{case}");
    assert_eq!(world.edges.accepted(dead), 1, "{case}");
    only_these_failed(&world, &case, &[(dead, outcome)]).await;
}

/// The connection is made and dies with the request on it: only a retry policy sees that.
#[tokio::test]
async fn an_edge_that_closes_on_a_request_is_met_once() {
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
