//! All hosts: reads take no lock and write nothing that threads share.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use foldhash::quality::RandomState;
use papaya::{HashMap, Operation, ResizeMode};

use super::slot::Slot;
use crate::host::Host;

/// `Host → Slot`, bounded; the least recently asked go first.
///
/// A slot is never changed in place: an edit makes a new one and swaps it in, and starts over
/// when another thread was faster.
#[derive(Debug)]
pub(crate) struct Store {
    slots: HashMap<Host, Held, RandomState>,
    capacity: usize,
    evicting: AtomicBool,
    /// From so many hosts on room is made: more than the capacity while lookups are in the air.
    crowded: AtomicUsize,
}

#[derive(Debug)]
struct Held {
    slot: Slot,
    /// Sweeps since it was last asked for. One sweep comes for each sixteenth of the capacity that
    /// is new, so that under a flood of names the order is finer than any clock's.
    age: AtomicU8,
}

/// An answer that was asked for more than once counts as so many sweeps younger: names that a
/// flood asks once leave before it.
const ASKED_AGAIN: u8 = 8;

impl Store {
    pub(crate) fn new(capacity: usize) -> Self {
        let slots = HashMap::builder()
            .hasher(RandomState::default())
            // papaya 0.2.5 moves nothing on in `compute` when it grows bit by bit: reads then
            // search the old tables too, ten times slower at 10 000 hosts.
            .resize_mode(ResizeMode::Blocking)
            .build();
        Self {
            slots,
            capacity,
            evicting: AtomicBool::new(false),
            crowded: AtomicUsize::new(capacity),
        }
    }

    /// Looks at a host as it is now, for somebody who asks for it.
    pub(crate) fn read<T>(&self, host: &str, look: impl FnOnce(&Host, &Slot) -> T) -> Option<T> {
        let slots = self.slots.pin();
        let (host, held) = slots.get_key_value(host)?;
        // Read before written: a write at each read would be shared by all threads.
        if held.age.load(Ordering::Relaxed) != 0 {
            held.age.store(0, Ordering::Relaxed);
        }
        Some(look(host, &held.slot))
    }

    /// Looks at a host for nobody.
    pub(crate) fn peek<T>(&self, host: &str, look: impl FnOnce(&Slot) -> T) -> Option<T> {
        self.slots.pin().get(host).map(|held| look(&held.slot))
    }

    /// Changes a host, which is made if it is not there. `change` may run more than once.
    pub(crate) fn edit<T>(&self, host: &Host, mut change: impl FnMut(&mut Slot) -> T) -> T {
        let mut told = None;
        self.slots.pin().compute(host.clone(), |held| {
            // One that is new was not asked for again: it is as old as one sweep.
            let new = || (Slot::default(), AtomicU8::new(1));
            let (mut slot, age) = held.map_or_else(new, |(_, held)| held.taken());
            told = Some(change(&mut slot));
            Operation::<Held, ()>::Insert(Held { slot, age })
        });
        told.expect("the change has run before its slot was swapped in")
    }

    /// Changes a host only if it is there.
    pub(crate) fn edit_present<T>(
        &self,
        host: &str,
        mut change: impl FnMut(&mut Slot) -> T,
    ) -> Option<T> {
        let slots = self.slots.pin();
        let host = slots.get_key_value(host)?.0.clone();
        let mut told = None;
        slots.compute(host, |held| match held {
            None => {
                told = None;
                Operation::Abort(())
            }
            Some((_, held)) => {
                let (mut slot, age) = held.taken();
                told = Some(change(&mut slot));
                Operation::Insert(Held { slot, age })
            }
        });
        told
    }

    pub(crate) fn for_each(&self, mut look: impl FnMut(&Host, &Slot)) {
        for (host, held) in &self.slots.pin() {
            look(host, &held.slot);
        }
    }

