//! All hosts: reads take no lock and write nothing that threads share.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Instant;

use foldhash::quality::RandomState;
use papaya::{Compute, HashMap, Operation};

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
    epoch: Instant,
    evicting: AtomicBool,
    /// From so many hosts on room is made: more than the capacity while lookups are in the air.
    crowded: AtomicUsize,
}

#[derive(Debug)]
struct Held {
    slot: Slot,
    asked: AtomicU32,
}

impl Store {
    pub(crate) fn new(capacity: usize, now: Instant) -> Self {
        let slots = HashMap::with_hasher(RandomState::default());
        Self {
            slots,
            capacity,
            epoch: now,
            evicting: AtomicBool::new(false),
            crowded: AtomicUsize::new(capacity),
        }
    }

    /// Looks at a host as it is now and notes that it was asked for.
    pub(crate) fn read<T>(
        &self,
        host: &str,
        now: Instant,
        look: impl FnOnce(&Host, &Slot) -> T,
    ) -> Option<T> {
        let slots = self.slots.pin();
        let (host, held) = slots.get_key_value(host)?;
        let second = self.second(now);
        // Written once a second at most: a write at each read would be shared by all threads.
        if held.asked.load(Ordering::Relaxed) != second {
            held.asked.store(second, Ordering::Relaxed);
        }
        Some(look(host, &held.slot))
    }

    /// Changes a host, which is made if it is not there. `change` may run more than once.
    pub(crate) fn edit<T>(
        &self,
        host: &Host,
        now: Instant,
        mut change: impl FnMut(&mut Slot) -> T,
    ) -> T {
        let mut told = None;
        let grew = {
            let slots = self.slots.pin();
            let done = slots.compute(host.clone(), |held| {
                let mut slot = held.map(|(_, held)| held.slot.clone()).unwrap_or_default();
                told = Some(change(&mut slot));
                let asked = AtomicU32::new(self.second(now));
                Operation::<Held, ()>::Insert(Held { slot, asked })
            });
            matches!(done, Compute::Inserted(..))
        };
        if grew {
            self.evict();
        }
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
                let mut slot = held.slot.clone();
                told = Some(change(&mut slot));
                let asked = AtomicU32::new(held.asked.load(Ordering::Relaxed));
                Operation::Insert(Held { slot, asked })
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

    /// Drops a sixteenth more than is over, so that the scan is paid for by many inserts. One
    /// thread at a time. A host with a lookup in the air stays, or its waiters would ask twice.
    fn evict(&self) {
        let crowded = self.slots.len() > self.crowded.load(Ordering::Relaxed);
        if !crowded || self.evicting.swap(true, Ordering::Acquire) {
            return;
        }
        let slots = self.slots.pin();
        let mut idle: Vec<(u32, &Host)> = slots
            .iter()
            .filter(|(_, held)| !held.slot.is_in_use())
            .map(|(host, held)| (held.asked.load(Ordering::Relaxed), host))
            .collect();
        let over = self.slots.len().saturating_sub(self.capacity);
        let drop = (over + self.capacity / 16).min(idle.len());
        if drop > 0 {
            idle.select_nth_unstable(drop - 1);
        }
        for (_, host) in &idle[..drop] {
            slots.remove(*host);
        }
        // What could not go is not looked through again for each new host.
        let left = self.slots.len().saturating_sub(self.capacity);
        let crowded = self.capacity + left + left.min(self.capacity / 16);
        self.crowded.store(crowded, Ordering::Relaxed);
        self.evicting.store(false, Ordering::Release);
    }

    /// Whole seconds since the store was made.
    fn second(&self, now: Instant) -> u32 {
        let seconds = now.saturating_duration_since(self.epoch).as_secs();
        seconds.try_into().unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Cause, Flight};
    use crate::host::{self, Parsed};
    use crate::time;
    use std::time::Duration;

    fn host(text: &str) -> Host {
        match host::parse(text) {
            Ok(Parsed::Name(host)) => host,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_least_recently_asked_hosts_leave_first() {
        let now = time::now();
        let store = Store::new(100, now);
        for n in 0..100 {
            store.edit(&host(&format!("h{n}.test")), now, |_| ());
        }
        let later = now + Duration::from_secs(5);
        assert!(store.read("h7.test", later, |_, _| ()).is_some());
        for n in 0..50 {
            store.edit(&host(&format!("new{n}.test")), later, |_| ());
            assert!(store.len() <= 100);
        }
        assert!(
            store.read("h7.test", later, |_, _| ()).is_some(),
            "it was asked for"
        );
        assert!(store.read("new49.test", later, |_, _| ()).is_some());
    }

    #[test]
    fn memory_stays_bounded_whatever_names_are_asked() {
        let now = time::now();
        let store = Store::new(16, now);
        for n in 0..10_000 {
            store.edit(&host(&format!("h{n}.attacker.test")), now, |_| ());
        }
        assert!(store.len() <= 16);
    }

    /// A host that is being looked up stays, or its waiters would ask twice.
    #[test]
    fn a_host_with_a_lookup_in_the_air_stays() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (_land, flight) = Flight::new(runtime.handle().id());
        let now = time::now();
        let store = Store::new(16, now);
        store.edit(&host("asked.test"), now, |slot| {
            slot.board(&flight, Cause::Unknown, now).is_none()
        });
        let later = now + Duration::from_secs(5);
        for n in 0..100 {
            store.edit(&host(&format!("h{n}.test")), later, |_| ());
        }
        assert!(store.read("asked.test", later, |_, _| ()).is_some());
    }

    #[test]
    fn a_host_that_is_not_there_is_not_made_by_a_report() {
        let store = Store::new(16, time::now());
        assert!(store.edit_present("absent.test", |_| ()).is_none());
        assert_eq!(store.len(), 0);
    }
}
