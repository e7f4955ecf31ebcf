//! Every kind of runtime, blocking clients, and a resolver that several runtimes share.

use sidestep::Outcome;
use sidestep::reqwest::ClientBuilderExt as _;
use testkit::{HOST, Mode, RecordType, Scheme, World, within};
use tokio::runtime::{Builder, Runtime};

use crate::paths::dead::{breaks_in_tls, refuses};
use crate::paths::only_these_failed;
use crate::paths::stock::Stock;

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn two_threads() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// The requests run on a worker thread of the runtime, if it has any.
#[test]
fn every_runtime_records_the_same_failures() {
    for runtime in [one_thread(), two_threads()] {
        runtime.block_on(async {
            for stock in Stock::all() {
                tokio::spawn(refuses(stock)).await.unwrap();
            }
            for stock in Stock::tls() {
                let broken = breaks_in_tls(stock, Mode::TlsReset, Outcome::TlsFailed);
                tokio::spawn(broken).await.unwrap();
            }
        });
    }
}

/// A blocking client has a runtime of its own, and its requests come from a thread without a runtime.
#[test]
fn a_blocking_client_records_the_same_failures() {
    let servers = two_threads();
    for stock in Stock::all().filter(|stock| stock.sends_again()) {
        let (mode, outcome) = match stock.scheme {
            Scheme::Http => (Mode::Refuse, Outcome::Failed),
            Scheme::Https => (Mode::TlsReset, Outcome::TlsFailed),
        };
        let world = servers.block_on(stock.world(3));
        let dead = world.ips()[0];
        servers.block_on(world.edges.set(dead, mode));
        let builder = stock.reqwest(&world).sidestep(&world.resolver);
        let client = reqwest::blocking::ClientBuilder::from(builder);
        let client = client.build().unwrap();
        for _ in 0..10 {
            let body = client.get(world.url()).send().unwrap().text().unwrap();
            assert!(body.contains("127.0.0.3"), "{stock:?}: {body}");
        }
        let case = format!("blocking {stock:?}");
        servers.block_on(only_these_failed(&world, &case, &[(dead, outcome)]));
    }
}

/// Sends a GET on a runtime with a new client.
fn request(
    runtime: &Runtime,
    stock: Stock,
    world: &World,
) -> tokio::task::JoinHandle<Option<String>> {
    let (client, url) = (stock.client(world), world.url());
    runtime.spawn(async move { client.get(&url).await.ok() })
}

/// A runtime is shut down while its request waits for a lookup. A request that waits on another runtime and a later
/// request succeed, and all runtimes share the recorded failure (F12).
#[test]
fn a_runtime_shut_down_during_a_lookup_fails_no_request_of_another_runtime() {
    // The edges and the name server run on this runtime, which outlasts the others.
    let servers = two_threads();
    for stock in Stock::all() {
        for first in [one_thread(), two_threads()] {
            let world = servers.block_on(stock.world(2));
            let dead = world.ips()[0];
            servers.block_on(world.edges.set(dead, Mode::Refuse));
            world.dns.hold();
            let canceled = request(&first, stock, &world);
            first.block_on(world.dns.asked(HOST, RecordType::A, 1));
            let second = two_threads();
            let waiting = request(&second, stock, &world);
            drop(first);
            let third = two_threads();
            let later = request(&third, stock, &world);
            world.dns.release();
            for request_task in [waiting, later] {
                let body = servers
                    .block_on(within("the response", request_task))
                    .unwrap();
                assert!(body.is_some_and(|body| body.contains("127.0.0.3")));
            }
            assert!(
                servers
                    .block_on(canceled)
                    .is_err_and(|error| error.is_cancelled())
            );
            let failures = world.journal.failures();
            assert_eq!(failures, [(dead, Outcome::Failed)], "{stock:?}");
            assert!(world.is_penalized(dead), "{stock:?}");
        }
    }
}
