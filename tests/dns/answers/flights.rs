//! Tests behavior A6: callers share one in-flight lookup, and no caller cancels the lookup.

use std::pin::Pin;
use std::task::{Context, Waker};

use hyper_util::client::legacy::connect::dns::Name;
use tower::Service as _;

use super::*;

/// The future of one caller.
type Caller = Pin<Box<dyn Future<Output = Vec<IpAddr>> + Send>>;

/// The two ways to resolve a host: by hand, and as a connector.
const WAYS: [fn(Resolver) -> Caller; 2] = [
    |resolver| Box::pin(async move { sorted(&resolver, "a.test").await }),
    |resolver| {
        Box::pin(async move {
            let selected = deal(&resolver, "a.test").await.unwrap();
            selected.iter().map(SocketAddr::ip).collect()
        })
    },
];

/// Polls the future once, and returns whether it is ready.
fn ends(caller: &mut Caller) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    caller.as_mut().poll(&mut context).is_ready()
}

fn tasks() -> usize {
    let runtime = tokio::runtime::Handle::current();
    runtime.metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_share_one_lookup() {
    let script = Script::answer(&[1], 60);
    script.takes(S);
    let resolver = script.resolver();
    let callers: Vec<_> = (0..1_000)
        .map(|_| {
            let resolver = resolver.clone();
            tokio::spawn(async move { deal(&resolver, "a.test").await.unwrap() })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), [SocketAddr::new(ip(1), 0)]);
    }
    assert_eq!(script.asked("a.test"), 1);
}

/// The lookup of a dropped caller goes on, and its answer is kept.
#[tokio::test(start_paused = true)]
async fn a_dropped_caller_does_not_cancel_its_lookup() {
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

/// The state of a host that makes a caller wait for a lookup.
#[derive(Clone, Copy, Debug)]
enum State {
    Unknown,
    Stale,
    AllFailed,
}

impl State {
    /// Makes a resolver whose host has this state. Later lookups take 900 ms and return another address.
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

/// One caller is dropped after some polls: before the first, while the lookup is in flight, or after the lookup has
/// completed. The other callers come earlier, later, or not at all.
#[tokio::test(start_paused = true)]
async fn a_caller_dropped_at_any_point_does_not_affect_the_others() {
    for state in [State::Unknown, State::Stale, State::AllFailed] {
        for way in WAYS {
            for (earlier, later) in [(0, 0), (2, 0), (0, 2), (2, 2)] {
                let mut polls = 0;
                while !drop_one_after(polls, state, way, earlier, later).await {
                    polls += 1;
                }
                assert_eq!(polls, 5, "a wait of 900 ms, polled each 250 ms");
            }
        }
    }
}

/// Returns whether the caller was ready before the drop.
async fn drop_one_after(
    polls: usize,
    state: State,
    way: fn(Resolver) -> Caller,
    earlier: usize,
    later: usize,
) -> bool {
    let (script, tasks_before) = (Script::answer(&[1], 60), tasks());
    let resolver = state.make(&script).await;
    let (lookups, mut ready) = (script.asked("a.test"), false);
    let spawn = |n: usize| (0..n).map(|_| tokio::spawn(way(resolver.clone())));
    let mut others: Vec<_> = spawn(earlier).collect();
    tokio::task::yield_now().await;
    let mut dropped = way(resolver.clone());
    for _ in 0..polls {
        ready |= ends(&mut dropped);
        tokio::time::sleep(250 * MS).await;
    }
    others.extend(spawn(later));
    tokio::task::yield_now().await;
    drop(dropped);
    let case =
        format!("{state:?}, {earlier} callers earlier, {later} later, dropped after {polls} polls");
    for other in others {
        assert_eq!(other.await.unwrap(), [ip(2)], "{case}");
    }
    assert_eq!(way(resolver.clone()).await, [ip(2)], "{case}");
    assert_eq!(script.asked("a.test"), lookups + 1, "{case}");
    drop(resolver);
    tokio::time::sleep(60 * S).await;
    assert_eq!(
        Arc::strong_count(&script.0),
        1,
        "{case}: nothing holds the lookup"
    );
    assert_eq!(tasks(), tasks_before, "{case}: no task is left");
    ready
}

/// The default time limit of a lookup is 5 s.
#[tokio::test(start_paused = true)]
async fn a_lookup_that_hangs_ends_for_its_callers_after_5_s() {
    let script = Script::answer(&[1], 60);
    script.hold();
    let resolver = script.resolver();
    let begun = Instant::now();
    let error = resolver.resolve("a.test").await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(Instant::now() - begun, 5 * S);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_dropped_during_a_lookup_leaves_no_task() {
    let script = Script::answer(&[1], 60);
    script.takes(2 * S);
    let resolver = script.resolver();
    let caller = tokio::spawn({
        let resolver = resolver.clone();
        async move { resolver.resolve("a.test").await }
    });
    tokio::task::yield_now().await;
    drop(resolver);
    caller.abort();
    tokio::time::sleep(3 * S).await;
    assert_eq!(Arc::strong_count(&script.0), 1, "no task holds the lookup");
}

/// The future of a connector holds the lookup after the last resolver is dropped.
#[tokio::test(start_paused = true)]
async fn callers_that_outlive_the_resolver_get_their_answer() {
    let script = Script::answer(&[1], 60);
    script.takes(2 * S);
    let mut resolver = script.resolver();
    let name: Name = "a.test".parse().unwrap();
    let [mut first, mut second, mut dropped] = [(); 3].map(|()| resolver.call(name.clone()));
    let mut context = Context::from_waker(Waker::noop());
    for caller in [&mut first, &mut dropped] {
        assert!(Pin::new(caller).poll(&mut context).is_pending());
    }
    drop(resolver);
    drop(dropped);
    for caller in [&mut first, &mut second] {
        assert_eq!(caller.await.unwrap().next().unwrap().ip(), ip(1));
    }
    assert_eq!(script.asked("a.test"), 1);
    drop((first, second));
    tokio::time::sleep(60 * S).await;
    assert_eq!((Arc::strong_count(&script.0), tasks()), (1, 0));
}

#[test]
fn the_error_of_a_lookup_without_a_runtime_names_the_cause() {
    let resolver = Script::answer(&[1], 60).resolver();
    let resolving = resolver.resolve("a.test");
    let error = futures_util::FutureExt::now_or_never(resolving)
        .unwrap()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a.test: a lookup needs a tokio runtime: ask from inside one"
    );
}
