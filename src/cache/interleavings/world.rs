//! One host, those who change it, and what must hold after each change.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};
use tokio::runtime::Id;

use crate::cache::{Brought, Cause, Flight, Joined, Known, Landing, Origin, Plan, Slot, Store};
use crate::error::Error;
use crate::host::{self, Host, Parsed};
use crate::order::Addrs;
use crate::time;

const S: Duration = Duration::from_secs(1);

/// How a lookup ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    Answer,
    Failure,
    NoSuchName,
    /// Its runtime is shut down.
    Lost,
}

/// One host, and what has become of it.
pub(super) struct World {
    store: Store,
    host: Host,
    pub(super) runtimes: [Id; 2],
    begun: Instant,
    /// How the next lookups end; the others bring an answer.
    ends: Mutex<Vec<End>>,
    pilots: Mutex<Vec<JoinHandle<()>>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    ticks: u32,
    /// All lookups, and when they were sent.
    flights: Vec<(Flight, u32)>,
    /// When the lookup was sent that asked the name server at this time.
    sent: HashMap<Instant, u32>,
    /// When the newest answer was asked for that was taken, be it that there is no such name.
    newest: Option<Instant>,
    invalidated: u32,
    /// Invalidated by hand then, and no lookup sent later has landed.
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

    /// Changes the slot; others come in before, and between reading and swapping.
    fn edit<T>(&self, mut change: impl FnMut(&mut Slot) -> T) -> T {
        step();
        self.store.edit(&self.host, |slot| {
            let told = change(slot);
            step();
            told
        })
    }

    fn read<T>(&self, look: impl FnOnce(&Slot) -> T) -> Option<T> {
        let look = |_: &Host, slot: &Slot| look(slot);
        self.store.read(self.host.as_str(), look)
    }

    /// Notes at once what was changed, and checks what must hold.
    fn note(&self, note: impl FnOnce(&mut Seen, u32)) -> u32 {
        let mut seen = self.seen.lock().unwrap();
        seen.ticks += 1;
        let tick = seen.ticks;
        note(&mut seen, tick);
        self.read(|slot| check(slot, &mut seen, self.begun));
        tick
    }

    /// Joins a lookup or sends one.
    pub(super) fn ask(self: &Arc<Self>, runtime: Id) -> Flight {
        step();
        let current = self.read(|slot| slot.boardable(runtime).cloned());
        if let Some(current) = current.flatten() {
            return self.joined(current);
        }
        let (land, flight) = Flight::new(runtime, self.begun);
        let boarded = self.edit(|slot| slot.board(&flight, Cause::Unknown, self.begun));
        if let Some(current) = boarded {
            return self.joined(current);
        }
        let sent = self.note(|seen, tick| seen.flights.push((flight.clone(), tick)));
        let (world, flown) = (Arc::clone(self), flight.clone());
        let end = self.ends.lock().unwrap().pop().unwrap_or(End::Answer);
        let pilot = thread::spawn(move || world.fly(land, &flown, sent, end));
        self.pilots.lock().unwrap().push(pilot);
        flight
    }

    fn joined(&self, current: Flight) -> Flight {
        let seen = self.seen.lock().unwrap();
        let sent = seen.flights.iter().find(|(flight, _)| flight.is(&current));
        // One that is not noted is over: the slot had a good answer by then.
        let is_late = sent.is_none_or(|&(_, sent)| sent > seen.invalidated);
        assert!(
            is_late,
            "none is joined that was sent before an invalidation"
        );
        current
    }

