//! Behaviours A1, A2 and A4 to A10, on a paused clock, with a lookup that the test directs.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::client::legacy::connect::dns::Name;
use sidestep::lookup::{Answer, Answering, Lookup};
use sidestep::{Error, Outcome, Resolver, Source};
use tokio::sync::Semaphore;
use tokio::time::{Instant, advance};
use tower::{Service, ServiceExt as _};

const S: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn ip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

/// A lookup whose answers, failures and timing the test decides.
#[derive(Clone)]
struct Script(Arc<Inner>);

type Say = dyn FnMut(&str) -> Result<Answer, Error> + Send;

struct Inner {
    said: Mutex<Box<Say>>,
    asked: Mutex<HashMap<String, usize>>,
    takes: Mutex<Duration>,
    /// One permit for each lookup that may end.
    gate: Semaphore,
}

impl Script {
    fn new(say: impl FnMut(&str) -> Result<Answer, Error> + Send + 'static) -> Self {
        Self(Arc::new(Inner {
            said: Mutex::new(Box::new(say)),
            asked: Mutex::default(),
            takes: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        }))
    }

    fn answer(last: &'static [u8], ttl: u32) -> Self {
        Self::new(move |_| Ok(answer(last, ttl)))
    }

    fn say(&self, say: impl FnMut(&str) -> Result<Answer, Error> + Send + 'static) {
        *self.0.said.lock().unwrap() = Box::new(say);
    }

    fn takes(&self, time: Duration) {
        *self.0.takes.lock().unwrap() = time;
    }

    /// From now on lookups wait for `release`.
    fn hold(&self) {
        self.0.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    fn release(&self) {
        self.0.gate.add_permits(1);
    }

    fn asked(&self, host: &str) -> usize {
        self.0
            .asked
            .lock()
            .unwrap()
            .get(host)
            .copied()
            .unwrap_or_default()
    }

    fn resolver(&self) -> Resolver {
        Resolver::builder().lookup(self.clone()).build().unwrap()
    }
}

impl Lookup for Script {
    fn lookup<'a>(&'a self, host: &'a str) -> Answering<'a> {
        *self
            .0
            .asked
            .lock()
            .unwrap()
            .entry(host.to_owned())
            .or_default() += 1;
        let takes = *self.0.takes.lock().unwrap();
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            self.0.gate.acquire().await.unwrap().forget();
            (self.0.said.lock().unwrap())(host)
        })
    }
}

fn answer(last: &[u8], ttl: u32) -> Answer {
    Answer::new(last.iter().map(|&n| ip(n))).with_ttl(ttl * S)
}

async fn sorted(resolver: &Resolver, host: &str) -> Vec<IpAddr> {
    let mut addrs = resolver.resolve(host).await.unwrap().addrs().to_vec();
    addrs.sort();
    addrs
}

/// Asks as hyper-util's connector does.
async fn deal(resolver: &Resolver, host: &str) -> Result<Vec<SocketAddr>, Error> {
    let mut service = resolver.clone();
    let addrs = service
        .ready()
        .await?
        .call(Name::from_str(host).unwrap())
        .await?;
    Ok(addrs.collect())
}

// A1: never empty.

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
    script.say(|host| Err(Error::failed(host, "SERVFAIL")));
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
        Source::Stale
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

/// A refresh that fails while the answer is good changes nothing, and is tried again.
#[tokio::test(start_paused = true)]
async fn a_failed_refresh_changes_nothing() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    script.say(|host| Err(Error::failed(host, "SERVFAIL")));
    for _ in 0..58 {
        tokio::time::sleep(S).await;
        let resolved = resolver.resolve("a.test").await.unwrap();
        assert_eq!(
            (resolved.addrs(), resolved.source()),
            (&[ip(1)][..], Source::Fresh)
        );
    }
    let asked = script.asked("a.test");
    assert!(asked >= 3, "asked {asked} times");
    script.say(|_| Ok(answer(&[2], 60)));
    tokio::time::sleep(9 * S).await;
    assert_eq!(sorted(&resolver, "a.test").await, [ip(2)]);
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

