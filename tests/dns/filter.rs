//! Stock reqwest never connects to an address that the filter refuses.

use std::error::Error as StdError;
use std::iter;

use sidestep::filter;
use testkit::{Edges, HOST, World, get};

/// The edges are on loopback, so `public_only` refuses their addresses.
#[tokio::test]
async fn a_host_with_internal_addresses_gets_no_connect_and_the_error_says_why() {
    let world = World::of(Edges::http(2).await, |builder| {
        builder.filter(filter::public_only())
    })
    .await;
    let client = world.client();
    for url in [world.url(), world.edges.url("localhost")] {
        let error = get(&client, &url).await.unwrap_err();
        assert!(error.is_connect());
        let resolve_error = cause(&error).expect("a ResolveError is among the causes");
        assert!(resolve_error.is_filtered(), "{resolve_error}");
    }
    let error = get(&client, &world.url()).await.unwrap_err();
    assert_eq!(
        cause(&error).unwrap().to_string(),
        "edge.test: the address filter refused all of its 2 addresses (127.0.0.2, 127.0.0.3)"
    );
    assert_eq!(world.accepted(), 0);
    assert_eq!(world.queries(), 1, "the refusal is cached and not retried");
}

#[tokio::test]
async fn no_connect_goes_to_an_address_that_the_filter_refuses() {
    let edges = Edges::http(3).await;
    let refused = edges.ips()[1];
    let world = World::of(edges, move |builder| {
        builder.filter(move |host, addr| host == HOST && addr != refused)
    })
    .await;
    let client = world.client();
    for _ in 0..50 {
        get(&client, &world.url()).await.unwrap();
    }
    let accepted: Vec<_> = world
        .ips()
        .iter()
        .map(|&ip| world.edges.accepted(ip))
        .collect();
    assert_eq!(accepted[1], 0);
    assert!(accepted[0] > 0 && accepted[2] > 0, "{accepted:?}");
}

/// reqwest connects to an address in a URL without the resolver, as the documentation of the filter says.
#[tokio::test]
async fn an_address_in_a_url_bypasses_the_filter() {
    let world = World::of(Edges::http(1).await, |builder| {
        builder.filter(filter::public_only())
    })
    .await;
    let url = world.edges.url("127.0.0.2");
    get(&world.client(), &url).await.unwrap();
    assert_eq!(world.accepted(), 1);
}

/// Finds the [`sidestep::ResolveError`] among the causes of a client's error.
fn cause(error: &reqwest::Error) -> Option<&sidestep::ResolveError> {
    let first: &(dyn StdError + 'static) = error;
    iter::successors(Some(first), |&error| error.source()).find_map(|error| error.downcast_ref())
}
