//! Tests behaviors A1 to A5: how long an answer is served.

use super::*;

#[tokio::test(start_paused = true)]
async fn penalized_addresses_are_returned_in_the_order_in_which_their_penalties_end() {
    let resolver = Script::answer(&[1, 2, 3], 60).resolver();
    sorted(&resolver, "a.test").await;
    for n in [2, 3, 1] {
        resolver.report("a.test", ip(n), Outcome::Refused);
        // The pause is longer than the jitter, so that the penalties end in the order of the reports.
        advance(2500 * MS).await;
    }
    let addrs = resolver.resolve("a.test").await.unwrap().addrs().to_vec();
    assert_eq!(addrs.len(), 3);
    let selected = deal(&resolver, "a.test").await.unwrap();
    assert_eq!(
        selected.len(),
        3,
        "health orders addresses and removes none"
    );
    assert_eq!(addrs[2], ip(1));
}

#[tokio::test(start_paused = true)]
async fn an_expired_answer_is_served_while_dns_is_down() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    script.say(|host| Err(ResolveError::failed(host, "SERVFAIL")));
    let mut longest = Duration::ZERO;
    for _ in 0..600 {
        advance(S).await;
        let begun = Instant::now();
        assert_eq!(sorted(&resolver, "a.test").await, [ip(1)]);
        longest = longest.max(Instant::now() - begun);
    }
    assert!(longest <= 1_800 * MS, "{longest:?}");
    assert!(
        script.asked("a.test") < 40,
        "{} lookups",
        script.asked("a.test")
    );
    assert_eq!(
        resolver.resolve("a.test").await.unwrap().source(),
        AnswerSource::Stale
    );
}

// A2: lifetimes.

/// A TTL is kept within 1 s and 60 s. An answer without a TTL lives for 30 s.
#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_for_its_ttl_within_bounds() {
    for (ttl, life) in [(Some(0), 1), (Some(7), 7), (Some(1800), 60), (None, 30)] {
        let script = Script::new(move |_| {
            Ok(match ttl {
                Some(ttl) => answer(&[1], ttl),
                None => Answer::new([ip(1)]),
            })
        });
        let resolver = script.resolver();
        sorted(&resolver, "a.test").await;
        advance(life * S - MS).await;
        sorted(&resolver, "a.test").await;
        assert_eq!(script.asked("a.test"), 1, "TTL {ttl:?}: kept for {life} s");
        advance(MS).await;
        sorted(&resolver, "a.test").await;
        assert_eq!(
            script.asked("a.test"),
            2,
            "TTL {ttl:?}: not kept after {life} s"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_bounds_of_the_ttl_can_be_set() {
    let script = Script::answer(&[1], 1800);
    let builder = Resolver::builder().lookup(script.clone());
    let resolver = builder.min_ttl(100 * S).max_ttl(200 * S).build().unwrap();
    sorted(&resolver, "a.test").await;
    advance(199 * S).await;
    sorted(&resolver, "a.test").await;
    assert_eq!(script.asked("a.test"), 1);
    advance(S).await;
    sorted(&resolver, "a.test").await;
    assert_eq!(script.asked("a.test"), 2);
}

/// The lifetime counts from when the lookup was sent, not from when its answer came.
#[tokio::test(start_paused = true)]
async fn the_lifetime_counts_from_when_the_lookup_was_sent() {
    let script = Script::answer(&[1], 10);
    script.takes(3 * S);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    assert_eq!(resolver.resolve("a.test").await.unwrap().age(), 3 * S);
    advance(7 * S).await;
    sorted(&resolver, "a.test").await;
    assert_eq!(script.asked("a.test"), 2);
}

// A3: refresh.

/// A host in use is refreshed at 80 to 90 % of its lifetime, and no caller waits for the refresh.
#[tokio::test(start_paused = true)]
async fn no_caller_waits_for_the_refresh_of_a_host_in_use() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    script.takes(2 * S);
    for second in 0..1_200 {
        tokio::time::sleep(S).await;
        let begun = Instant::now();
        deal(&resolver, "a.test").await.unwrap();
        assert_eq!(Instant::now(), begun, "at {second} s");
    }
    // The time between two refreshes is 48 to 54 s.
    let lookups = script.asked("a.test");
    assert!(
        (1 + 1_200 / 54..=2 + 1_200 / 48).contains(&lookups),
        "{lookups} lookups"
    );
}

/// Two calls within one lifetime are enough for a refresh.
#[tokio::test(start_paused = true)]
async fn a_host_that_is_used_twice_in_a_lifetime_is_refreshed() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    script.takes(2 * S);
    for _ in 0..50 {
        tokio::time::sleep(25 * S).await;
        let begun = Instant::now();
        deal(&resolver, "a.test").await.unwrap();
        assert_eq!(Instant::now(), begun);
    }
}