#[tokio::test(start_paused = true)]
async fn stale_answers_end_after_a_day() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    sorted(&resolver, "a.test").await;
    script.say(|host| Err(Error::failed(host, "SERVFAIL")));
    advance(24 * 60 * 60 * S).await;
    sorted(&resolver, "a.test").await;
    advance(61 * S).await;
    resolver.resolve("a.test").await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn nxdomain_and_nodata_end_an_answer_and_are_kept_by_their_ttl() {
    type Negative = fn(&str) -> Error;
    let negatives: [(Negative, u32); 3] = [
        (|host| Error::not_found(host).with_negative_ttl(20 * S), 20),
        (
            |host| Error::no_records(host).with_negative_ttl(900 * S),
            60,
        ),
        (Error::not_found, 5),
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
    let script = Script::new(|host| Err(Error::failed(host, "refused")));
    let resolver = script.resolver();
    for _ in 0..600 {
        resolver.resolve("a.test").await.unwrap_err();
        advance(100 * MS).await;
    }
    // At 0, 1, 3, 7, 15, 31 s; the next is due at 61 s.
    assert_eq!(script.asked("a.test"), 6);
}

// A6: one flight.

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

// A7: invalidation.

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
    script.say(|host| Err(Error::failed(host, "SERVFAIL")));
    resolver.invalidate("a.test");
    assert_eq!(sorted(&resolver, "a.test").await, [ip(1)]);
    assert_eq!(
        resolver.resolve("a.test").await.unwrap().source(),
        Source::Suspect
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

/// The first look-up-again at once, then 1 s, 2 s, 4 s … apart while the answer stays the same.
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
    // In 30 s: at 0, 1, 3, 7, 15 s, and once at the beginning.
    assert_eq!(script.asked("a.test"), 6);
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

// A8: order.

#[tokio::test(start_paused = true)]
async fn families_are_dealt_in_turn_and_ipv6_leads() {
    let v6 = |n| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
    let script = Script::new(move |_| Ok(Answer::new([ip(1), v6(1), ip(2), v6(2)])));
    let resolver = script.resolver();
    let mut first = [0; 2];
    for _ in 0..200 {
        let addrs = deal(&resolver, "a.test").await.unwrap();
        let families: Vec<bool> = addrs.iter().map(SocketAddr::is_ipv6).collect();
        assert_eq!(families, [true, false, true, false]);
        first[usize::from(addrs[0].ip() == v6(1))] += 1;
    }
    // 100 each are expected, with a deviation of 7; six deviations.
    assert!(
        first.iter().all(|n| (58..=142).contains(n)),
        "shuffled at every lookup: {first:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn ipv4_may_be_preferred() {
    let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
    let script = Script::new(move |_| Ok(Answer::new([v6, ip(1)])));
    let resolver = Resolver::builder()
        .lookup(script)
        .prefer_ipv4(true)
        .build()
        .unwrap();
    assert_eq!(
        resolver.resolve("a.test").await.unwrap().addrs(),
        [ip(1), v6]
    );
}

// A9: names.

#[tokio::test(start_paused = true)]
async fn case_and_the_root_dot_do_not_matter() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    for name in ["a.test", "A.TEST", "a.test.", "A.Test."] {
        sorted(&resolver, name).await;
        deal(&resolver, name).await.unwrap();
    }
    assert_eq!(script.asked("a.test"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_name_is_an_error_and_is_not_kept() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    let long = "a".repeat(64);
    for name in ["", "a..b", "a b", "a\0b", "a.test:80", &long] {
        let error = resolver.resolve(name).await.unwrap_err();
        assert!(error.is_invalid_name(), "{name:?}: {error}");
        resolver.report(name, ip(1), Outcome::Refused);
    }
    assert!(script.0.asked.lock().unwrap().is_empty());
    assert!(resolver.snapshot().hosts.is_empty());
}

#[tokio::test(start_paused = true)]
async fn literals_localhost_and_reserved_names_ask_nobody() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    for (name, addr) in [("192.0.2.7", ip(7)), ("[::1]", "::1".parse().unwrap())] {
        let resolved = resolver.resolve(name).await.unwrap();
        assert_eq!(
            (resolved.addrs(), resolved.source()),
            (&[addr][..], Source::Literal)
        );
    }
    for name in ["localhost", "db.localhost."] {
        let resolved = resolver.resolve(name).await.unwrap();
        assert_eq!(resolved.source(), Source::Loopback);
        assert!(resolved.addrs().iter().all(IpAddr::is_loopback));
    }
    for name in ["duck.onion", "nobody.invalid"] {
        assert!(
            resolver.resolve(name).await.unwrap_err().is_not_found(),
            "{name}"
        );
        deal(&resolver, name).await.unwrap_err();
    }
    assert!(script.0.asked.lock().unwrap().is_empty());
}

// A10: bounds.

#[tokio::test(start_paused = true)]
async fn capacity_holds_whatever_names_are_asked() {
    let script = Script::answer(&[1], 60);
    let resolver = Resolver::builder()
        .lookup(script.clone())
        .capacity(64)
        .build()
        .unwrap();
    sorted(&resolver, "hot.test").await;
    for n in 0..5_000 {
        advance(200 * MS).await;
        sorted(&resolver, &format!("h{n}.attacker.test")).await;
        sorted(&resolver, "hot.test").await;
        assert!(resolver.snapshot().hosts.len() <= 64);
    }
    // 1 000 s went by: asked at 80 to 90 % of its life, and never because it was pushed out.
    let asked = script.asked("hot.test");
    assert!(asked <= 2 + 1_000 / 48, "asked {asked} times");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_addresses_are_cut_to_64_and_a_connector_gets_four_of_a_family() {
    let many = (0..5_000_u16).flat_map(|n| {
        let [a, b] = n.to_be_bytes();
        [
            IpAddr::from([10, 0, a, b]),
            IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]),
        ]
    });
    let many: Vec<IpAddr> = many.collect();
    let script = Script::new(move |_| Ok(Answer::new(many.clone())));
    let resolver = script.resolver();
    assert_eq!(resolver.resolve("a.test").await.unwrap().addrs().len(), 64);
    let dealt = deal(&resolver, "a.test").await.unwrap();
    let v6 = dealt.iter().filter(|addr| addr.is_ipv6()).count();
    assert_eq!((v6, dealt.len()), (4, 8));
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

#[test]
fn a_setting_that_cannot_work_names_its_setter() {
    type Set = fn(sidestep::Builder) -> sidestep::Builder;
    let bad: [(&str, Set); 11] = [
        ("max_ttl", |b| b.max_ttl(500 * MS)),
        ("attempt_timeout", |b| b.attempt_timeout(900 * MS)),
        ("min_ttl", |b| b.min_ttl(61 * S)),
        ("max_ttl", |b| b.max_ttl(Duration::ZERO)),
        ("max_ttl", |b| b.max_ttl(Duration::MAX)),
        ("capacity", |b| b.capacity(0)),
        ("lookup_timeout", |b| b.lookup_timeout(Duration::ZERO)),
        ("serve_stale", |b| b.serve_stale(Duration::MAX)),
        ("stale_after", |b| b.stale_after(Duration::MAX)),
        ("stalled_after", |b| b.stalled_after(Duration::ZERO)),
        ("attempt_timeout", |b| b.attempt_timeout(Duration::ZERO)),
    ];
    for (setter, set) in bad {
        let error = set(Resolver::builder()).build().unwrap_err();
        assert_eq!(error.setter(), setter);
        assert!(
            error
                .to_string()
                .starts_with(&format!("invalid {setter}: ")),
            "{error}"
        );
    }
}
