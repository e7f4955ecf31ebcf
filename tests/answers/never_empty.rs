//! Behaviour A1 where lookups cross: while an address is known nobody gets an error.

use std::sync::{Mutex, mpsc};

use super::*;
use sidestep::lookup::StaticHosts;

fn table(last: u8) -> StaticHosts {
    let table = StaticHosts::new();
    table.set(".test", [ip(last)]).unwrap();
    table
}

fn ask(resolver: &Resolver) -> tokio::task::JoinHandle<Result<Vec<IpAddr>, ResolveError>> {
    let resolver = resolver.clone();
    tokio::spawn(async move {
        let resolved = resolver.resolve("a.test").await?;
        Ok(resolved.addrs().to_vec())
    })
}

/// The lookup that a caller waits for fails, and the one that was sent before it has brought an
/// answer meanwhile.
#[tokio::test(start_paused = true)]
async fn the_answer_of_another_lookup_is_better_than_an_error() {
    for fallbacks in [None, Some(table(7))] {
        let script = Script::answer(&[1], 60);
        let resolver = script.build(|builder| match fallbacks {
            Some(table) => builder.fallbacks(table),
            None => builder,
        });
        script.takes(3 * S);
        let _gone = tokio::time::timeout(S, resolver.resolve("a.test")).await;
        resolver.invalidate("a.test");
        script.takes(4 * S);
        let second = ask(&resolver);
        tokio::time::sleep(3 * S).await;
        script.say(down);
        let addrs = second.await.unwrap().unwrap();
        assert!(addrs == [ip(1)] || addrs == [ip(7)], "{addrs:?}");
    }
}

/// Two runtimes: one's lookup brings an answer, the other's fails after that.
#[test]
fn the_answer_of_another_runtime_is_better_than_an_error() {
    let (let_good, good_waits) = mpsc::channel();
    let (let_bad, bad_waits) = mpsc::channel();
    let (good_waits, bad_waits) = (Mutex::new(good_waits), Mutex::new(bad_waits));
    let (good_begins, good_has_begun) = mpsc::channel();
    // Each looks up on its own thread, and may stop that. The script lets one lookup in at a time, so the good
    // one has to be in it before the bad one begins.
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
        let asking = move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(async { resolver.resolve("a.test").await.map(|_| ()) })
        };
        thread.spawn(asking).unwrap()
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

/// That there is no such name was asked before the invalidation, and does not count after it; the
/// old answer does.
#[tokio::test(start_paused = true)]
async fn an_old_denial_is_worse_than_a_stale_answer() {
    let script = Script::answer(&[1], 10);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    advance(11 * S).await;
    script.takes(S);
    script.say(|host| Err(ResolveError::not_found(host)));
    let waiting = ask(&resolver);
    tokio::time::sleep(500 * MS).await;
    resolver.invalidate("a.test");
    assert_eq!(waiting.await.unwrap().unwrap(), [ip(1)]);
}

/// Over the quota of lookups after invalidations: fallbacks, and for what is not known a lookup.
#[tokio::test(start_paused = true)]
async fn the_quota_costs_nobody_an_answer() {
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

/// A filter or a source address of the user that panics is a lookup that failed: waited out, and
/// fallbacks are served.
#[tokio::test(start_paused = true)]
async fn what_panics_behind_a_lookup_is_a_failed_lookup() {
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

/// However often another lookup is set while a caller waits.
#[tokio::test(start_paused = true)]
async fn a_waiter_outlives_several_switches() {
    let (first, second, third) = (
        Script::new(down),
        Script::new(down),
        Script::answer(&[3], 60),
    );
    first.takes(S);
    second.takes(S);
    let resolver = first.resolver();
    let early = ask(&resolver);
    tokio::time::sleep(500 * MS).await;
    resolver.set_lookup(second);
    tokio::time::sleep(S).await;
    resolver.set_lookup(third);
    assert_eq!(early.await.unwrap().unwrap(), [ip(3)]);
}