/// The answer of an idle host expires, and costs neither lookups nor tasks.
#[tokio::test(start_paused = true)]
async fn the_answer_of_an_idle_host_expires() {
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    let before = tasks();
    sorted(&resolver, "idle.test").await;
    sorted(&resolver, "used.test").await;
    tokio::task::yield_now().await;
    assert_eq!(
        tasks(),
        before,
        "an answer that no caller has used has no task"
    );
    sorted(&resolver, "used.test").await;
    tokio::time::sleep(600 * S).await;
    assert_eq!(
        (script.asked("idle.test"), script.asked("used.test")),
        (1, 2)
    );
    assert_eq!(
        tasks(),
        before,
        "an answer that is no longer used has no task"
    );
}

/// Ten thousand hosts that were looked up in the same second are not refreshed in the same second.
#[tokio::test(start_paused = true)]
async fn refreshes_of_many_hosts_are_spread_over_time() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    let hosts: Vec<String> = (0..10_000).map(|n| format!("h{n}.test")).collect();
    for _ in 0..2 {
        for host in &hosts {
            deal(&resolver, host).await.unwrap();
        }
    }
    let lookups = || script.0.asked.lock().unwrap().values().sum::<usize>();
    let (mut before, mut most) = (lookups(), 0);
    for _ in 0..60 {
        tokio::time::sleep(S).await;
        let now = lookups();
        most = most.max(now - before);
        before = now;
    }
    assert_eq!(before, 20_000);
    assert!(most < 2_500, "{most} lookups in one second");
}

/// If a refresh fails, the answer stays and the next refresh comes at the usual time. So a failing name server gets
/// no more queries than a healthy one.
#[tokio::test(start_paused = true)]
async fn a_failed_refresh_leaves_the_answer() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    script.say(|host| Err(ResolveError::failed(host, "SERVFAIL")));
    for _ in 0..58 {
        tokio::time::sleep(S).await;
        let resolved = resolver.resolve("a.test").await.unwrap();
        assert_eq!(
            (resolved.addrs(), resolved.source()),
            (&[ip(1)][..], AnswerSource::Fresh)
        );
    }
    assert_eq!(script.asked("a.test"), 2);
    script.say(|_| Ok(answer(&[2], 60)));
    for _ in 58..110 {
        tokio::time::sleep(S).await;
        sorted(&resolver, "a.test").await;
    }
    assert_eq!(sorted(&resolver, "a.test").await, [ip(2)]);
    assert_eq!(script.asked("a.test"), 3);
}

// A4, A5: stale and negative answers.

/// A caller of a slow lookup gets the stale answer after 1.8 s. The answer of the slow lookup is kept.
#[tokio::test(start_paused = true)]
async fn the_stale_answer_is_served_if_a_lookup_is_slow() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    advance(61 * S).await;
    script.say(|_| Ok(answer(&[2], 60)));
    script.takes(3 * S);
    let begun = Instant::now();
    assert_eq!(sorted(&resolver, "a.test").await, [ip(1)]);
    assert_eq!(Instant::now() - begun, 1_800 * MS);
    tokio::time::sleep(2 * S).await;
    assert_eq!(sorted(&resolver, "a.test").await, [ip(2)]);
    assert_eq!(script.asked("a.test"), 2);
}

