//! Tests behavior F4: when a host is re-resolved after a failed connect, and which callers wait.

use std::sync::Mutex;

use sidestep::{Event, LookupReason};
use tokio::runtime::Handle;

use super::*;

/// Makes a resolver of a host with one address that never changes. The list has the time of each later lookup in
/// milliseconds.
async fn unchanging() -> (Script, Resolver, Arc<Mutex<Vec<u128>>>) {
    let script = Script::answer(&[1], 24 * 3600);
    let resolver = script.build(|builder| builder.max_ttl(24 * 3600 * S));
    sorted(&resolver, "a.test").await;
    let lookups = Arc::new(Mutex::new(Vec::new()));
    let (times, begun) = (lookups.clone(), Instant::now());
    script.say(move |_| {
        let after = Instant::now() - begun;
        times.lock().unwrap().push(after.as_millis());
        Ok(answer(&[1], 24 * 3600))
    });
    (script, resolver, lookups)
}

/// The next re-resolve is sent exactly one interval after the last one, for any number of callers and failures.
#[tokio::test(start_paused = true)]
async fn failing_callers_send_one_lookup_at_0_s_and_1_s_and_then_every_2_s() {
    let (_script, resolver, lookups) = unchanging().await;
    let callers = (0..100_u32).map(|n| {
        let resolver = resolver.clone();
        async move {
            loop {
                resolver.report("a.test", ip(1), Outcome::Refused);
                let begun = Instant::now();
                resolver.resolve("a.test").await.unwrap();
                assert_eq!(Instant::now(), begun, "no caller waits between two lookups");
                tokio::time::sleep((7 + n) * MS).await;
            }
        }
    });
    let stream = futures_util::future::join_all(callers);
    assert!(tokio::time::timeout(92 * S, stream).await.is_err());
    let lookups = lookups.lock().unwrap().clone();
    let expected: Vec<u128> = [0]
        .into_iter()
        .chain((1_000..92_000).step_by(2_000))
        .collect();
    assert_eq!(lookups, expected);
}

/// While another address is healthy, the interval doubles up to 30 s.
#[tokio::test(start_paused = true)]
async fn re_resolves_back_off_to_30_s_while_an_address_is_healthy() {
    let script = Script::answer(&[1, 2], 24 * 3600);
    let resolver = script.build(|builder| builder.max_ttl(24 * 3600 * S));
    sorted(&resolver, "a.test").await;
    let (begun, mut lookups) = (Instant::now(), Vec::new());
    while Instant::now() < begun + 92 * S {
        resolver.report("a.test", ip(1), Outcome::Refused);
        let before = script.asked("a.test");
        sorted(&resolver, "a.test").await;
        tokio::time::sleep(MS).await;
        if script.asked("a.test") > before {
            lookups.push((Instant::now() - begun).as_secs());
        }
        tokio::time::sleep(99 * MS).await;
    }
    assert_eq!(lookups, [0, 1, 3, 7, 15, 31, 61, 91]);
}

/// The caller whose connect failed may be the last one for a while. The next caller then finds a fresh answer.
#[tokio::test(start_paused = true)]
async fn a_deferred_re_resolve_is_sent_without_a_caller() {
    let (_script, resolver, lookups) = unchanging().await;
    resolver.report("a.test", ip(1), Outcome::Refused);
    tokio::time::sleep(300 * MS).await;
    assert_eq!(
        *lookups.lock().unwrap(),
        [0],
        "the first re-resolve is sent at once"
    );
    resolver.report("a.test", ip(1), Outcome::Refused);
    resolver.report("a.test", ip(1), Outcome::Refused);
    tokio::time::sleep(699 * MS).await;
    assert_eq!(*lookups.lock().unwrap(), [0]);
    tokio::time::sleep(3600 * S).await;
    assert_eq!(
        *lookups.lock().unwrap(),
        [0, 1_000],
        "without a failure no other re-resolve is sent"
    );
}

/// The first failure leaves a healthy address, so the next caller sends the lookup. The second failure leaves none.
#[tokio::test(start_paused = true)]
async fn the_failure_of_the_last_healthy_address_sends_a_lookup_without_a_caller() {
    let script = Script::answer(&[1, 2], 3600);
    let resolver = script.build(|builder| builder.max_ttl(3600 * S));
    sorted(&resolver, "a.test").await;
    resolver.report("a.test", ip(1), Outcome::Refused);
    tokio::time::sleep(60 * MS).await;
    assert_eq!(
        script.asked("a.test"),
        1,
        "the next caller sends the lookup"
    );
    resolver.report("a.test", ip(2), Outcome::Refused);
    tokio::time::sleep(MS).await;
    assert_eq!(script.asked("a.test"), 2);
}

