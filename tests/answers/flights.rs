//! Behaviour A6: one lookup in the air, whatever becomes of those who wait.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_thousand_misses_are_one_lookup() {
    let script = Script::answer(&[1], 60);
    script.takes(S);
    let resolver = script.resolver();
    let waiters: Vec<_> = (0..1_000)
        .map(|_| {
            let resolver = resolver.clone();
            tokio::spawn(async move { deal(&resolver, "a.test").await.unwrap() })
        })
        .collect();
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), [SocketAddr::new(ip(1), 0)]);
    }
    assert_eq!(script.asked("a.test"), 1);
}

/// A waiter that leaves does not take the lookup with it; its answer is kept.
#[tokio::test(start_paused = true)]
async fn a_dropped_waiter_cancels_nothing() {
    let script = Script::answer(&[1], 60);
    script.takes(2 * S);
    let resolver = script.resolver();
    tokio::time::timeout(S, resolver.resolve("a.test"))
        .await
        .unwrap_err();
    tokio::time::sleep(S + MS).await;
    assert_eq!(sorted(&resolver, "a.test").await, [ip(1)]);
    assert_eq!(script.asked("a.test"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_lookup_frees_its_waiters() {
    let script = Script::new(|_| panic!("a broken lookup"));
    let resolver = script.resolver();
    let all = futures_util::future::join_all((0..10).map(|_| resolver.resolve("a.test"))).await;
    for error in all.into_iter().map(Result::unwrap_err) {
        assert!(
            error.to_string().starts_with("a.test: the lookup panicked"),
            "{error}"
        );
    }
    assert_eq!(script.asked("a.test"), 1, "and is not asked again at once");
    advance(S).await;
    script.0.said.clear_poison();
    script.say(|_| Ok(answer(&[1], 60)));
    assert_eq!(
        sorted(&resolver, "a.test").await,
        [ip(1)],
        "and the next one asks afresh"
    );
}

/// The limit of one lookup, 5 s, whatever it does.
#[tokio::test(start_paused = true)]
async fn a_hung_lookup_frees_its_waiters_in_time() {
    let script = Script::answer(&[1], 60);
    script.hold();
    let resolver = script.resolver();
    let begun = Instant::now();
    let error = resolver.resolve("a.test").await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(Instant::now() - begun, 5 * S);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_dropped_in_the_middle_of_a_lookup_leaves_nothing_behind() {
    let script = Script::answer(&[1], 60);
    script.takes(2 * S);
    let resolver = script.resolver();
    let waiter = tokio::spawn({
        let resolver = resolver.clone();
        async move { resolver.resolve("a.test").await }
    });
    tokio::task::yield_now().await;
    drop(resolver);
    waiter.abort();
    tokio::time::sleep(3 * S).await;
    assert_eq!(Arc::strong_count(&script.0), 1, "no task holds the lookup");
}

#[test]
fn without_a_runtime_the_error_says_so() {
    let resolver = Script::answer(&[1], 60).resolver();
    let asking = resolver.resolve("a.test");
    let error = futures_util::FutureExt::now_or_never(asking)
        .unwrap()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a.test: a lookup needs a tokio runtime: ask from inside one"
    );
}