/// The 1.8 s count from when the lookup was sent, so a later caller waits only for the rest.
#[tokio::test(start_paused = true)]
async fn a_caller_that_joins_a_slow_lookup_waits_for_the_rest_of_the_delay() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    advance(61 * S).await;
    script.takes(4 * S);
    let callers = [0, 1_000, 1_799, 1_800, 3_000].map(|after| {
        let resolver = resolver.clone();
        async move {
            tokio::time::sleep(after * MS).await;
            let begun = Instant::now();
            let resolved = resolver.resolve("a.test").await.unwrap();
            assert_eq!(resolved.source(), AnswerSource::Stale);
            (Instant::now() - begun).as_millis()
        }
    });
    let waited = futures_util::future::join_all(callers).await;
    assert_eq!(waited, [1_800, 800, 1, 0, 0]);
    assert_eq!(script.asked("a.test"), 2);
}

/// Callers of a host in use wait neither for the first lookup that a silent name server leaves unanswered nor for a
/// later one. The first answer after that is served.
#[tokio::test(start_paused = true)]
async fn no_caller_waits_for_a_silent_name_server() {
    for ttl in [60, 5, 1] {
        let script = Script::answer(&[1], ttl);
        let resolver = script.resolver();
        sorted(&resolver, "a.test").await;
        sorted(&resolver, "a.test").await;
        script.hold();
        for tenth in 0..6_000 {
            tokio::time::sleep(100 * MS).await;
            let begun = Instant::now();
            assert_eq!(sorted(&resolver, "a.test").await, [ip(1)]);
            let case = format!("TTL {ttl} s, after {tenth} tenths of a second");
            assert_eq!(Instant::now(), begun, "{case}");
        }
        script.say(move |_| Ok(answer(&[2], ttl)));
        script.0.gate.add_permits(1_000);
        tokio::time::sleep(40 * S).await;
        sorted(&resolver, "a.test").await;
        tokio::time::sleep(S).await;
        assert_eq!(sorted(&resolver, "a.test").await, [ip(2)], "TTL {ttl} s");
    }
}

/// A connect fails while the refresh is in flight, but a healthy address is left.
#[tokio::test(start_paused = true)]
async fn no_caller_waits_for_a_silent_name_server_after_a_failed_connect() {
    let script = Script::answer(&[1, 2], 5);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    sorted(&resolver, "a.test").await;
    script.hold();
    tokio::time::sleep(4_900 * MS).await;
    assert_eq!(script.asked("a.test"), 2, "the refresh is in flight");
    resolver.report("a.test", ip(1), Outcome::Refused);
    for tenth in 0..300 {
        tokio::time::sleep(100 * MS).await;
        let begun = Instant::now();
        assert_eq!(sorted(&resolver, "a.test").await, [ip(1), ip(2)]);
        assert_eq!(Instant::now(), begun, "after {tenth} tenths of a second");
    }
    let lookups = script.asked("a.test");
    assert!((3..=20).contains(&lookups), "{lookups} lookups in 35 s");
}

/// The refresh may return an address that works, and all addresses of the answer have failed.
#[tokio::test(start_paused = true)]
async fn a_caller_waits_for_an_in_flight_refresh_if_no_address_is_healthy() {
    let script = Script::answer(&[1], 5);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    sorted(&resolver, "a.test").await;
    script.say(|_| Ok(answer(&[2], 5)));
    script.takes(1_500 * MS);
    tokio::time::sleep(4_900 * MS).await;
    assert_eq!(script.asked("a.test"), 2, "the refresh is in flight");
    resolver.report("a.test", ip(1), Outcome::Refused);
    tokio::time::sleep(200 * MS).await;
    assert_eq!(sorted(&resolver, "a.test").await, [ip(2)]);
}

/// Long after a failed lookup the next caller waits, because the name server is probably back.
#[tokio::test(start_paused = true)]
async fn a_caller_waits_for_the_lookup_if_the_last_failure_is_old() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    advance(61 * S).await;
    script.say(down);
    assert_eq!(sorted(&resolver, "a.test").await, [ip(1)]);
    script.say(|_| Ok(answer(&[2], 60)));
    // The next lookup is due 48 to 54 s after the failed one, and the failure counts for 30 s more.
    advance(84 * S).await;
    assert_eq!(sorted(&resolver, "a.test").await, [ip(2)]);
}

