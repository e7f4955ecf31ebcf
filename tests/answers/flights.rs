//! Behaviour A6: one lookup in the air, whatever becomes of those who wait.

use std::pin::Pin;
use std::task::{Context, Waker};

use hyper_util::client::legacy::connect::dns::Name;
use tower::Service as _;

use super::*;

/// One who waits, by whichever way.
type Waiter = Pin<Box<dyn Future<Output = Vec<IpAddr>> + Send>>;

/// The two ways to ask.
const WAYS: [fn(Resolver) -> Waiter; 2] = [
    |resolver| Box::pin(async move { sorted(&resolver, "a.test").await }),
    |resolver| {
        Box::pin(async move {
            let dealt = deal(&resolver, "a.test").await.unwrap();
            dealt.iter().map(SocketAddr::ip).collect()
        })
    },
];

/// Whether this poll ends the wait.
fn ends(waiter: &mut Waiter) -> bool {
    let mut nobody = Context::from_waker(Waker::noop());
    waiter.as_mut().poll(&mut nobody).is_ready()
}

fn tasks() -> usize {
    let runtime = tokio::runtime::Handle::current();
    runtime.metrics().num_alive_tasks()
}

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

/// What makes a caller wait for a lookup.
#[derive(Clone, Copy, Debug)]
enum Before {
    Unknown,
    Stale,
    AllFailed,
}

impl Before {
    /// Makes it so; from now on a lookup takes 900 ms and brings another address.
    async fn make(self, script: &Script) -> Resolver {
        let resolver = script.resolver();
        if !matches!(self, Self::Unknown) {
            sorted(&resolver, "a.test").await;
        }
        match self {
            Self::Unknown => {}
            Self::Stale => advance(61 * S).await,
            Self::AllFailed => resolver.report("a.test", ip(1), Outcome::Refused),
        }
        script.say(|_| Ok(answer(&[2], 60)));
        script.takes(900 * MS);
        resolver
    }
}

/// One waiter is polled so many times and dropped: never polled, as the one who sends the lookup or
/// joins it, in the middle, after the landing that it has not seen. Others wait that came before or
/// after it, or nobody does.
#[tokio::test(start_paused = true)]
async fn a_waiter_dropped_at_any_point_costs_the_others_nothing() {
    for before in [Before::Unknown, Before::Stale, Before::AllFailed] {
        for way in WAYS {
            for (earlier, later) in [(0, 0), (2, 0), (0, 2), (2, 2)] {
                let mut polls = 0;
                while !drop_one_after(polls, before, way, earlier, later).await {
                    polls += 1;
                }
                assert_eq!(polls, 5, "a wait of 900 ms, polled each 250 ms");
            }
        }
    }
}

/// Returns true when the waiter was ready before it could be dropped.
async fn drop_one_after(
    polls: usize,
    before: Before,
    way: fn(Resolver) -> Waiter,
    earlier: usize,
    later: usize,
) -> bool {
    let (script, tasks_before) = (Script::answer(&[1], 60), tasks());
    let resolver = before.make(&script).await;
    let (asked, mut ready) = (script.asked("a.test"), false);
    let come = |n: usize| (0..n).map(|_| tokio::spawn(way(resolver.clone())));
    let mut others: Vec<_> = come(earlier).collect();
    tokio::task::yield_now().await;
    let mut leaving = way(resolver.clone());
    for _ in 0..polls {
        ready |= ends(&mut leaving);
        tokio::time::sleep(250 * MS).await;
    }
    others.extend(come(later));
    tokio::task::yield_now().await;
    drop(leaving);
    let case = format!("{before:?}, {earlier} before, {later} after, dropped after {polls} polls");
    for other in others {
        assert_eq!(other.await.unwrap(), [ip(2)], "{case}");
    }
    assert_eq!(way(resolver.clone()).await, [ip(2)], "{case}");
    assert_eq!(script.asked("a.test"), asked + 1, "{case}");
    drop(resolver);
    tokio::time::sleep(60 * S).await;
    assert_eq!(Arc::strong_count(&script.0), 1, "{case}: it is let go");
    assert_eq!(tasks(), tasks_before, "{case}: and no task is left");
    ready
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

/// What a connector waits for outlives the last resolver.
#[tokio::test(start_paused = true)]
async fn waiters_that_outlive_the_resolver_get_their_answer() {
    let script = Script::answer(&[1], 60);
    script.takes(2 * S);
    let mut resolver = script.resolver();
    let name: Name = "a.test".parse().unwrap();
    let [mut first, mut second, mut leaving] = [(); 3].map(|()| resolver.call(name.clone()));
    let mut nobody = Context::from_waker(Waker::noop());
    for waiter in [&mut first, &mut leaving] {
        assert!(Pin::new(waiter).poll(&mut nobody).is_pending());
    }
    drop(resolver);
    drop(leaving);
    for waiter in [&mut first, &mut second] {
        assert_eq!(waiter.await.unwrap().next().unwrap().ip(), ip(1));
    }
    assert_eq!(script.asked("a.test"), 1);
    drop((first, second));
    tokio::time::sleep(60 * S).await;
    assert_eq!((Arc::strong_count(&script.0), tasks()), (1, 0));
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
