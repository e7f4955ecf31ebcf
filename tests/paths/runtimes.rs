//! Every kind of runtime, blocking clients, and a resolver that several runtimes share.

use sidestep::Outcome;
use sidestep::reqwest::ClientBuilderExt as _;
use tokio::runtime::{Builder, Runtime};

use crate::common::{HOST, Mode, RecordType, Scheme, World, within};
use crate::dead::{breaks_in_tls, refuses};
use crate::only_these_failed;
use crate::stock::Stock;

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn two_threads() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// On a thread of the runtime's own, where it has any.
#[test]
fn every_runtime_learns_the_same() {
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

/// A blocking client has a runtime of its own, and its requests come from a thread without any.
#[test]
fn a_blocking_client_learns_the_same() {
    let lab = two_threads();
    for stock in Stock::all().filter(|stock| stock.sends_again()) {
        let (mode, outcome) = match stock.scheme {
            Scheme::Http => (Mode::Refuse, Outcome::Failed),
            Scheme::Https => (Mode::TlsReset, Outcome::TlsFailed),
        };
        let world = lab.block_on(stock.world(3));
        let dead = world.ips()[0];
        lab.block_on(world.edges.set(dead, mode));
        let builder = stock.reqwest(&world).sidestep(&world.resolver);
        let client = reqwest::blocking::ClientBuilder::from(builder);
        let client = client.build().unwrap();
        for _ in 0..10 {
            let answer = client.get(world.url()).send().unwrap().text().unwrap();
            assert!(answer.contains("127.0.0.3"), "{stock:?}: {answer}");
        }
        let case = format!("blocking {stock:?}");
        lab.block_on(only_these_failed(&world, &case, &[(dead, outcome)]));
    }
}

/// Sends a GET on a runtime, by a client of that runtime's own.
fn request(
    runtime: &Runtime,
    stock: Stock,
    world: &World,
) -> tokio::task::JoinHandle<Option<String>> {
    let (client, url) = (stock.client(world), world.url());
    runtime.spawn(async move { client.get(&url).await.ok() })
}

/// A runtime is shut down while its request waits for a lookup; one on another runtime, which waits
/// too, goes on, and so does one that comes later. All of them share what they learn (F12).
#[test]
fn a_runtime_that_ends_in_the_middle_of_a_lookup_takes_nobody_with_it() {
    // The edges and the name server live here, and outlast the others.
    let lab = two_threads();
    for stock in Stock::all() {
        for first in [one_thread(), two_threads()] {
            let world = lab.block_on(stock.world(2));
            let dead = world.ips()[0];
            lab.block_on(world.edges.set(dead, Mode::Refuse));
            world.dns.hold();
            let lost = request(&first, stock, &world);
            first.block_on(world.dns.asked(HOST, RecordType::A, 1));
            let second = two_threads();
            let waiting = request(&second, stock, &world);
            drop(first);
            let third = two_threads();
            let later = request(&third, stock, &world);
            world.dns.release();
            for waits in [waiting, later] {
                let answer = lab.block_on(within("the answer", waits)).unwrap();
                assert!(answer.is_some_and(|answer| answer.contains("127.0.0.3")));
            }
            assert!(lab.block_on(lost).is_err_and(|error| error.is_cancelled()));
            let failures = world.journal.failures();
            assert_eq!(failures, [(dead, Outcome::Failed)], "{stock:?}");
            assert!(world.is_penalized(dead), "{stock:?}");
        }
    }
}