    /// Whether a host is such. Reads every host.
    pub(crate) fn any(&self, mut is: impl FnMut(&Slot) -> bool) -> bool {
        self.slots.pin().iter().any(|(_, held)| is(&held.slot))
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// A lookup has landed: what could not go while it was in the air may go now.
    pub(crate) fn landed(&self) {
        let fewer = |crowded: usize| (crowded > self.capacity).then(|| crowded - 1);
        let _ = self
            .crowded
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
    }

    /// Forgets all hosts.
    pub(crate) fn clear(&self) {
        self.slots.pin().clear();
    }

    /// Keeps the store within its capacity. `spare` tells of which hosts something is known that
    /// a lookup would not bring back: they leave after the others that are idle.
    ///
    /// Drops a sixteenth more than is over, so that the scan is paid for by many inserts. One
    /// thread at a time. A host with a lookup in the air stays, or its waiters would ask twice.
    pub(crate) fn make_room(&self, spare: impl Fn(&Host) -> bool) {
        let crowded = self.slots.len() > self.crowded.load(Ordering::Relaxed);
        if !crowded || self.evicting.swap(true, Ordering::Acquire) {
            return;
        }
        let slots = self.slots.pin();
        let mut idle: Vec<_> = slots
            .iter()
            .filter(|(_, held)| !held.slot.is_in_use())
            .map(|(host, held)| {
                let (is_idle, age) = held.grow_older();
                ((is_idle, is_idle && !spare(host), age), host)
            })
            .collect();
        let over = self.slots.len().saturating_sub(self.capacity);
        let leave = (over + self.capacity / 16).min(idle.len());
        if leave > 0 {
            idle.select_nth_unstable_by(leave - 1, |(one, _), (other, _)| other.cmp(one));
        }
        for (_, host) in &idle[..leave] {
            slots.remove(*host);
        }
        // What could not go is not looked through again for each new host.
        let left = self.slots.len().saturating_sub(self.capacity);
        let crowded = self.capacity + left + left.min(self.capacity / 16);
        self.crowded.store(crowded, Ordering::Relaxed);
        self.evicting.store(false, Ordering::Release);
    }
}

impl Held {
    /// A copy to change. Nobody asked for it.
    fn taken(&self) -> (Slot, AtomicU8) {
        let age = self.age.load(Ordering::Relaxed);
        (self.slot.clone(), AtomicU8::new(age))
    }

    /// Returns whether nobody asked for it since the last sweep, and how old it is. A host that is
    /// asked for meanwhile may miss one; the order is not that fine.
    fn grow_older(&self) -> (bool, u8) {
        let age = self.age.load(Ordering::Relaxed);
        self.age.store(age.saturating_add(1), Ordering::Relaxed);
        let younger = if self.slot.was_asked_again() {
            ASKED_AGAIN
        } else {
            0
        };
        (age > 0, age.saturating_sub(younger))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Cause, Flight};
    use crate::host::{self, Parsed};
    use crate::time;

    fn host(text: &str) -> Host {
        match host::parse(text) {
            Ok(Parsed::Name(host)) => host,
            other => panic!("{other:?}"),
        }
    }

    fn add(store: &Store, name: &str) {
        store.edit(&host(name), |_| ());
        store.make_room(|host| host.as_str().starts_with("bad"));
    }

    fn has(store: &Store, name: &str) -> bool {
        store.peek(name, |_| ()).is_some()
    }

    #[test]
    fn the_least_recently_asked_hosts_leave_first() {
        let store = Store::new(100);
        for n in 0..100 {
            add(&store, &format!("h{n}.test"));
        }
        assert!(store.read("h7.test", |_, _| ()).is_some());
        for n in 0..1_000 {
            assert!(
                store.read("h7.test", |_, _| ()).is_some(),
                "it is asked for"
            );
            add(&store, &format!("new{n}.test"));
            assert!(store.len() <= 100);
        }
        assert!(has(&store, "new999.test"));
        assert!(!has(&store, "h8.test"));
    }

    /// What is held against a host's addresses is not known to a name server.
    #[test]
    fn a_host_with_penalties_leaves_after_idle_ones() {
        let store = Store::new(100);
        add(&store, "bad.test");
        for n in 0..10_000 {
            add(&store, &format!("h{n}.test"));
        }
        assert!(has(&store, "bad.test"));
        for n in 0..10_000 {
            add(&store, &format!("bad{n}.test"));
            assert!(store.len() <= 100, "but memory stays bounded");
        }
    }

    #[test]
    fn memory_stays_bounded_whatever_names_are_asked() {
        let store = Store::new(16);
        for n in 0..10_000 {
            add(&store, &format!("h{n}.attacker.test"));
        }
        assert!(store.len() <= 16);
    }

    /// A host that is being looked up stays, or its waiters would ask twice.
    #[test]
    fn a_host_with_a_lookup_in_the_air_stays() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (_land, flight) = Flight::new(runtime.handle().id(), time::now());
        let store = Store::new(16);
        store.edit(&host("asked.test"), |slot| {
            slot.board(&flight, Cause::Unknown, time::now()).is_none()
        });
        for n in 0..1_000 {
            add(&store, &format!("h{n}.test"));
        }
        assert!(has(&store, "asked.test"));
    }

    #[test]
    fn a_host_that_is_not_there_is_not_made_by_a_report() {
        let store = Store::new(16);
        assert!(store.edit_present("absent.test", |_| ()).is_none());
        assert_eq!(store.len(), 0);
    }
}
