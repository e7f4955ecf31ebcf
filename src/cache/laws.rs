//! Laws that the entry of a host keeps in any sequence of events.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use tokio::runtime::{Builder, Id};

use super::answer::{CachedAnswer, FreshAddresses, Generation};
use super::entry::{HostEntry, ServePlan};
use super::lookups::{CompletedLookup, InFlightLookup, LookupSender};
use crate::addrs::AddressSet;
use crate::error::ResolveError;
use crate::events::LookupReason;
use crate::time;

const S: Duration = Duration::from_secs(1);
/// Shorter than the default, so that the tests reach the end of an answer.
const SERVE_STALE: Duration = Duration::from_secs(300);

/// The ids of two runtimes.
static RUNTIMES: LazyLock<[Id; 2]> = LazyLock::new(|| {
    let build = || Builder::new_current_thread().build().unwrap();
    [build(), build()].map(|runtime| runtime.handle().id())
});

#[derive(Clone, Debug)]
enum Happens {
    /// A lookup is sent from one of the runtimes, if none is in flight there.
    Sent(usize),
    /// One of the lookups in flight completes.
    Landed(Index, Ending),
    /// One of the lookups in flight is lost.
    Lost(Index),
    InvalidatedByHand,
    /// A connect to an address of one of the answers so far fails.
    ConnectFailed(Index),
    Passes(Duration),
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Answer(u8),
    Failed,
    NoSuchName,
}

fn happens() -> impl Strategy<Value = Happens> {
    let ending = prop_oneof![
        (1..5_u8).prop_map(Ending::Answer),
        Just(Ending::Failed),
        Just(Ending::NoSuchName),
    ];
    prop_oneof![
        3 => (0..2_usize).prop_map(Happens::Sent),
        3 => (any::<Index>(), ending).prop_map(|(which, ending)| Happens::Landed(which, ending)),
        1 => any::<Index>().prop_map(Happens::Lost),
        1 => Just(Happens::InvalidatedByHand),
        2 => any::<Index>().prop_map(Happens::ConnectFailed),
        2 => any_time().prop_map(Happens::Passes),
    ]
}

fn any_time() -> impl Strategy<Value = Duration> {
    prop_oneof![0..2_000_u64, 0..400_000_u64].prop_map(Duration::from_millis)
}

/// An entry, its lookups in flight, and all answers so far.
struct Life {
    slot: HostEntry,
    now: Instant,
    in_the_air: Vec<(LookupSender, InFlightLookup, Instant)>,
    answers: Vec<Arc<CachedAnswer>>,
}

impl Life {
    fn after(events: &[Happens]) -> Self {
        let mut life = Self {
            slot: HostEntry::default(),
            now: time::now(),
            in_the_air: Vec::new(),
            answers: Vec::new(),
        };
        events.iter().for_each(|event| life.take(event));
        life
    }

    fn take(&mut self, event: &Happens) {
        // No two events have the same time.
        self.now += Duration::from_millis(1);
        match event {
            Happens::Sent(runtime) => self.send(RUNTIMES[*runtime]),
            Happens::Landed(which, ending) => self.complete(which, *ending),
            Happens::Lost(which) => {
                if let Some((_, in_flight, _)) = self.pick(which) {
                    self.slot.remove(&in_flight);
                }
            }
            Happens::InvalidatedByHand => self.slot.invalidate_explicitly(),
            Happens::ConnectFailed(which) => {
                if let Some(seen) = self.seen(which) {
                    let _ = self.slot.invalidate(seen);
                }
            }
            Happens::Passes(time) => self.now += *time,
        }
    }

    fn send(&mut self, runtime: Id) {
        let (sender, in_flight) = InFlightLookup::new(runtime, self.now);
        let cause = if self.slot.is_suspect() {
            LookupReason::ConnectFailed
        } else {
            LookupReason::Miss
        };
        if self
            .slot
            .join_or_start(&in_flight, cause, self.now)
            .is_none()
        {
            self.in_the_air.push((sender, in_flight, self.now));
        }
    }