/// The address of the host changes just after the first re-resolve, and no caller comes for a while.
#[tokio::test(start_paused = true)]
async fn a_caller_after_a_deferred_re_resolve_gets_the_new_address_at_once() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    script.takes(200 * MS);
    resolver.report("a.test", ip(1), Outcome::Refused);
    tokio::time::sleep(300 * MS).await;
    script.say(|_| Ok(answer(&[2], 60)));
    resolver.report("a.test", ip(1), Outcome::Refused);
    let begun = Instant::now();
    assert_eq!(
        sorted(&resolver, "a.test").await,
        [ip(1)],
        "the re-resolve is deferred"
    );
    assert_eq!(Instant::now(), begun);
    tokio::time::sleep(S).await;
    let begun = Instant::now();
    assert_eq!(sorted(&resolver, "a.test").await, [ip(2)]);
    assert_eq!(Instant::now(), begun);
}

/// Callers of a host without a healthy address wait for the same in-flight lookup.
#[tokio::test(start_paused = true)]
async fn callers_without_a_healthy_address_share_one_re_resolve() {
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

/// While a healthy address is left, the next caller sends the re-resolve and does not wait. So a fleet that loses an
/// address does not send all its lookups at once.
#[tokio::test(start_paused = true)]
async fn the_next_caller_sends_the_re_resolve_while_an_address_is_healthy() {
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
    assert_eq!(
        script.asked("a.test"),
        3,
        "without a healthy address no caller is needed"
    );
}

/// An invalidation does not wait until the quota of failed connects allows a lookup.
#[tokio::test(start_paused = true)]
async fn an_invalidation_does_not_wait_for_the_quota_of_failures() {
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

/// The hosts that the quota defers are looked up later, and need no caller.
#[tokio::test(start_paused = true)]
async fn hosts_above_the_quota_are_looked_up_later_without_a_caller() {
    let script = Script::answer(&[1], 3600);
    let resolver = script.build(|builder| builder.max_ttl(3600 * S));
    let hosts: Vec<String> = (0..300).map(|n| format!("h{n}.test")).collect();
    for host in &hosts {
        sorted(&resolver, host).await;
    }
    for host in &hosts {
        resolver.report(host, ip(1), Outcome::Refused);
    }
    let re_resolves = || {
        hosts
            .iter()
            .map(|host| script.asked(host) - 1)
            .sum::<usize>()
    };
    tokio::time::sleep(MS).await;
    assert_eq!(re_resolves(), 100);
    tokio::time::sleep(S).await;
    assert_eq!(re_resolves(), 200);
    tokio::time::sleep(3600 * S).await;
    assert!(
        hosts.iter().all(|host| script.asked(host) == 2),
        "each host has one re-resolve"
    );
}

/// A failed re-resolve has a backoff like any lookup, and then the next caller sends a lookup.
#[tokio::test(start_paused = true)]
async fn an_idle_host_is_not_looked_up_after_a_failed_re_resolve() {
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

/// A host has one task that waits for its next lookup, whatever the reason of that lookup.
#[tokio::test(start_paused = true)]
async fn tasks_that_wait_for_a_lookup_do_not_accumulate() {
    let (_script, resolver, _lookups) = unchanging().await;
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

/// A report outside a runtime cannot send a lookup, so the next caller sends the lookup.
#[test]
fn the_next_caller_sends_the_lookup_after_a_report_outside_a_runtime() {
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

/// The refresh task on a runtime that is not driven never wakes, so the other runtime refreshes the host.
#[test]
fn a_host_is_refreshed_while_one_of_its_runtimes_is_not_driven() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let (idle, driven) = (runtime(), runtime());
    let script = Script::answer(&[1], 1);
    let refreshes = Arc::new(Mutex::new(0));
    let counter = refreshes.clone();
    let resolver = script.build(|builder| {
        builder.observe(move |event: &Event<'_>| {
            if let Event::LookupStarted {
                cause: LookupReason::Refresh,
                ..
            } = event
            {
                *counter.lock().unwrap() += 1;
            }
        })
    });
    idle.block_on(async {
        for _ in 0..2 {
            sorted(&resolver, "a.test").await;
        }
    });
    let refreshed = async {
        while *refreshes.lock().unwrap() < 2 {
            sorted(&resolver, "a.test").await;
            tokio::time::sleep(10 * MS).await;
        }
    };
    let limit = driven.block_on(async { tokio::time::timeout(20 * S, refreshed).await });
    limit.expect("the driven runtime refreshes a host in use");
}
