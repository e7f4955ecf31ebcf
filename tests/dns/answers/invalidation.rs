//! Tests behavior A7: what ends an answer, and how often its host is then looked up.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_next_caller_after_an_invalidation_waits_for_a_fresh_answer() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    script.say(|_| Ok(answer(&[2], 60)));
    script.takes(S);
    resolver.invalidate("A.test.");
    assert_eq!(sorted(&resolver, "a.test").await, [ip(2)]);
    assert_eq!(script.asked("a.test"), 2);
    resolver.invalidate("unknown.test");
    resolver.invalidate("not a name");
}

#[tokio::test(start_paused = true)]
async fn a_lookup_sent_before_an_invalidation_does_not_clear_it() {
    let script = Script::answer(&[1], 60);
    script.hold();
    let resolver = script.resolver();
    let early = tokio::spawn({
        let resolver = resolver.clone();
        async move { resolver.resolve("a.test").await.unwrap() }
    });
    while script.asked("a.test") == 0 {
        tokio::task::yield_now().await;
    }
    resolver.invalidate("a.test");
    script.release();
    early.await.unwrap();
    script.say(|_| Ok(answer(&[2], 60)));
    script.release();
    assert_eq!(sorted(&resolver, "a.test").await, [ip(2)]);
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_answer_is_served_if_the_lookup_fails() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    script.say(|host| Err(ResolveError::failed(host, "SERVFAIL")));
    resolver.invalidate("a.test");
    assert_eq!(sorted(&resolver, "a.test").await, [ip(1)]);
    assert_eq!(
        resolver.resolve("a.test").await.unwrap().source(),
        AnswerSource::Suspect
    );
}

/// While a healthy address is left, callers do not wait for the re-resolve and get its answer later.
#[tokio::test(start_paused = true)]
async fn a_caller_does_not_wait_for_a_re_resolve_while_an_address_is_healthy() {
    let script = Script::answer(&[1, 2], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    script.say(|_| Ok(answer(&[2, 3], 60)));
    script.takes(S);
    resolver.report("a.test", ip(1), Outcome::Refused);
    let begun = Instant::now();
    assert_eq!(
        resolver.resolve("a.test").await.unwrap().addrs(),
        [ip(2), ip(1)]
    );
    assert_eq!(Instant::now(), begun);
    tokio::time::sleep(2 * S).await;
    assert_eq!(sorted(&resolver, "a.test").await, [ip(2), ip(3)]);
    assert_eq!(script.asked("a.test"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_caller_waits_for_a_re_resolve_if_no_address_is_healthy() {
    let script = Script::answer(&[1, 2], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    script.say(|_| Ok(answer(&[3], 60)));
    script.takes(S);
    resolver.report("a.test", ip(1), Outcome::Refused);
    resolver.report("a.test", ip(2), Outcome::TimedOut);
    assert_eq!(sorted(&resolver, "a.test").await, [ip(3)]);
}

/// The first re-resolve is sent at once, the second after 1 s and the others every 2 s, while the answer does not
/// change and no address is healthy.
#[tokio::test(start_paused = true)]
async fn re_resolves_of_a_host_have_a_backoff() {
    let script = Script::answer(&[1], 3600);
    let builder = Resolver::builder().lookup(script.clone());
    let resolver = builder.max_ttl(3600 * S).build().unwrap();
    sorted(&resolver, "a.test").await;
    for _ in 0..1_000 {
        resolver.report("a.test", ip(1), Outcome::Refused);
        sorted(&resolver, "a.test").await;
        advance(30 * MS).await;
    }
    // These are the first lookup and the re-resolves at 0, 1, 3, 5 … 29 s.
    assert_eq!(script.asked("a.test"), 17);
}

/// All hosts together have at most 100 lookups at once after failures or invalidations.
#[tokio::test(start_paused = true)]
async fn lookups_after_failures_and_invalidations_have_a_quota_over_all_hosts() {
    type MakeSuspect = fn(&Resolver, &str);
    let ways: [MakeSuspect; 2] = [
        |resolver, host| resolver.report(host, ip(1), Outcome::Refused),
        |resolver, host| resolver.invalidate(host),
    ];
    for make_suspect in ways {
        let script = Script::answer(&[1], 60);
        let resolver = script.resolver();
        let hosts: Vec<String> = (0..300).map(|n| format!("h{n}.test")).collect();
        for host in &hosts {
            sorted(&resolver, host).await;
        }
        for host in &hosts {
            make_suspect(&resolver, host);
            assert_eq!(sorted(&resolver, host).await, [ip(1)]);
        }
        let lookups: usize = hosts.iter().map(|host| script.asked(host)).sum();
        assert_eq!(lookups, 300 + 100);
    }
}

/// An answer that may no longer be served leaves its caller nothing but a lookup, which the quota does not refuse.
#[tokio::test(start_paused = true)]
async fn no_invalidation_ends_in_an_error_because_of_the_quota() {
    let script = Script::answer(&[1], 60);
    let resolver = script.build(|builder| builder.max_stale(Duration::ZERO));
    let hosts: Vec<String> = (0..300).map(|n| format!("h{n}.test")).collect();
    for host in &hosts {
        sorted(&resolver, host).await;
    }
    advance(61 * S).await;
    for host in &hosts {
        resolver.invalidate(host);
    }
    for host in &hosts {
        assert_eq!(sorted(&resolver, host).await, [ip(1)]);
    }
}

/// A thousand callers invalidate one host at once, and at most 100 of them send a lookup.
#[tokio::test(start_paused = true)]
async fn a_thousand_invalidations_at_once_send_at_most_100_lookups() {
    let script = Script::answer(&[1], 60);
    script.takes(S);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    let callers = (0..1_000).map(|_| async {
        resolver.invalidate("a.test");
        resolver.resolve("a.test").await.unwrap();
    });
    futures_util::future::join_all(callers).await;
    assert!(
        script.asked("a.test") <= 101,
        "{} lookups",
        script.asked("a.test")
    );
}

/// After a changed answer the next failure re-resolves the host at once.
#[tokio::test(start_paused = true)]
async fn a_changed_answer_resets_the_backoff() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    let mut last = 1;
    script.say(move |_| {
        last += 1;
        Ok(answer(&[last], 60))
    });
    for n in 1..=20 {
        resolver.report("a.test", ip(n), Outcome::Refused);
        assert_eq!(sorted(&resolver, "a.test").await, [ip(n + 1)]);
    }
}

/// A penalty belongs to the address and outlives the answer.
#[tokio::test(start_paused = true)]
async fn a_penalty_outlives_the_answer_and_ends_with_one_trial() {
    let script = Script::answer(&[1, 2], 1);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    resolver.report("a.test", ip(1), Outcome::Refused);
    for _ in 0..3 {
        advance(S).await;
        resolver.invalidate("a.test");
        assert_eq!(
            resolver.resolve("a.test").await.unwrap().addrs(),
            [ip(2), ip(1)]
        );
    }
    advance(4 * S).await;
    assert_eq!(
        resolver.resolve("a.test").await.unwrap().addrs()[0],
        ip(1),
        "one caller tries the address"
    );
    assert_eq!(
        resolver.resolve("a.test").await.unwrap().addrs()[0],
        ip(2),
        "no other caller tries the address"
    );
}
