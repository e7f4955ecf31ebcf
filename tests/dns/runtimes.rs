//! Tests one resolver on several runtimes: one after another, side by side, and shut down during a lookup.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper_util::client::legacy::connect::dns::Name;
use sidestep::Resolver;
use testkit::{HOST, NameServer, RecordType, asking};
use tokio::runtime::{Builder, Runtime};
use tower::Service as _;

const ADDR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A lookup that takes longer hangs.
const LONG: Duration = Duration::from_secs(20);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn two_threads() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

fn name_server_and_resolver() -> (NameServer, Resolver) {
    let dns = NameServer::start_in_background();
    dns.set(HOST, &[ADDR], 60);
    let resolver = Resolver::builder().lookup(asking(&dns)).build().unwrap();
    (dns, resolver)
}

/// A resolver can be built outside of a runtime, so a `static` can hold the resolver.
#[test]
fn a_static_resolver_is_built_outside_of_a_runtime() {
    static RESOLVER: LazyLock<Resolver> = LazyLock::new(Resolver::new);
    LazyLock::force(&RESOLVER);
    let resolved = runtime().block_on(RESOLVER.resolve("localhost"));
    assert!(!resolved.unwrap().addrs().is_empty());
}

/// The tasks of a resolver end with their runtime, and the next runtime starts new ones.
#[test]
fn a_resolver_works_on_runtimes_one_after_another() {
    let (dns, resolver) = name_server_and_resolver();
    for queries in 1..=20 {
        let runtime = runtime();
        runtime.block_on(resolver.resolve(HOST)).unwrap();
        assert_eq!(dns.queries(HOST, RecordType::A), queries);
        resolver.invalidate(HOST);
        drop(runtime);
    }
}

#[test]
fn a_resolver_works_on_runtimes_side_by_side() {
    let (dns, resolver) = name_server_and_resolver();
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

/// Callers on other runtimes do not join the lookup of a runtime that was shut down or that runs no more.
#[test]
fn callers_do_not_join_the_lookup_of_a_runtime_that_has_ended() {
    let (dns, resolver) = name_server_and_resolver();
    dns.hold();
    let (stopped, idle) = (runtime(), runtime());
    for runtime in [&stopped, &idle] {
        let clone = resolver.clone();
        let caller = runtime.spawn(async move { clone.resolve(HOST).await });
        let queries = dns.queries(HOST, RecordType::A);
        runtime.block_on(dns.asked(HOST, RecordType::A, queries + 1));
        assert!(!caller.is_finished());
    }
    drop(stopped);
    dns.release();
    let next = runtime();
    let resolved =
        next.block_on(async { tokio::time::timeout(LONG, resolver.resolve(HOST)).await });
    resolved
        .expect("the lookup does not hang")
        .expect("the host is looked up again");
    drop(idle);
}

/// A caller starts a lookup on one runtime and waits on another one, as a future that was sent to another thread does.
/// The first runtime is shut down during the lookup, so the host is looked up again.
#[test]
fn a_caller_outlives_the_runtime_that_ran_its_lookup() {
    for first in [runtime(), two_threads()] {
        let (dns, mut resolver) = name_server_and_resolver();
        dns.hold();
        let name: Name = HOST.parse().unwrap();
        let (by_service, by_hand) = (resolver.call(name), resolver.clone());
        let by_hand = async move { by_hand.resolve(HOST).await.unwrap().addrs()[0] };
        let by_service = async { by_service.await.unwrap().next().unwrap().ip() };
        let mut callers = Box::pin(async { tokio::join!(by_hand, by_service) });
        first.block_on(async {
            assert!(callers.as_mut().now_or_never().is_none());
            dns.asked(HOST, RecordType::A, 1).await;
        });
        std::thread::scope(|threads| {
            let thread = threads.spawn(|| {
                let second = runtime();
                second.block_on(async { tokio::time::timeout(LONG, callers).await })
            });
            first.shutdown_background();
            dns.release();
            let addrs = thread.join().unwrap().expect("no caller hangs");
            assert_eq!(addrs, (ADDR, ADDR));
        });
        // The lost lookup sent one query, and both callers joined the next lookup.
        assert_eq!(dns.queries(HOST, RecordType::A), 2);
    }
}

/// Many runtimes end during a lookup. No caller joins their lookups, and no reference to the `Lookup` is left.
#[test]
fn runtimes_that_end_during_a_lookup_leave_no_lookup_behind() {
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
        let clone = resolver.clone();
        runtime.spawn(async move { clone.resolve(HOST).await });
        runtime.block_on(dns.asked(HOST, RecordType::A, before + 1));
    }
    drop(runtimes);
    dns.release();
    let next = runtime();
    let resolved =
        next.block_on(async { tokio::time::timeout(LONG, resolver.resolve(HOST)).await });
    assert_eq!(
        resolved.expect("the lookup does not hang").unwrap().addrs(),
        [ADDR]
    );
    assert_eq!(dns.queries(HOST, RecordType::A), 9);
    drop((resolver, next));
    assert_eq!(Arc::strong_count(&lookup), 1);
}

/// The last clone of a resolver is dropped on one runtime while a caller waits on another one.
#[test]
fn a_caller_on_another_runtime_outlives_the_resolver() {
    let (dns, mut resolver) = name_server_and_resolver();
    dns.hold();
    let caller = resolver.call(HOST.parse().unwrap());
    let (first, second) = (runtime(), runtime());
    let caller = second.spawn(caller);
    second.block_on(dns.asked(HOST, RecordType::A, 1));
    first.block_on(async { drop(resolver) });
    dns.release();
    let mut addrs = second.block_on(caller).unwrap().unwrap();
    assert_eq!(addrs.next().unwrap().ip(), ADDR);
}

/// A panic that ends a runtime, as in a failed test, is no panic of its lookup. The next caller on another runtime gets
/// an answer.
#[test]
fn a_panic_that_ends_a_runtime_is_no_panic_of_its_lookup() {
    let (dns, resolver) = name_server_and_resolver();
    dns.hold();
    let (clone, name_server) = (resolver.clone(), dns.clone());
    let thread = std::thread::spawn(move || {
        let runtime = runtime();
        runtime.spawn(async move { clone.resolve(HOST).await });
        runtime.block_on(name_server.asked(HOST, RecordType::A, 1));
        panic!("a failed test");
    });
    thread.join().unwrap_err();
    dns.release();
    let resolved = runtime().block_on(resolver.resolve(HOST));
    assert_eq!(resolved.unwrap().addrs(), [ADDR]);
}

/// A blocking client has its own runtime, and an async client runs on a multi-thread runtime.
#[test]
fn blocking_and_async_clients_share_a_resolver() {
    use sidestep::reqwest::ClientBuilderExt as _;

    let (dns, resolver) = name_server_and_resolver();
    let multi_thread = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let edges = multi_thread.block_on(testkit::Edges::http(2));
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
    multi_thread.block_on(testkit::get(&client, &url)).unwrap();
    assert_eq!(dns.queries(HOST, RecordType::A), 1);
}
