//! Behaviour F4: when a host is looked up again after a connect failed, and who waits for it.

use std::sync::Mutex;

use sidestep::{Event, LookupReason};
use tokio::runtime::Handle;

use super::*;

/// A resolver of a host with one address that never changes, and when each lookup came, in
/// milliseconds from the first failure.
async fn unchanging() -> (Script, Resolver, Arc<Mutex<Vec<u128>>>) {
    let script = Script::answer(&[1], 24 * 3600);
    let resolver = script.build(|builder| builder.max_ttl(24 * 3600 * S));
    sorted(&resolver, "a.test").await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (times, begun) = (asked.clone(), Instant::now());
    script.say(move |_| {
        let after = Instant::now() - begun;
        times.lock().unwrap().push(after.as_millis());
        Ok(answer(&[1], 24 * 3600))
    });
    (script, resolver, asked)
}

/// The next lookup is sent exactly an interval after the last, however many call and fail.
#[tokio::test(start_paused = true)]
async fn a_stream_of_failing_callers_is_one_lookup_at_0_and_1_and_then_each_2_seconds() {
    let (_script, resolver, asked) = unchanging().await;
    let callers = (0..100_u32).map(|n| {
        let resolver = resolver.clone();
        async move {
            loop {
                resolver.report("a.test", ip(1), Outcome::Refused);
                let begun = Instant::now();
                resolver.resolve("a.test").await.unwrap();
                assert_eq!(Instant::now(), begun, "nobody waits in a window");
                tokio::time::sleep((7 + n) * MS).await;
            }
        }
    });
    let stream = futures_util::future::join_all(callers);
    assert!(tokio::time::timeout(92 * S, stream).await.is_err());
    let asked = asked.lock().unwrap().clone();
    let expected: Vec<u128> = [0]
        .into_iter()
        .chain((1_000..92_000).step_by(2_000))
        .collect();
    assert_eq!(asked, expected);
}

/// While another address is healthy, the interval doubles up to 30 s.
#[tokio::test(start_paused = true)]
async fn while_a_healthy_address_is_left_lookups_are_at_0_1_3_7_15_31_61_and_91_seconds() {
    let script = Script::answer(&[1, 2], 24 * 3600);
    let resolver = script.build(|builder| builder.max_ttl(24 * 3600 * S));
    sorted(&resolver, "a.test").await;
    let (begun, mut asked) = (Instant::now(), Vec::new());
    while Instant::now() < begun + 92 * S {
        resolver.report("a.test", ip(1), Outcome::Refused);
        let before = script.asked("a.test");
        sorted(&resolver, "a.test").await;
        tokio::time::sleep(MS).await;
        if script.asked("a.test") > before {
            asked.push((Instant::now() - begun).as_secs());
        }
        tokio::time::sleep(99 * MS).await;
    }
    assert_eq!(asked, [0, 1, 3, 7, 15, 31, 61, 91]);
}

/// The one who failed may be the last one for a while: the next finds the fresh answer.
#[tokio::test(start_paused = true)]
async fn a_deferred_lookup_is_sent_though_nobody_asks() {
    let (_script, resolver, asked) = unchanging().await;
    resolver.report("a.test", ip(1), Outcome::Refused);
    tokio::time::sleep(300 * MS).await;
    assert_eq!(*asked.lock().unwrap(), [0], "the first at once");
    resolver.report("a.test", ip(1), Outcome::Refused);
    resolver.report("a.test", ip(1), Outcome::Refused);
    tokio::time::sleep(699 * MS).await;
    assert_eq!(*asked.lock().unwrap(), [0]);
    tokio::time::sleep(3600 * S).await;
    assert_eq!(
        *asked.lock().unwrap(),
        [0, 1_000],
        "and no more, for nobody failed"
    );
}

/// The first failure leaves a healthy address, and so the lookup to the next caller; the second
/// leaves none.
#[tokio::test(start_paused = true)]
async fn when_the_last_healthy_address_fails_the_lookup_is_sent_though_nobody_asks() {
    let script = Script::answer(&[1, 2], 3600);
    let resolver = script.build(|builder| builder.max_ttl(3600 * S));
    sorted(&resolver, "a.test").await;
    resolver.report("a.test", ip(1), Outcome::Refused);
    tokio::time::sleep(60 * MS).await;
    assert_eq!(script.asked("a.test"), 1, "the next caller asks");
    resolver.report("a.test", ip(2), Outcome::Refused);
    tokio::time::sleep(MS).await;
    assert_eq!(script.asked("a.test"), 2);
}

/// The name has moved a moment after the first look-up-again; nobody calls for a while.
#[tokio::test(start_paused = true)]
async fn who_comes_after_a_deferred_lookup_finds_the_move_without_waiting() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    script.takes(200 * MS);
    resolver.report("a.test", ip(1), Outcome::Refused);
    tokio::time::sleep(300 * MS).await;
    script.say(|_| Ok(answer(&[2], 60)));
    resolver.report("a.test", ip(1), Outcome::Refused);
    let begun = Instant::now();
    assert_eq!(sorted(&resolver, "a.test").await, [ip(1)], "in the window");
    assert_eq!(Instant::now(), begun);
    tokio::time::sleep(S).await;
    let begun = Instant::now();
    assert_eq!(sorted(&resolver, "a.test").await, [ip(2)]);
    assert_eq!(Instant::now(), begun);
}