    fn complete(&mut self, which: &Index, ending: Ending) {
        let Some((_sender, in_flight, asked_at)) = self.pick(which) else {
            return;
        };
        let outcome = match ending {
            Ending::Answer(last) => Ok(FreshAddresses {
                is_partial: false,
                addrs: AddressSet::new([IpAddr::from([192, 0, 2, last])]),
                life: 60 * S,
                refresh_after: 50 * S,
            }),
            Ending::Failed => Err(ResolveError::failed("a.test", "SERVFAIL")),
            Ending::NoSuchName => Err(ResolveError::not_found("a.test")),
        };
        let completed = CompletedLookup {
            asked_at,
            outcome,
            share: 0.85,
            max_stale: Duration::ZERO,
            fallbacks_for: None,
        };
        let landed = self.slot.complete(&in_flight, &completed, self.now);
        self.answers.extend(landed.and_then(Result::ok));
    }

    fn pick(&mut self, which: &Index) -> Option<(LookupSender, InFlightLookup, Instant)> {
        let some = self.in_the_air.len();
        (some > 0).then(|| self.in_the_air.remove(which.index(some)))
    }

    /// Returns the generation of one of the answers so far.
    fn seen(&self, which: &Index) -> Option<Generation> {
        let some = self.answers.len();
        (some > 0).then(|| self.answers[which.index(some)].generation)
    }

    fn plan(&self, health_left: bool) -> ServePlan {
        self.slot.plan(self.now, SERVE_STALE, |_| health_left)
    }

    /// Returns the answer, whether the answer is suspect, and how callers would be served.
    fn looks(&self) -> (Option<*const CachedAnswer>, bool, [String; 2]) {
        let known = self.slot.answer().map(Arc::as_ptr);
        let plans = [true, false].map(|health_left| format!("{:?}", self.plan(health_left)));
        (known, self.slot.is_suspect(), plans)
    }

    /// Returns how far the answer has aged, from 0 to 4.
    ///
    /// 0 stands for an answer that is served at once, and 4 for a caller that waits without an answer.
    fn age(&self, health_left: bool) -> u8 {
        let servable = self.slot.servable(self.now, SERVE_STALE).is_some();
        match (servable, self.plan(health_left)) {
            (true, ServePlan::Serve) => 0,
            (true, ServePlan::ServeAndRefresh(_)) => 1,
            (true, ServePlan::Wait(_)) => 2,
            (false, ServePlan::Fail(_)) => 3,
            (false, ServePlan::Wait(_)) => 4,
            (servable, plan) => panic!("servable: {servable}, and yet {plan:?}"),
        }
    }
}

fn any_events() -> impl Strategy<Value = Vec<Happens>> {
    prop::collection::vec(happens(), 0..40)
}

proptest! {
    /// Time alone makes an answer expire, and never makes an answer fresher. The same holds while a failed lookup may
    /// not be repeated.
    #[test]
    fn freshness_never_improves_as_time_passes(
        events in any_events(),
        times in prop::collection::vec(any_time(), 1..10),
        health_left: bool,
    ) {
        let mut life = Life::after(&events);
        let mut ages = vec![life.age(health_left)];
        for time in times {
            life.now += time;
            ages.push(life.age(health_left));
        }
        prop_assert!(ages.is_sorted(), "{ages:?}");
        life.now += SERVE_STALE + 60 * S;
        prop_assert_eq!(life.age(health_left), 4, "everything ends");
    }

    /// A failed connect to an address of an older answer says nothing about the current answer.
    #[test]
    fn a_late_invalidation_marks_and_removes_nothing_newer(events in any_events(), which: Index) {
        let mut life = Life::after(&events);
        let Some(seen) = life.seen(&which) else {
            return Ok(());
        };
        let before = life.looks();
        let is_newer = life.slot.answer().is_none_or(|known| known.generation > seen);
        if is_newer || life.slot.is_suspect() {
            prop_assert!(!life.slot.invalidate(seen));
            prop_assert_eq!(life.looks(), before);
        } else {
            let known = life.slot.answer().cloned();
            prop_assert_eq!(life.slot.invalidate(seen), known.is_some_and(|k| k.generation == seen));
            prop_assert_eq!(life.looks().0, before.0, "it is the last resort");
        }
    }

    /// Only a negative answer removes an answer; a newer answer replaces it.
    #[test]
    fn an_answer_is_kept_until_a_newer_one_or_its_denial(events in any_events()) {
        let mut life = Life::after(&[]);
        for event in &events {
            let before = life.slot.answer().cloned();
            life.take(event);
            let Some(before) = before else { continue };
            match life.slot.answer() {
                Some(after) => prop_assert!(after.asked_at >= before.asked_at),
                None => prop_assert!(matches!(event, Happens::Landed(_, Ending::NoSuchName))),
            }
        }
    }
}
