//! One host, the threads that change its entry, and the rules that hold after each change.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};
use tokio::runtime::Id;

use crate::addrs::AddressSet;
use crate::cache::answer::{CachedAnswer, FreshAddresses};
use crate::cache::entry::{HostEntry, ServePlan};
use crate::cache::lookups::{CompletedLookup, InFlightLookup, LookupSender};
use crate::cache::store::Store;
use crate::error::ResolveError;
use crate::events::LookupReason;
use crate::host::{self, Host, Parsed};
use crate::time;

const S: Duration = Duration::from_secs(1);

/// How a lookup ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    Answer,
    Failure,
    NoSuchName,
    /// The runtime of the lookup is shut down.
    Lost,
}

/// One host, and a record of all changes to its entry.
pub(super) struct World {
    store: Store,
    host: Host,
    pub(super) runtimes: [Id; 2],
    begun: Instant,
    /// The ends of the next lookups. Later lookups return an answer.
    ends: Mutex<Vec<End>>,
    pilots: Mutex<Vec<JoinHandle<()>>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    ticks: u32,
    /// All lookups, and the ticks at which they were sent.
    lookups: Vec<(InFlightLookup, u32)>,
    /// The tick at which each lookup was sent, by the `asked_at` of its result.
    sent: HashMap<Instant, u32>,
    /// The `asked_at` of the newest stored answer, positive or negative.
    newest: Option<Instant>,
    invalidated: u32,
    /// The tick of the last explicit invalidation, until a lookup that was sent later has completed.
    by_hand: Option<u32>,
}

impl World {
    pub(super) fn new(runtimes: [Id; 2], ends: &[End]) -> Arc<Self> {
        let Ok(Parsed::Name(host)) = host::parse("a.test") else {
            unreachable!("it is a name");
        };
        let begun = time::now();
        let world = Self {
            store: Store::new(16),
            host,
            runtimes,
            begun,
            ends: Mutex::new(ends.to_vec()),
            pilots: Mutex::default(),
            seen: Mutex::default(),
        };
        Arc::new(world)
    }

    /// Changes the entry. Other threads may run before the change, and between its read and its swap.
    fn edit<T>(&self, mut change: impl FnMut(&mut HostEntry) -> T) -> T {
        step();
        self.store.edit(&self.host, |slot| {
            let result = change(slot);
            step();
            result
        })
    }

    fn read<T>(&self, look: impl FnOnce(&HostEntry) -> T) -> Option<T> {
        let look = |_: &Host, slot: &HostEntry| look(slot);
        self.store.read(self.host.as_str(), look)
    }

    /// Records a change, and checks the rules.
    fn note(&self, note: impl FnOnce(&mut Seen, u32)) -> u32 {
        let mut seen = self.seen.lock().unwrap();
        seen.ticks += 1;
        let tick = seen.ticks;
        note(&mut seen, tick);
        self.read(|slot| check(slot, &mut seen, self.begun));
        tick
    }

    /// Joins a lookup in flight, or sends a new lookup.
    pub(super) fn ask(self: &Arc<Self>, runtime: Id) -> InFlightLookup {
        step();
        let current = self.read(|slot| slot.joinable(runtime).cloned());
        if let Some(current) = current.flatten() {
            return self.joined(current);
        }
        let (sender, in_flight) = InFlightLookup::new(runtime, self.begun);
        let boarded =
            self.edit(|slot| slot.join_or_start(&in_flight, LookupReason::Miss, self.begun));
        if let Some(current) = boarded {
            return self.joined(current);
        }
        let sent = self.note(|seen, tick| seen.lookups.push((in_flight.clone(), tick)));
        let (world, flown) = (Arc::clone(self), in_flight.clone());
        let end = self.ends.lock().unwrap().pop().unwrap_or(End::Answer);
        let task = thread::spawn(move || world.fly(sender, &flown, sent, end));
        self.pilots.lock().unwrap().push(task);
        in_flight
    }

    fn joined(&self, current: InFlightLookup) -> InFlightLookup {
        let seen = self.seen.lock().unwrap();
        let sent = seen
            .lookups
            .iter()
            .find(|(in_flight, _)| in_flight.is(&current));
        // A lookup without a record has completed already: the entry had a result by then.
        let is_late = sent.is_none_or(|&(_, sent)| sent > seen.invalidated);
        assert!(
            is_late,
            "none is joined that was sent before an invalidation"
        );
        current
    }