/// While the lookup is in the air those without a healthy address wait for it, and are one.
#[tokio::test(start_paused = true)]
async fn callers_without_a_healthy_address_join_the_lookup_that_is_due() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    script.say(|_| Ok(answer(&[2], 60)));
    script.takes(500 * MS);
    resolver.report("a.test", ip(1), Outcome::Refused);
    let begun = Instant::now();
    let callers = (0..1_000).map(|_| sorted(&resolver, "a.test"));
    for addrs in futures_util::future::join_all(callers).await {
        assert_eq!(addrs, [ip(2)]);
    }
    assert_eq!(Instant::now() - begun, 500 * MS);
    assert_eq!(script.asked("a.test"), 2);
}

/// While a healthy address is left nobody needs the fresh answer: the next caller sends for it, and
/// does not wait. A fleet that loses an edge does not ask as one.
#[tokio::test(start_paused = true)]
async fn while_a_healthy_address_is_left_the_next_caller_looks_again() {
    let script = Script::answer(&[1, 2], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    resolver.report("a.test", ip(1), Outcome::Refused);
    tokio::time::sleep(10 * S).await;
    assert_eq!(script.asked("a.test"), 1);
    script.takes(500 * MS);
    let begun = Instant::now();
    sorted(&resolver, "a.test").await;
    assert_eq!(Instant::now(), begun);
    tokio::time::sleep(S).await;
    assert_eq!(script.asked("a.test"), 2);
    resolver.report("a.test", ip(2), Outcome::Refused);
    tokio::time::sleep(2 * S).await;
    assert_eq!(script.asked("a.test"), 3, "with none left, by itself");
}

/// Who invalidates by hand is not kept waiting by those that failed.
#[tokio::test(start_paused = true)]
async fn an_invalidation_by_hand_does_not_stand_in_the_queue_of_failures() {
    let script = Script::answer(&[1], 3600);
    let resolver = script.resolver();
    sorted(&resolver, "hand.test").await;
    for n in 0..400 {
        let host = format!("h{n}.test");
        sorted(&resolver, &host).await;
        resolver.report(&host, ip(1), Outcome::Refused);
    }
    resolver.invalidate("hand.test");
    sorted(&resolver, "hand.test").await;
    assert_eq!(script.asked("hand.test"), 2);
}

/// What the quota puts off is looked up by itself, each host in turn.
#[tokio::test(start_paused = true)]
async fn hosts_over_the_quota_are_looked_up_in_turn_though_nobody_asks() {
    let script = Script::answer(&[1], 3600);
    let resolver = script.build(|builder| builder.max_ttl(3600 * S));
    let hosts: Vec<String> = (0..300).map(|n| format!("h{n}.test")).collect();
    for host in &hosts {
        sorted(&resolver, host).await;
    }
    for host in &hosts {
        resolver.report(host, ip(1), Outcome::Refused);
    }
    let again = || {
        hosts
            .iter()
            .map(|host| script.asked(host) - 1)
            .sum::<usize>()
    };
    tokio::time::sleep(MS).await;
    assert_eq!(again(), 100);
    tokio::time::sleep(S).await;
    assert_eq!(again(), 200);
    tokio::time::sleep(3600 * S).await;
    assert!(
        hosts.iter().all(|host| script.asked(host) == 2),
        "each once"
    );
}

/// A failed look-up-again is waited out like any other, and then asked by who comes.
#[tokio::test(start_paused = true)]
async fn while_the_name_server_fails_an_idle_host_is_left_alone() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    script.say(down);
    resolver.report("a.test", ip(1), Outcome::Refused);
    tokio::time::sleep(50 * S).await;
    assert_eq!(script.asked("a.test"), 2);
    assert_eq!(sorted(&resolver, "a.test").await, [ip(1)]);
    assert_eq!(script.asked("a.test"), 3);
}

/// A host has one task that sleeps, whatever it is to be looked up for.
#[tokio::test(start_paused = true)]
async fn sleeping_tasks_do_not_pile_up() {
    let (_script, resolver, _asked) = unchanging().await;
    let before = Handle::current().metrics().num_alive_tasks();
    for _ in 0..500 {
        resolver.report("a.test", ip(1), Outcome::Refused);
        sorted(&resolver, "a.test").await;
        sorted(&resolver, "a.test").await;
        tokio::time::sleep(100 * MS).await;
        let tasks = Handle::current().metrics().num_alive_tasks() - before;
        assert!(tasks <= 2, "{tasks} tasks for one host");
    }
}

/// A report from outside of any runtime can send nothing; the next caller does.
#[test]
fn a_failure_told_outside_of_a_runtime_is_looked_up_for_the_next_caller() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    runtime.block_on(sorted(&resolver, "a.test"));
    resolver.report("a.test", ip(1), Outcome::Refused);
    assert_eq!(script.asked("a.test"), 1);
    runtime.block_on(sorted(&resolver, "a.test"));
    assert_eq!(script.asked("a.test"), 2);
}

/// One on a runtime that nobody drives sleeps for ever.
#[test]
fn a_runtime_that_stands_still_keeps_no_other_from_looking_up_ahead() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let (still, runs) = (runtime(), runtime());
    let script = Script::answer(&[1], 1);
    let ahead = Arc::new(Mutex::new(0));
    let counted = ahead.clone();
    let resolver = script.build(|builder| {
        builder.observe(move |event: &Event<'_>| {
            if let Event::LookupStarted {
                cause: LookupReason::Refresh,
                ..
            } = event
            {
                *counted.lock().unwrap() += 1;
            }
        })
    });
    still.block_on(async {
        for _ in 0..2 {
            sorted(&resolver, "a.test").await;
        }
    });
    let looked_ahead = async {
        while *ahead.lock().unwrap() < 2 {
            sorted(&resolver, "a.test").await;
            tokio::time::sleep(10 * MS).await;
        }
    };
    let limit = runs.block_on(async { tokio::time::timeout(20 * S, looked_ahead).await });
    limit.expect("a host in use is looked up ahead there");
}
