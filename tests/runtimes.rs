//! One resolver, several runtimes: one after another, side by side, shut down in the middle.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use common::{HOST, NameServer, RecordType, asking};
use futures_util::FutureExt as _;
use hyper_util::client::legacy::connect::dns::Name;
use sidestep::Resolver;
use tokio::runtime::{Builder, Runtime};
use tower::Service as _;

const ADDR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Longer than anything takes that does not hang.
const LONG: Duration = Duration::from_secs(20);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn two_threads() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

fn served() -> (NameServer, Resolver) {
    let dns = NameServer::start_in_background();
    dns.set(HOST, &[ADDR], 60);
    let resolver = Resolver::builder().lookup(asking(&dns)).build().unwrap();
    (dns, resolver)
}

/// A `static` may hold it; it is made outside of any runtime.
#[test]
fn a_static_resolver_is_made_outside_of_a_runtime() {
    static RESOLVER: LazyLock<Resolver> = LazyLock::new(Resolver::new);
    LazyLock::force(&RESOLVER);
    let resolved = runtime().block_on(RESOLVER.resolve("localhost"));
    assert!(!resolved.unwrap().addrs().is_empty());
}

/// What belongs to a runtime ends with it, and the next one starts afresh.
#[test]
fn runtimes_one_after_another() {
    let (dns, resolver) = served();
    for asked in 1..=20 {
        let runtime = runtime();
        runtime.block_on(resolver.resolve(HOST)).unwrap();
        assert_eq!(dns.queries(HOST, RecordType::A), asked);
        resolver.invalidate(HOST);
        drop(runtime);
    }
}

#[test]
fn runtimes_side_by_side() {
    let (dns, resolver) = served();
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                runtime().block_on(async {
                    for _ in 0..50 {
                        resolver.resolve(HOST).await.unwrap();
                        resolver.invalidate(HOST);
                    }
                });
            });
        }
    });
    assert!(dns.queries(HOST, RecordType::A) > 0);
}

/// A lookup in the air on a runtime that was shut down, or that nobody drives any more, is none
/// for the others.
#[test]
fn a_runtime_ends_in_the_middle_of_a_lookup() {
    let (dns, resolver) = served();
    dns.hold();
    let (stopped, standing_still) = (runtime(), runtime());
    for runtime in [&stopped, &standing_still] {
        let early = resolver.clone();
        let waiter = runtime.spawn(async move { early.resolve(HOST).await });
        let asked = dns.queries(HOST, RecordType::A);
        runtime.block_on(dns.asked(HOST, RecordType::A, asked + 1));
        assert!(!waiter.is_finished());
    }
    drop(stopped);
    dns.release();
    let next = runtime();
    let resolved =
        next.block_on(async { tokio::time::timeout(LONG, resolver.resolve(HOST)).await });
    resolved
        .expect("it does not hang")
        .expect("it is asked again");
    drop(standing_still);
}

/// A waiter boards on one runtime and is driven on another, as when a future is sent there. The
/// first is shut down in the middle, from another thread: the lookup is sent again.
#[test]
fn a_waiter_on_another_runtime_outlives_the_one_that_flew_its_lookup() {
    for first in [runtime(), two_threads()] {
        let (dns, mut resolver) = served();
        dns.hold();
        let name: Name = HOST.parse().unwrap();
        let (by_service, by_hand) = (resolver.call(name), resolver.clone());
        let by_hand = async move { by_hand.resolve(HOST).await.unwrap().addrs()[0] };
        let by_service = async { by_service.await.unwrap().next().unwrap().ip() };
        let mut waiters = Box::pin(async { tokio::join!(by_hand, by_service) });
        first.block_on(async {
            assert!(waiters.as_mut().now_or_never().is_none());
            dns.asked(HOST, RecordType::A, 1).await;
        });
        std::thread::scope(|threads| {
            let waiter = threads.spawn(|| {
                let second = runtime();
                second.block_on(async { tokio::time::timeout(LONG, waiters).await })
            });
            first.shutdown_background();
            dns.release();
            let addrs = waiter.join().unwrap().expect("nobody hangs");
            assert_eq!(addrs, (ADDR, ADDR));
        });
        // The lookup that was lost has been asked once, and both joined the next.
        assert_eq!(dns.queries(HOST, RecordType::A), 2);
    }
}

