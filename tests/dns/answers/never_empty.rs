//! Tests behavior A1 for lookups that overlap: while an address is known, no caller gets an error.

use std::sync::{Mutex, mpsc};

use super::*;
use sidestep::lookup::StaticHosts;

fn table(last: u8) -> StaticHosts {
    let table = StaticHosts::new();
    table.set(".test", [ip(last)]).unwrap();
    table
}

fn spawn_caller(resolver: &Resolver) -> tokio::task::JoinHandle<Result<Vec<IpAddr>, ResolveError>> {
    let resolver = resolver.clone();
    tokio::spawn(async move {
        let resolved = resolver.resolve("a.test").await?;
        Ok(resolved.addrs().to_vec())
    })
}

/// The lookup of a caller fails after an earlier lookup has returned an answer.
#[tokio::test(start_paused = true)]
async fn an_answer_of_an_earlier_lookup_is_served_instead_of_an_error() {
    for fallbacks in [None, Some(table(7))] {
        let script = Script::answer(&[1], 60);
        let resolver = script.build(|builder| match fallbacks {
            Some(table) => builder.fallbacks(table),
            None => builder,
        });
        script.takes(3 * S);
        let _dropped = tokio::time::timeout(S, resolver.resolve("a.test")).await;
        resolver.invalidate("a.test");
        script.takes(4 * S);
        let second = spawn_caller(&resolver);
        tokio::time::sleep(3 * S).await;
        script.say(down);
        let addrs = second.await.unwrap().unwrap();
        assert!(addrs == [ip(1)] || addrs == [ip(7)], "{addrs:?}");
    }
}

/// The lookup of one runtime returns an answer, and then the lookup of another runtime fails.
#[test]
fn an_answer_of_another_runtime_is_served_instead_of_an_error() {
    let (let_good, good_waits) = mpsc::channel();
    let (let_bad, bad_waits) = mpsc::channel();
    let (good_waits, bad_waits) = (Mutex::new(good_waits), Mutex::new(bad_waits));
    let (good_begins, good_has_begun) = mpsc::channel();
    // Each lookup blocks the thread of its own runtime. The script runs one lookup at a time, so the good lookup has
    // to begin before the bad one.
    let script = Script::new(move |_| match std::thread::current().name() {
        Some("bad") => {
            bad_waits.lock().unwrap().recv().unwrap();
            down("a.test")
        }
        _ => {
            good_begins.send(()).unwrap();
            good_waits.lock().unwrap().recv().unwrap();
            Ok(answer(&[1], 60))
        }
    });
    let resolver = script.resolver();
    let on = |name: &str| {
        let resolver = resolver.clone();
        let thread = std::thread::Builder::new().name(name.to_owned());
        let resolve = move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(async { resolver.resolve("a.test").await.map(|_| ()) })
        };
        thread.spawn(resolve).unwrap()
    };
    let good = on("good");
    good_has_begun.recv().unwrap();
    let bad = on("bad");
    while script.asked("a.test") < 2 {
        std::thread::yield_now();
    }
    let_good.send(()).unwrap();
    good.join().unwrap().unwrap();
    let_bad.send(()).unwrap();
    bad.join().unwrap().unwrap();
}

/// NXDOMAIN of a lookup that was sent before an invalidation does not count, so the stale answer is served.
#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_served_instead_of_an_old_nxdomain() {
    let script = Script::answer(&[1], 10);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    advance(11 * S).await;
    script.takes(S);
    script.say(|host| Err(ResolveError::not_found(host)));
    let caller = spawn_caller(&resolver);
    tokio::time::sleep(500 * MS).await;
    resolver.invalidate("a.test");
    assert_eq!(caller.await.unwrap().unwrap(), [ip(1)]);
}

/// Above the quota of lookups after invalidations a caller gets fallbacks. A host without addresses is looked up.
#[tokio::test(start_paused = true)]
async fn the_quota_of_lookups_leaves_no_caller_without_an_answer() {
    let names: Vec<String> = (0..200).map(|n| format!("h{n}.test")).collect();
    let script = Script::answer(&[9], 60);
    let resolver = script.build(|builder| builder.max_stale(Duration::ZERO).fallbacks(table(7)));
    for name in &names {
        sorted(&resolver, name).await;
    }
    advance(61 * S).await;
    for name in &names {
        resolver.invalidate(name);
    }
    for name in &names {
        resolver.resolve(name).await.unwrap();
    }
    script.say(|host| Err(ResolveError::not_found(host)));
    let resolver = script.resolver();
    for name in &names {
        resolver.resolve(name).await.unwrap_err();
        resolver.invalidate(name);
    }
    script.say(|_| Ok(answer(&[1], 60)));
    for name in &names {
        assert_eq!(sorted(&resolver, name).await, [ip(1)]);
    }
}

/// If the user's filter or source address function panics, the lookup has failed. The next lookup has a backoff, and
/// fallbacks are served.
#[tokio::test(start_paused = true)]
async fn a_panic_in_a_function_of_the_user_is_a_failed_lookup() {
    let script = Script::answer(&[1], 60);
    let resolver = script.build(|builder| builder.filter(|_, _| panic!("a broken filter")));
    for _ in 0..50 {
        let error = resolver.resolve("a.test").await.unwrap_err();
        assert!(error.to_string().contains("a filter"), "{error}");
    }
    assert_eq!(script.asked("a.test"), 1);
    let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
    let script = Script::new(move |_| Ok(Answer::new([ip(1), v6])));
    let resolver = script.build(|builder| {
        let builder = builder.source_address(|_| panic!("a broken source"));
        builder.fallbacks(table(7))
    });
    assert_eq!(sorted(&resolver, "a.test").await, [ip(7)]);
}

/// The lookup is replaced twice while a caller waits.
#[tokio::test(start_paused = true)]
async fn a_caller_gets_an_answer_after_two_replacements_of_the_lookup() {
    let (first, second, third) = (
        Script::new(down),
        Script::new(down),
        Script::answer(&[3], 60),
    );
    first.takes(S);
    second.takes(S);
    let resolver = first.resolver();
    let caller = spawn_caller(&resolver);
    tokio::time::sleep(500 * MS).await;
    resolver.set_lookup(second);
    tokio::time::sleep(S).await;
    resolver.set_lookup(third);
    assert_eq!(caller.await.unwrap().unwrap(), [ip(3)]);
}