    /// Flies a lookup that was sent then.
    fn fly(&self, land: Joined, flight: &Flight, sent: u32, end: End) {
        step();
        let mut asked_at = self.begun;
        self.note(|seen, tick| {
            asked_at += Duration::from_millis(tick.into());
            seen.sent.insert(asked_at, sent);
        });
        let outcome = match end {
            End::Answer => Ok(Brought {
                origin: Origin::Lookup,
                is_partial: false,
                addrs: Addrs::new([IpAddr::from([192, 0, 2, 1])]),
                life: 60 * S,
                refresh_after: 50 * S,
            }),
            End::Failure => Err(Error::failed("a.test", "SERVFAIL")),
            End::NoSuchName => Err(Error::not_found("a.test")),
            End::Lost => {
                self.edit(|slot| slot.remove(flight));
                self.note(|_, _| ());
                step();
                return drop(land);
            }
        };
        let landing = Landing {
            asked_at,
            outcome,
            share: 0.85,
            serve_stale: Duration::ZERO,
            fallback: None,
        };
        let landed = self.edit(|slot| slot.land(flight, &landing, self.begun));
        let denied = self.read(|slot| {
            let plan = slot.plan(self.begun, 60 * S, |_| true);
            matches!(plan, Plan::Fail(error) if error.is_negative_answer())
        });
        self.note(|seen, _| {
            seen.by_hand = seen.by_hand.filter(|&by_hand| sent < by_hand);
            if end == End::NoSuchName && denied == Some(true) {
                seen.newest = seen.newest.max(Some(asked_at));
            }
        });
        step();
        land.send_replace(landed);
        step();
    }

    /// Asks until a lookup lands.
    pub(super) fn wait(self: &Arc<Self>, runtime: Id) -> Result<Arc<Known>, Error> {
        loop {
            let flight = self.ask(runtime);
            step();
            let Some(landed) = block_on(flight.clone().landed()) else {
                continue;
            };
            let landed_before = |slot: &Slot| !slot.flights().iter().any(|f| f.is(&flight));
            assert_eq!(self.read(landed_before), Some(true), "stored, then woken");
            return landed;
        }
    }

    /// How many lookups were sent.
    pub(super) fn sent(&self) -> usize {
        self.seen.lock().unwrap().flights.len()
    }

    pub(super) fn invalidate_by_hand(&self) {
        self.edit(Slot::invalidate_by_hand);
        self.note(|seen, tick| {
            seen.invalidated = tick;
            seen.by_hand = Some(tick);
            // That there is no such name is forgotten; an answer is kept in case the lookup fails.
            seen.newest = None;
        });
    }

    /// A connect to an address of this answer has failed.
    pub(super) fn connect_failed(&self, known: &Known) {
        let seen = known.generation;
        let (was_good, marked) = self.edit(|slot| {
            let is_it = slot.known().is_some_and(|now| now.generation == seen);
            (is_it && !slot.is_suspect(), slot.invalidate(seen))
        });
        assert_eq!(marked, was_good, "marked once, and nothing newer");
        self.note(|seen, tick| {
            if marked {
                seen.invalidated = tick;
            }
        });
    }

    /// All who play have played.
    pub(super) fn end(&self) {
        while let Some(pilot) = { self.pilots.lock().unwrap().pop() } {
            pilot.join().unwrap();
        }
        self.note(|_, _| ());
        assert_eq!(
            self.read(|slot| slot.flights().len()),
            Some(0),
            "all landed"
        );
    }
}

/// Anybody may go on here. Not `yield_now`, which asks that the others be preferred.
pub(super) fn step() {
    thread::sleep(Duration::ZERO);
}

fn check(slot: &Slot, seen: &mut Seen, now: Instant) {
    let mut kinds = Vec::new();
    for flight in slot
        .flights()
        .iter()
        .filter(|flight| flight.is_in_the_air())
    {
        let kind = (flight.runtime, flight.generation);
        assert!(!kinds.contains(&kind), "one of each kind");
        kinds.push(kind);
    }
    if let Some(known) = slot.known() {
        assert!(seen.newest <= Some(known.asked_at), "none older returns");
        seen.newest = Some(known.asked_at);
        let in_time = seen.sent[&known.asked_at] > seen.invalidated;
        assert!(in_time || slot.is_suspect(), "marked until a later one");
    }
    if seen.by_hand.is_some() {
        let plan = slot.plan(now, 60 * S, |_| true);
        assert!(matches!(plan, Plan::Ask(Cause::Invalidated)), "{plan:?}");
    }
}