/// Many runtimes end in the middle of a lookup. Nothing of them is left: no lookup that anybody
/// would join, and nobody holds what they asked.
#[test]
fn runtimes_that_end_in_the_middle_leave_nothing_behind() {
    let dns = NameServer::start_in_background();
    dns.set(HOST, &[ADDR], 60);
    dns.hold();
    let lookup = Arc::new(asking(&dns));
    let builder = Resolver::builder().lookup(Arc::clone(&lookup));
    let resolver = builder.build().unwrap();
    let runtimes: Vec<_> = (0..8)
        .map(|n| if n % 2 == 0 { runtime() } else { two_threads() })
        .collect();
    for (before, runtime) in runtimes.iter().enumerate() {
        let early = resolver.clone();
        runtime.spawn(async move { early.resolve(HOST).await });
        runtime.block_on(dns.asked(HOST, RecordType::A, before + 1));
    }
    drop(runtimes);
    dns.release();
    let next = runtime();
    let resolved =
        next.block_on(async { tokio::time::timeout(LONG, resolver.resolve(HOST)).await });
    assert_eq!(resolved.expect("it does not hang").unwrap().addrs(), [ADDR]);
    assert_eq!(dns.queries(HOST, RecordType::A), 9);
    drop((resolver, next));
    assert_eq!(Arc::strong_count(&lookup), 1);
}

/// The last resolver is dropped on one runtime while a waiter of it lives on another.
#[test]
fn a_waiter_on_another_runtime_outlives_the_resolver() {
    let (dns, mut resolver) = served();
    dns.hold();
    let waiter = resolver.call(HOST.parse().unwrap());
    let (first, second) = (runtime(), runtime());
    let waiter = second.spawn(waiter);
    second.block_on(dns.asked(HOST, RecordType::A, 1));
    first.block_on(async { drop(resolver) });
    dns.release();
    let mut addrs = second.block_on(waiter).unwrap().unwrap();
    assert_eq!(addrs.next().unwrap().ip(), ADDR);
}

/// A runtime that goes down with a panic of its owner, as a failed test's, is no lookup's panic:
/// the next caller on another runtime is not told so.
#[test]
fn a_runtime_that_a_panic_takes_down_is_not_a_broken_lookup() {
    let (dns, resolver) = served();
    dns.hold();
    let (early, asked) = (resolver.clone(), dns.clone());
    let doomed = std::thread::spawn(move || {
        let doomed = runtime();
        doomed.spawn(async move { early.resolve(HOST).await });
        doomed.block_on(asked.asked(HOST, RecordType::A, 1));
        panic!("a failed test");
    });
    doomed.join().unwrap_err();
    dns.release();
    let resolved = runtime().block_on(resolver.resolve(HOST));
    assert_eq!(resolved.unwrap().addrs(), [ADDR]);
}

/// Multi-thread runtimes too, and blocking clients, which have a runtime of their own.
#[test]
fn blocking_clients_and_async_ones_share_a_resolver() {
    use sidestep::reqwest::ClientBuilderExt as _;

    let (dns, resolver) = served();
    let lab = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let edges = lab.block_on(common::Edges::http(2));
    dns.set(HOST, &edges.ips(), 60);
    resolver.invalidate(HOST);
    let url = edges.url(HOST);
    let blocking = std::thread::spawn({
        let (resolver, url) = (resolver.clone(), url.clone());
        move || {
            let builder = reqwest::Client::builder().no_proxy().sidestep(&resolver);
            let builder = builder.tls_backend_preconfigured(edges.client_config());
            let client = reqwest::blocking::ClientBuilder::from(builder)
                .build()
                .unwrap();
            client.get(&url).send().unwrap().text().unwrap();
            edges
        }
    });
    let edges = blocking.join().unwrap();
    let builder = reqwest::Client::builder().tls_backend_preconfigured(edges.client_config());
    let client = builder.no_proxy().sidestep(&resolver).build().unwrap();
    lab.block_on(common::get(&client, &url)).unwrap();
    assert_eq!(dns.queries(HOST, RecordType::A), 1);
}