    /// Runs a lookup that was sent at tick `sent`.
    fn fly(&self, sender: LookupSender, in_flight: &InFlightLookup, sent: u32, end: End) {
        step();
        let mut asked_at = self.begun;
        self.note(|seen, tick| {
            asked_at += Duration::from_millis(tick.into());
            seen.sent.insert(asked_at, sent);
        });
        let outcome = match end {
            End::Answer => Ok(FreshAddresses {
                is_partial: false,
                addrs: AddressSet::new([IpAddr::from([192, 0, 2, 1])]),
                life: 60 * S,
                refresh_after: 50 * S,
            }),
            End::Failure => Err(ResolveError::failed("a.test", "SERVFAIL")),
            End::NoSuchName => Err(ResolveError::not_found("a.test")),
            End::Lost => {
                self.edit(|slot| slot.remove(in_flight));
                self.note(|_, _| ());
                step();
                return drop(sender);
            }
        };
        let completed = CompletedLookup {
            asked_at,
            outcome,
            share: 0.85,
            max_stale: Duration::ZERO,
            fallbacks_for: None,
        };
        let landed = self.edit(|slot| slot.complete(in_flight, &completed, self.begun));
        let denied = self.read(|slot| {
            let plan = slot.plan(self.begun, 60 * S, |_| true);
            matches!(plan, ServePlan::Fail(error) if error.is_negative_answer())
        });
        self.note(|seen, _| {
            seen.by_hand = seen.by_hand.filter(|&by_hand| sent < by_hand);
            if end == End::NoSuchName && denied == Some(true) {
                seen.newest = seen.newest.max(Some(asked_at));
            }
        });
        step();
        sender.send_replace(landed);
        step();
    }

    /// Joins or sends lookups until one of them completes.
    pub(super) fn wait(self: &Arc<Self>, runtime: Id) -> Result<Arc<CachedAnswer>, ResolveError> {
        loop {
            let in_flight = self.ask(runtime);
            step();
            let Some(landed) = block_on(in_flight.clone().wait()) else {
                continue;
            };
            let landed_before = |slot: &HostEntry| !slot.lookups().iter().any(|f| f.is(&in_flight));
            assert_eq!(self.read(landed_before), Some(true), "stored, then woken");
            return landed;
        }
    }

    /// Returns the number of lookups that were sent.
    pub(super) fn sent(&self) -> usize {
        self.seen.lock().unwrap().lookups.len()
    }

    pub(super) fn invalidate_by_hand(&self) {
        self.edit(HostEntry::invalidate_explicitly);
        self.note(|seen, tick| {
            seen.invalidated = tick;
            seen.by_hand = Some(tick);
            // The invalidation removes a negative answer. Addresses are kept in case the lookup fails.
            seen.newest = None;
        });
    }

    /// Reports that a connect to an address of this answer has failed.
    pub(super) fn connect_failed(&self, known: &CachedAnswer) {
        let seen = known.generation;
        let (was_good, marked) = self.edit(|slot| {
            let is_it = slot.answer().is_some_and(|now| now.generation == seen);
            (is_it && !slot.is_suspect(), slot.invalidate(seen))
        });
        assert_eq!(marked, was_good, "marked once, and nothing newer");
        self.note(|seen, tick| {
            if marked {
                seen.invalidated = tick;
            }
        });
    }

    /// Waits for all lookups, and checks that the entry has none left.
    pub(super) fn end(&self) {
        while let Some(task) = { self.pilots.lock().unwrap().pop() } {
            task.join().unwrap();
        }
        self.note(|_, _| ());
        assert_eq!(
            self.read(|slot| slot.lookups().len()),
            Some(0),
            "all landed"
        );
    }
}

/// Lets shuttle choose the thread that runs next. `yield_now` would make shuttle prefer the other threads.
pub(super) fn step() {
    thread::sleep(Duration::ZERO);
}

fn check(slot: &HostEntry, seen: &mut Seen, now: Instant) {
    let mut kinds = Vec::new();
    for in_flight in slot
        .lookups()
        .iter()
        .filter(|in_flight| in_flight.is_in_flight())
    {
        let kind = (in_flight.runtime, in_flight.generation);
        assert!(!kinds.contains(&kind), "one of each kind");
        kinds.push(kind);
    }
    if let Some(known) = slot.answer() {
        assert!(seen.newest <= Some(known.asked_at), "none older returns");
        seen.newest = Some(known.asked_at);
        let in_time = seen.sent[&known.asked_at] > seen.invalidated;
        assert!(in_time || slot.is_suspect(), "marked until a later one");
    }
    if seen.by_hand.is_some() {
        let plan = slot.plan(now, 60 * S, |_| true);
        assert!(
            matches!(plan, ServePlan::Wait(LookupReason::Invalidated)),
            "{plan:?}"
        );
    }
}
