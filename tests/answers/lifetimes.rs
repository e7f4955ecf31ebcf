//! Behaviours A1 to A5: for how long what is known is served.

use super::*;

#[tokio::test(start_paused = true)]
async fn all_bad_addresses_are_returned_the_one_whose_penalty_ends_first_leading() {
    let resolver = Script::answer(&[1, 2, 3], 60).resolver();
    sorted(&resolver, "a.test").await;
    for n in [2, 3, 1] {
        resolver.report("a.test", ip(n), Outcome::Refused);
        // Longer than the jitter, so that the ends are in the order of the reports.
        advance(2500 * MS).await;
    }
    let addrs = resolver.resolve("a.test").await.unwrap().addrs().to_vec();
    assert_eq!(addrs.len(), 3);
    let left = deal(&resolver, "a.test").await.unwrap();
    assert_eq!(left.len(), 3, "health orders, never removes");
    assert_eq!(addrs[2], ip(1));
}

#[tokio::test(start_paused = true)]
async fn a_known_address_is_served_while_dns_is_down() {
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
        "asked {} times",
        script.asked("a.test")
    );
    assert_eq!(
        resolver.resolve("a.test").await.unwrap().source(),
        AnswerSource::Stale
    );
}

// A2: lifetimes.

/// TTLs are clamped to 1 s and 60 s; without one it is 30 s.
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
        assert_eq!(script.asked("a.test"), 2, "TTL {ttl:?}: and no longer");
    }
}

#[tokio::test(start_paused = true)]
async fn the_bounds_can_be_set() {
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

/// Life counts from when the query was sent, not from when its answer came.
#[tokio::test(start_paused = true)]
async fn life_is_counted_from_the_sending() {
    let script = Script::answer(&[1], 10);
    script.takes(3 * S);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    assert_eq!(resolver.resolve("a.test").await.unwrap().age(), 3 * S);
    advance(7 * S).await;
    sorted(&resolver, "a.test").await;
    assert_eq!(script.asked("a.test"), 2);
}

// A3: refresh-ahead.

/// A host in steady use is looked up again at 80 to 90 % of its life, and nobody waits for it.
#[tokio::test(start_paused = true)]
async fn a_host_in_use_never_makes_a_caller_wait_again() {
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
    // Every 48 to 54 s, counted from the sending.
    let asked = script.asked("a.test");
    assert!(
        (1 + 1_200 / 54..=2 + 1_200 / 48).contains(&asked),
        "asked {asked} times"
    );
}

/// Even one that is asked for only twice in an answer's life.
#[tokio::test(start_paused = true)]
async fn a_host_that_is_asked_for_now_and_then_is_looked_up_ahead_too() {
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

/// An idle host is left to expire, and costs neither lookups nor tasks.
#[tokio::test(start_paused = true)]
async fn an_idle_host_is_left_to_expire() {
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
        "an answer that nobody has used has no task"
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
        "and one that nobody uses any more has none either"
    );
}

/// Ten thousand hosts that were cached in the same second do not come back in the same second.
#[tokio::test(start_paused = true)]
async fn refreshes_are_spread() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    let hosts: Vec<String> = (0..10_000).map(|n| format!("h{n}.test")).collect();
    for _ in 0..2 {
        for host in &hosts {
            deal(&resolver, host).await.unwrap();
        }
    }
    let asked = || script.0.asked.lock().unwrap().values().sum::<usize>();
    let (mut before, mut most) = (asked(), 0);
    for _ in 0..60 {
        tokio::time::sleep(S).await;
        let now = asked();
        most = most.max(now - before);
        before = now;
    }
    assert_eq!(before, 20_000);
    assert!(most < 2_500, "{most} lookups in one second");
}

