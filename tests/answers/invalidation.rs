//! Behaviour A7: what ends an answer, and how often it is then looked up.

use super::*;

#[tokio::test(start_paused = true)]
async fn after_an_invalidation_the_next_caller_waits_for_the_fresh_answer() {
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
async fn a_lookup_sent_before_the_invalidation_cannot_clear_it() {
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
async fn an_invalidated_answer_is_the_last_resort() {
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

/// With healthy addresses left nobody waits for the look-up-again; the answer comes behind.
#[tokio::test(start_paused = true)]
async fn a_failed_address_costs_the_next_caller_no_round_trip() {
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
async fn with_no_healthy_address_left_the_next_caller_waits() {
    let script = Script::answer(&[1, 2], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    script.say(|_| Ok(answer(&[3], 60)));
    script.takes(S);
    resolver.report("a.test", ip(1), Outcome::Refused);
    resolver.report("a.test", ip(2), Outcome::TimedOut);
    assert_eq!(sorted(&resolver, "a.test").await, [ip(3)]);
}

/// The first look-up-again at once, then 1 s and each 2 s apart while the answer stays the same and no healthy
/// address is left.
#[tokio::test(start_paused = true)]
async fn look_ups_after_failures_are_spaced() {
    let script = Script::answer(&[1], 3600);
    let builder = Resolver::builder().lookup(script.clone());
    let resolver = builder.max_ttl(3600 * S).build().unwrap();
    sorted(&resolver, "a.test").await;
    for _ in 0..1_000 {
        resolver.report("a.test", ip(1), Outcome::Refused);
        sorted(&resolver, "a.test").await;
        advance(30 * MS).await;
    }
    // In 30 s: at 0, 1, 3, 5 … 29 s, and once at the beginning.
    assert_eq!(script.asked("a.test"), 17);
}

/// All hosts together: a hundred lookups at once because of failures or invalidations, no more.
#[tokio::test(start_paused = true)]
async fn lookups_after_failures_have_a_quota_over_all_hosts() {
    type Spoil = fn(&Resolver, &str);
    let spoil: [Spoil; 2] = [
        |resolver, host| resolver.report(host, ip(1), Outcome::Refused),
        |resolver, host| resolver.invalidate(host),
    ];
    for spoil in spoil {
        let script = Script::answer(&[1], 60);
        let resolver = script.resolver();
        let hosts: Vec<String> = (0..300).map(|n| format!("h{n}.test")).collect();
        for host in &hosts {
            sorted(&resolver, host).await;
        }
        for host in &hosts {
            spoil(&resolver, host);
            assert_eq!(sorted(&resolver, host).await, [ip(1)]);
        }
        let asked: usize = hosts.iter().map(|host| script.asked(host)).sum();
        assert_eq!(asked, 300 + 100);
    }
}

/// A thousand callers that invalidate one host at once are no storm.
#[tokio::test(start_paused = true)]
async fn a_thousand_invalidations_at_once_are_bounded() {
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
        "asked {} times",
        script.asked("a.test")
    );
}

/// A new answer is news: the next failure is looked up again at once.
#[tokio::test(start_paused = true)]
async fn a_changed_answer_starts_the_spacing_afresh() {
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

/// What is held against an address outlives its answer.
#[tokio::test(start_paused = true)]
async fn a_penalty_outlives_the_answer_and_ends_by_itself() {
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
        "one trial"
    );
    assert_eq!(
        resolver.resolve("a.test").await.unwrap().addrs()[0],
        ip(2),
        "for one caller"
    );
}
