//! Behaviour A6: lookups that panic or hang, and what is known meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};

use sidestep::lookup::{Lookup, LookupFuture};

use super::*;

/// What becomes of a lookup after the first good ones.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// It panics before it returns a future.
    PanicsAtOnce,
    /// Its future panics.
    PanicsLater,
    /// Its future never ends.
    Hangs,
}

const PANICS: [Way; 2] = [Way::PanicsAtOnce, Way::PanicsLater];

struct Broken {
    way: Way,
    good: usize,
    asked: AtomicUsize,
}

impl Broken {
    fn after(good: usize, way: Way) -> Arc<Self> {
        let asked = AtomicUsize::new(0);
        Arc::new(Self { way, good, asked })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Lookup for Broken {
    fn lookup<'a>(&'a self, _: &'a str) -> LookupFuture<'a> {
        let good = self.asked.fetch_add(1, Ordering::Relaxed) < self.good;
        assert!(good || self.way != Way::PanicsAtOnce, "a broken lookup");
        Box::pin(async move {
            tokio::time::sleep(S).await;
            match self.way {
                _ if good => Ok(answer(&[1], 60)),
                Way::Hangs => std::future::pending().await,
                Way::PanicsAtOnce | Way::PanicsLater => panic!("a broken lookup"),
            }
        })
    }
}

/// Nobody holds the lookup and no task is left, once the resolver is gone.
async fn assert_gone(resolver: Resolver, lookup: &Arc<Broken>) {
    drop(resolver);
    tokio::time::sleep(60 * S).await;
    let runtime = tokio::runtime::Handle::current();
    let left = (
        Arc::strong_count(lookup),
        runtime.metrics().num_alive_tasks(),
    );
    assert_eq!(left, (1, 0), "{:?}", lookup.way);
}

fn resolver(lookup: &Arc<Broken>) -> Resolver {
    let builder = Resolver::builder().lookup(Arc::clone(lookup));
    builder.build().unwrap()
}

/// All who wait get an error, a second later it is asked again, and nothing is left behind.
#[tokio::test(start_paused = true)]
async fn a_panic_with_or_without_a_future_frees_all_waiters() {
    for way in PANICS {
        let lookup = Broken::after(0, way);
        let resolver = resolver(&lookup);
        for asked in 1..=2 {
            let waiters = (0..10).map(|_| resolver.resolve("a.test"));
            for error in futures_util::future::join_all(waiters).await {
                let error = error.unwrap_err().to_string();
                assert!(error.starts_with("a.test: the lookup panicked"), "{error}");
            }
            assert_eq!(lookup.asked(), asked, "{way:?}");
            advance(S).await;
        }
        assert_gone(resolver, &lookup).await;
    }
}

/// A stale answer is served as soon as the lookup has panicked, and so to whoever comes next.
#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_served_when_the_lookup_panics() {
    for way in PANICS {
        let lookup = Broken::after(1, way);
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
        assert!(Instant::now() - begun <= S, "{way:?}");
        assert_eq!(stale().await.addrs(), [ip(1)]);
        assert_eq!(lookup.asked(), 2, "{way:?}: not asked again at once");
        assert_gone(resolver, &lookup).await;
    }
}

/// A lookup ahead of the end that panics disturbs nobody.
#[tokio::test(start_paused = true)]
async fn a_panic_behind_the_callers_back_is_not_seen() {
    for way in PANICS {
        let lookup = Broken::after(1, way);
        let resolver = resolver(&lookup);
        sorted(&resolver, "a.test").await;
        for second in 1..120 {
            let begun = Instant::now();
            assert_eq!(sorted(&resolver, "a.test").await, [ip(1)]);
            assert_eq!(Instant::now(), begun, "{way:?}: at {second} s");
            tokio::time::sleep(S).await;
        }
        assert!(lookup.asked() > 2, "{way:?}: and it is tried again");
        assert_gone(resolver, &lookup).await;
    }
}

/// Those who come while it hangs join it; each waits no longer than the lookup has left.
#[tokio::test(start_paused = true)]
async fn a_lookup_that_hangs_is_joined_until_its_time_is_up() {
    let lookup = Broken::after(0, Way::Hangs);
    let resolver = resolver(&lookup);
    let begun = Instant::now();
    let waiters = (0..5).map(|second| {
        let resolver = resolver.clone();
        async move {
            tokio::time::sleep(second * S).await;
            let error = resolver.resolve("a.test").await.unwrap_err();
            assert!(error.is_timeout());
            assert_eq!(Instant::now() - begun, 5 * S);
        }
    });
    futures_util::future::join_all(waiters).await;
    assert_eq!(lookup.asked(), 1);
    assert_gone(resolver, &lookup).await;
}

/// While an answer is known the lookup keeps its callers until 1.8 s after it was sent, and later
/// ones not at all; and they are no storm.
#[tokio::test(start_paused = true)]
async fn while_a_lookup_hangs_the_stale_answer_is_served() {
    let lookup = Broken::after(1, Way::Hangs);
    let resolver = resolver(&lookup);
    sorted(&resolver, "a.test").await;
    advance(60 * S).await;
    for kept in [1_800, 0] {
        let begun = Instant::now();
        assert_eq!(sorted(&resolver, "a.test").await, [ip(1)]);
        assert_eq!(Instant::now() - begun, kept * MS);
    }
    assert_eq!(lookup.asked(), 2);
    assert_gone(resolver, &lookup).await;
}