/// A refresh that fails while the answer is good changes nothing, and is tried again in its turn: a
/// name server in trouble is asked no more than one in health.
#[tokio::test(start_paused = true)]
async fn a_failed_refresh_changes_nothing() {
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

/// A slow lookup costs 1.8 s at most while a stale answer is there, and is not thrown away.
#[tokio::test(start_paused = true)]
async fn a_slow_lookup_serves_the_stale_answer() {
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

/// Who comes later waits for what is left of the 1.8 s: they count from the sending.
#[tokio::test(start_paused = true)]
async fn who_joins_a_slow_lookup_waits_only_for_what_is_left() {
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

/// A name server that is silent holds nobody up who uses the host, neither at the first lookup that it
/// does not answer nor at any later one; and the first answer after it is taken.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_silent_name_server() {
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

/// A connect that fails while the lookup is pending changes nothing of that: a healthy address is left.
#[tokio::test(start_paused = true)]
async fn no_caller_waits_for_a_silent_name_server_after_a_failed_connect() {
    let script = Script::answer(&[1, 2], 5);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    sorted(&resolver, "a.test").await;
    script.hold();
    tokio::time::sleep(4_900 * MS).await;
    assert_eq!(script.asked("a.test"), 2, "ahead of the end");
    resolver.report("a.test", ip(1), Outcome::Refused);
    for tenth in 0..300 {
        tokio::time::sleep(100 * MS).await;
        let begun = Instant::now();
        assert_eq!(sorted(&resolver, "a.test").await, [ip(1), ip(2)]);
        assert_eq!(Instant::now(), begun, "after {tenth} tenths of a second");
    }
    let asked = script.asked("a.test");
    assert!((3..=20).contains(&asked), "asked {asked} times in 35 s");
}

/// The lookup that was sent in time may bring an address that works, where none of the answer does.
#[tokio::test(start_paused = true)]
async fn with_no_healthy_address_left_a_caller_waits_for_the_lookup_that_was_sent_in_time() {
    let script = Script::answer(&[1], 5);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    sorted(&resolver, "a.test").await;
    script.say(|_| Ok(answer(&[2], 5)));
    script.takes(1_500 * MS);
    tokio::time::sleep(4_900 * MS).await;
    assert_eq!(script.asked("a.test"), 2, "ahead of the end");
    resolver.report("a.test", ip(1), Outcome::Refused);
    tokio::time::sleep(200 * MS).await;
    assert_eq!(sorted(&resolver, "a.test").await, [ip(2)]);
}

/// Long after a failure the next caller waits: the name server is most likely back.
#[tokio::test(start_paused = true)]
async fn an_old_failure_is_no_reason_to_serve_a_stale_answer_at_once() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    advance(61 * S).await;
    script.say(down);
    assert_eq!(sorted(&resolver, "a.test").await, [ip(1)]);
    script.say(|_| Ok(answer(&[2], 60)));
    // The next lookup is due 48 to 54 s after the one that failed, and that is remembered for 30 s
    // more.
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
async fn nxdomain_and_nodata_end_an_answer_and_are_kept_by_their_ttl() {
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
        assert_eq!(script.asked("a.test"), 3, "and no longer");
    }
}

/// RFC 9520: a failed lookup is not repeated at once, and ever less often.
#[tokio::test(start_paused = true)]
async fn failed_lookups_back_off() {
    let script = Script::new(|host| Err(ResolveError::failed(host, "refused")));
    let resolver = script.resolver();
    for _ in 0..600 {
        resolver.resolve("a.test").await.unwrap_err();
        advance(100 * MS).await;
    }
    // At 0, 1, 3, 7, 15, 31 s; the next is due at 61 s.
    assert_eq!(script.asked("a.test"), 6);
}

/// An answer without addresses is no answer.
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

/// One task for a host, however many answers it gets; and the next user starts another when the
/// runtime that it slept on is gone.
#[tokio::test(start_paused = true)]
async fn a_host_in_use_has_one_sleeper() {
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
    // One that wakes earlier takes the place of one that sleeps longer, which happens some
    // logarithm of times.
    assert!(tasks() <= before + 10, "{} tasks", tasks());
}

#[test]
fn a_host_is_looked_up_ahead_though_its_first_runtime_is_gone() {
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

/// A refresh that was let go by a switch is tried ahead again by the new lookup.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_was_let_go_is_repeated() {
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
        assert_eq!(Instant::now(), begun, "{second} s after the switch");
    }
}
