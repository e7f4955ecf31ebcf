//! Tests behavior A6: lookups that panic or hang, and the answers that are served meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};

use sidestep::lookup::{Lookup, LookupFuture};

use super::*;

/// The fault of a lookup after the first good answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The lookup panics before it returns a future.
    PanicsAtOnce,
    /// The future panics.
    PanicsLater,
    /// The future never ends.
    Hangs,
}

const PANICS: [Fault; 2] = [Fault::PanicsAtOnce, Fault::PanicsLater];

struct Broken {
    fault: Fault,
    good: usize,
    calls: AtomicUsize,
}

impl Broken {
    fn after(good: usize, fault: Fault) -> Arc<Self> {
        let calls = AtomicUsize::new(0);
        Arc::new(Self { fault, good, calls })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Lookup for Broken {
    fn lookup<'a>(&'a self, _: &'a str) -> LookupFuture<'a> {
        let good = self.calls.fetch_add(1, Ordering::Relaxed) < self.good;
        assert!(good || self.fault != Fault::PanicsAtOnce, "a broken lookup");
        Box::pin(async move {
            tokio::time::sleep(S).await;
            match self.fault {
                _ if good => Ok(answer(&[1], 60)),
                Fault::Hangs => std::future::pending().await,
                Fault::PanicsAtOnce | Fault::PanicsLater => panic!("a broken lookup"),
            }
        })
    }
}

/// Drops the resolver, and checks that nothing holds the lookup and that no task is left.
async fn assert_gone(resolver: Resolver, lookup: &Arc<Broken>) {
    drop(resolver);
    tokio::time::sleep(60 * S).await;
    let runtime = tokio::runtime::Handle::current();
    let left = (
        Arc::strong_count(lookup),
        runtime.metrics().num_alive_tasks(),
    );
    assert_eq!(left, (1, 0), "{:?}", lookup.fault);
}

fn resolver(lookup: &Arc<Broken>) -> Resolver {
    let builder = Resolver::builder().lookup(Arc::clone(lookup));
    builder.build().unwrap()
}

/// All callers get an error. The lookup is repeated after a second, and no task is left.
#[tokio::test(start_paused = true)]
async fn all_callers_of_a_lookup_that_panics_get_an_error() {
    for fault in PANICS {
        let lookup = Broken::after(0, fault);
        let resolver = resolver(&lookup);
        for calls in 1..=2 {
            let callers = (0..10).map(|_| resolver.resolve("a.test"));
            for error in futures_util::future::join_all(callers).await {
                let error = error.unwrap_err().to_string();
                assert!(error.starts_with("a.test: the lookup panicked"), "{error}");
            }
            assert_eq!(lookup.calls(), calls, "{fault:?}");
            advance(S).await;
        }
        assert_gone(resolver, &lookup).await;
    }
}

/// The callers get the stale answer as soon as the lookup has panicked, and so does the next caller.
#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_served_when_the_lookup_panics() {
    for fault in PANICS {
        let lookup = Broken::after(1, fault);
        let resolver = resolver(&lookup);
        sorted(&resolver, "a.test").await;
        advance(60 * S).await;
        let begun = Instant::now();
        let stale = || async { resolver.resolve("a.test").await.unwrap() };
        for stale in futures_util::future::join_all((0..10).map(|_| stale())).await {
            assert_eq!(
                (stale.addrs(), stale.source()),
                (&[ip(1)][..], AnswerSource::Stale)
            );
        }
        assert!(Instant::now() - begun <= S, "{fault:?}");
        assert_eq!(stale().await.addrs(), [ip(1)]);
        assert_eq!(
            lookup.calls(),
            2,
            "{fault:?}: the lookup is not repeated at once"
        );
        assert_gone(resolver, &lookup).await;
    }
}

/// A refresh that panics delays no caller, and is tried again.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_panics_does_not_affect_callers() {
    for fault in PANICS {
        let lookup = Broken::after(1, fault);
        let resolver = resolver(&lookup);
        sorted(&resolver, "a.test").await;
        for second in 1..120 {
            let begun = Instant::now();
            assert_eq!(sorted(&resolver, "a.test").await, [ip(1)]);
            assert_eq!(Instant::now(), begun, "{fault:?}: at {second} s");
            tokio::time::sleep(S).await;
        }
        assert!(lookup.calls() > 2, "{fault:?}: the refresh is tried again");
        assert_gone(resolver, &lookup).await;
    }
}

/// Later callers join the lookup that hangs, and wait until its time limit.
#[tokio::test(start_paused = true)]
async fn callers_join_a_lookup_that_hangs_until_its_time_limit() {
    let lookup = Broken::after(0, Fault::Hangs);
    let resolver = resolver(&lookup);
    let begun = Instant::now();
    let callers = (0..5).map(|second| {
        let resolver = resolver.clone();
        async move {
            tokio::time::sleep(second * S).await;
            let error = resolver.resolve("a.test").await.unwrap_err();
            assert!(error.is_timeout());
            assert_eq!(Instant::now() - begun, 5 * S);
        }
    });
    futures_util::future::join_all(callers).await;
    assert_eq!(lookup.calls(), 1);
    assert_gone(resolver, &lookup).await;
}

/// The first caller gets the stale answer after 1.8 s. The next caller gets the answer at once and sends no lookup.
#[tokio::test(start_paused = true)]
async fn the_stale_answer_is_served_while_a_lookup_hangs() {
    let lookup = Broken::after(1, Fault::Hangs);
    let resolver = resolver(&lookup);
    sorted(&resolver, "a.test").await;
    advance(60 * S).await;
    for wait in [1_800, 0] {
        let begun = Instant::now();
        assert_eq!(sorted(&resolver, "a.test").await, [ip(1)]);
        assert_eq!(Instant::now() - begun, wait * MS);
    }
    assert_eq!(lookup.calls(), 2);
    assert_gone(resolver, &lookup).await;
}