#[tokio::test(start_paused = true)]
async fn stale_answers_end_after_a_day() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    script.say(|host| Err(ResolveError::failed(host, "SERVFAIL")));
    advance(24 * 60 * 60 * S).await;
    sorted(&resolver, "a.test").await;
    advance(61 * S).await;
    resolver.resolve("a.test").await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn nxdomain_and_nodata_end_an_answer_and_are_kept_for_their_ttl() {
    type Negative = fn(&str) -> ResolveError;
    let negatives: [(Negative, u32); 3] = [
        (
            |host| ResolveError::not_found(host).with_negative_ttl(20 * S),
            20,
        ),
        (
            |host| ResolveError::no_records(host).with_negative_ttl(900 * S),
            60,
        ),
        (ResolveError::not_found, 5),
    ];
    for (negative, life) in negatives {
        let script = Script::answer(&[1], 60);
        let resolver = script.resolver();
        sorted(&resolver, "a.test").await;
        advance(60 * S).await;
        script.say(move |host| Err(negative(host)));
        resolver.resolve("a.test").await.unwrap_err();
        advance(life * S - MS).await;
        resolver.resolve("a.test").await.unwrap_err();
        assert_eq!(script.asked("a.test"), 2, "kept for {life} s");
        advance(MS).await;
        resolver.resolve("a.test").await.unwrap_err();
        assert_eq!(script.asked("a.test"), 3, "not kept after {life} s");
    }
}

/// A failed lookup is repeated after 1 s, and then after a delay that doubles up to 30 s (RFC 9520).
#[tokio::test(start_paused = true)]
async fn failed_lookups_back_off() {
    let script = Script::new(|host| Err(ResolveError::failed(host, "refused")));
    let resolver = script.resolver();
    for _ in 0..600 {
        resolver.resolve("a.test").await.unwrap_err();
        advance(100 * MS).await;
    }
    // Lookups are sent at 0, 1, 3, 7, 15 and 31 s. The next one is due at 61 s.
    assert_eq!(script.asked("a.test"), 6);
}

/// An answer without addresses counts as NODATA.
#[tokio::test(start_paused = true)]
async fn an_empty_answer_is_an_error() {
    let resolver = Script::new(|_| Ok(Answer::new([]))).resolver();
    assert!(
        resolver
            .resolve("a.test")
            .await
            .unwrap_err()
            .is_no_records()
    );
}

/// A host has one task that waits for its next refresh, after any number of answers.
#[tokio::test(start_paused = true)]
async fn a_host_in_use_has_one_refresh_task() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    sorted(&resolver, "a.test").await;
    sorted(&resolver, "a.test").await;
    let before = tasks();
    for _ in 0..200 {
        resolver.invalidate("a.test");
        sorted(&resolver, "a.test").await;
        sorted(&resolver, "a.test").await;
        advance(20 * MS).await;
    }
    // A task that wakes earlier replaces a task that sleeps longer. The number of replacements is logarithmic.
    assert!(tasks() <= before + 10, "{} tasks", tasks());
}

#[test]
fn a_host_is_refreshed_after_its_first_runtime_has_ended() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    };
    runtime().block_on(async {
        sorted(&resolver, "a.test").await;
        sorted(&resolver, "a.test").await;
    });
    runtime().block_on(async {
        script.takes(2 * S);
        for _ in 0..200 {
            tokio::time::sleep(S).await;
            let begun = Instant::now();
            sorted(&resolver, "a.test").await;
            assert_eq!(Instant::now(), begun);
        }
    });
}

/// A refresh is in flight when the lookup is replaced. The new lookup repeats the refresh before the answer expires.
#[tokio::test(start_paused = true)]
async fn the_refresh_of_a_replaced_lookup_is_repeated() {
    let (old, new) = (Script::answer(&[1], 60), Script::answer(&[2], 60));
    let resolver = old.resolver();
    sorted(&resolver, "a.test").await;
    sorted(&resolver, "a.test").await;
    old.takes(500 * MS);
    old.say(|host| Err(ResolveError::failed(host, "SERVFAIL")));
    while old.asked("a.test") < 2 {
        tokio::time::sleep(100 * MS).await;
    }
    new.takes(S);
    resolver.set_lookup(new);
    for second in 0..15 {
        tokio::time::sleep(S).await;
        let begun = Instant::now();
        sorted(&resolver, "a.test").await;
        assert_eq!(Instant::now(), begun, "{second} s after the replacement");
    }
}
