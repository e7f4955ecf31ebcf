//! Connects that are dropped before their end, by a timeout of the client or because the caller leaves. A connect that
//! is dropped soon records nothing. Later, one address is slow.

use std::time::Duration;

use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressState, Outcome, ResolverBuilder};
use testkit::{Edges, HOST, Mode, Scheme, World};

use crate::paths::stock::{Client, Stock, of_reqwest};
use crate::paths::{asked_again, in_order_with, nobody_was_blamed, only_these_failed};

/// What ends a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The caller drops the request.
    Drop,
    /// reqwest's `timeout`.
    TotalTimeout,
    /// reqwest's `connect_timeout`, which drops the connect from outside of all layers.
    ConnectTimeout,
}

const SOON: Duration = Duration::from_millis(10);

/// A world in which no connect of this client ends, with one black hole or with three edges that hang in TLS. The
/// answer is in the cache, so the time goes to the connect alone.
async fn hanging(stock: Stock, slow_connect_after: impl Into<Option<Duration>>) -> World {
    let (n, mode) = match stock.scheme {
        Scheme::Http => (1, Mode::BlackHole),
        Scheme::Https => (3, Mode::Hang),
    };
    let ips: Vec<_> = (2..2 + n).map(|last| [127, 0, 0, last].into()).collect();
    let edges = Edges::on(&ips, stock.scheme).await;
    for &ip in &ips {
        edges.set(ip, mode).await;
    }
    let world = in_order_with(edges, |builder| {
        builder.slow_connect_after(slow_connect_after)
    })
    .await;
    world.resolver.resolve(HOST).await.unwrap();
    world
}

fn client(stock: Stock, world: &World, end: End, after: Duration) -> Client {
    let builder = || stock.reqwest(world).sidestep(&world.resolver);
    match end {
        End::Drop => stock.client(world),
        End::TotalTimeout => of_reqwest(builder().timeout(after)),
        End::ConnectTimeout => of_reqwest(builder().connect_timeout(after)),
    }
}

/// Sends a request whose connect is ended in this way.
async fn send(stock: Stock, world: &World, end: End, after: Duration) {
    let client = client(stock, world, end, after);
    let url = world.url();
    let request = client.get(&url);
    let response = match end {
        End::Drop => tokio::time::timeout(after, request).await.ok(),
        End::TotalTimeout | End::ConnectTimeout => Some(request.await),
    };
    assert!(
        response.is_none_or(|response| response.is_err()),
        "{end:?} {stock:?}"
    );
}

/// Each stock client with each way to drop a connect that it has. In TCP a `connect_timeout` mostly drops no connect,
/// as the last test shows.
fn every() -> impl Iterator<Item = (Stock, End)> {
    Stock::all().flat_map(|stock| {
        let ends = [End::Drop, End::TotalTimeout, End::ConnectTimeout];
        let has = move |end: &End| match end {
            End::Drop => true,
            End::TotalTimeout => stock.sends_again(),
            End::ConnectTimeout => stock.sends_again() && stock.scheme == Scheme::Https,
        };
        ends.into_iter().filter(has).map(move |end| (stock, end))
    })
}

/// The address that was attempted has one soft strike, and the next request looks the host up again.
async fn only_the_first_is_slow(world: &World, case: &str) {
    let first = world.ips()[0];
    assert_eq!(world.journal.failures(), [(first, Outcome::Slow)], "{case}");
    assert_eq!(world.standing(first), AddressState::Probation, "{case}");
    let accepted: Vec<_> = world
        .ips()
        .iter()
        .map(|&ip| world.edges.accepted(ip))
        .collect();
    assert!(
        accepted[1..].iter().all(|&n| n == 0),
        "{case}: {accepted:?}"
    );
    assert_eq!(world.resolver.snapshot().invalidations, 1, "{case}");
    world.resolver.resolve(HOST).await.unwrap();
    asked_again(world).await;
    assert_eq!(world.queries(), 2, "{case}");
}

#[tokio::test]
async fn a_connect_dropped_after_ten_milliseconds_records_nothing() {
    let second = Duration::from_secs(1);
    for (stock, end) in every() {
        let world = hanging(stock, second).await;
        send(stock, &world, end, SOON).await;
        nobody_was_blamed(&world, &format!("{end:?} {stock:?}"));
        world.resolver.resolve(HOST).await.unwrap();
        assert_eq!(world.queries(), 1);
    }
}

#[tokio::test]
async fn a_connect_dropped_late_is_one_soft_strike() {
    // A client with retries gives its connect up at 700 ms, when the connects of both lanes are slow.
    let (slow_after, late) = (Duration::from_millis(400), Duration::from_millis(600));
    for (stock, end) in every() {
        let world = hanging(stock, slow_after).await;
        send(stock, &world, end, late).await;
        only_the_first_is_slow(&world, &format!("{end:?} {stock:?}")).await;
    }
}

/// The resolver has its default settings.
#[tokio::test]
async fn a_connect_dropped_after_half_a_second_is_slow_by_default() {
    for stock in Stock::all() {
        let world = hanging(stock, None).await;
        send(stock, &world, End::Drop, Duration::from_millis(500)).await;
        only_the_first_is_slow(&world, &format!("{stock:?}")).await;
    }
}

/// hyper-util divides `connect_timeout` among the addresses of a family and attempts the next one when a share is over.
/// The connect succeeds.
#[tokio::test]
async fn an_address_that_uses_up_its_share_of_a_connect_timeout_has_failed() {
    let over_http = |stock: &Stock| stock.sends_again() && stock.scheme == Scheme::Http;
    for stock in Stock::all().filter(over_http) {
        // Neither the other lane nor the limit of slow connects ends the attempt first.
        let set = |builder: ResolverBuilder| {
            builder
                .ipv4_mapped_fallback(false)
                .slow_connect_after(Duration::from_secs(5))
        };
        let world = in_order_with(Edges::http(2).await, set).await;
        let dead = world.ips()[0];
        world.edges.set(dead, Mode::BlackHole).await;
        let client = client(stock, &world, End::ConnectTimeout, Duration::from_secs(1));
        for _ in 0..5 {
            client.get(&world.url()).await.unwrap();
        }
        only_these_failed(&world, &format!("{stock:?}"), &[(dead, Outcome::Failed)]).await;
    }
}
