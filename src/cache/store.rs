//! The cache entries of all hosts. Reads take no lock and seldom write to shared memory.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering};

use super::entry::HostEntry;
use crate::bounded::{Age, Bounded, Edit, IDLE};
use crate::host::Host;

/// A bounded map from hosts to their entries.
///
/// If the store is full, the hosts that were resolved longest ago are removed first. An edit never changes an entry in
/// place: the edit makes a new entry, swaps the new entry in, and starts over if another thread was faster.
#[derive(Debug)]
pub(crate) struct Store {
    hosts: Bounded<Host, HostEntry>,
    /// Number of hosts that were added so far.
    added: AtomicU64,
}

/// Sweeps by which a host counts as younger if callers resolved it more than once.
///
/// Hosts that a flood of names resolves once are therefore removed before such a host.
const ASKED_AGAIN: Age = 8;

impl Store {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            hosts: Bounded::new(capacity),
            added: AtomicU64::new(0),
        }
    }

    /// Calls `look` with the entry of a host for a caller, and resets the age of the host.
    #[inline]
    pub(crate) fn read<T>(
        &self,
        host: &str,
        look: impl FnOnce(&Host, &HostEntry) -> T,
    ) -> Option<T> {
        self.hosts.read(host, look)
    }

    /// Calls `look` with the entry of a host for the resolver's own use; the age of the host stays.
    pub(crate) fn peek<T>(&self, host: &str, look: impl FnOnce(&HostEntry) -> T) -> Option<T> {
        self.hosts
            .peek(host, |found| found.map(|(_, slot)| look(slot)))
    }

    /// Changes the entry of a host, and creates the entry if there is none.
    ///
    /// `change` may run more than once.
    pub(crate) fn edit<T>(&self, host: &Host, mut change: impl FnMut(&mut HostEntry) -> T) -> T {
        self.hosts.edit(host, |slot| {
            let add = || HostEntry::added(self.added.fetch_add(1, Ordering::Relaxed));
            let mut slot = slot.cloned().unwrap_or_else(add);
            let result = change(&mut slot);
            (Edit::Put(slot), result)
        })
    }

    /// Changes the entry of a host only if there is one.
    pub(crate) fn edit_present<T>(
        &self,
        host: &Host,
        mut change: impl FnMut(&mut HostEntry) -> T,
    ) -> Option<T> {
        self.hosts.edit(host, |slot| match slot.cloned() {
            None => (Edit::Keep, None),
            Some(mut slot) => {
                let result = change(&mut slot);
                (Edit::Put(slot), Some(result))
            }
        })
    }

    pub(crate) fn for_each(&self, look: impl FnMut(&Host, &HostEntry)) {
        self.hosts.for_each(look);
    }

    pub(crate) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Removes all hosts.
    pub(crate) fn clear(&self) {
        self.hosts.clear();
    }

    /// Removes hosts if the store exceeds its capacity, after `host` was added or its lookup ended.
    ///
    /// `spare` returns true for hosts with knowledge that a lookup would not restore. Such hosts are removed after the
    /// other idle hosts. A host with a lookup in flight stays, because its waiters would otherwise start another
    /// lookup.
    pub(crate) fn make_room(&self, host: &Host, spare: impl Fn(&Host) -> bool) {
        self.hosts.make_room(host, |host, slot, age| {
            let is_idle = age >= IDLE;
            let younger = if slot.was_used_again() {
                ASKED_AGAIN
            } else {
                0
            };
            let age = Reverse(age.saturating_sub(younger));
            (!slot.is_in_use()).then(|| (!is_idle, is_idle && spare(host), age))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::lookups::InFlightLookup;
    use crate::events::LookupReason;
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
        store.make_room(&host(name), |host| host.as_str().starts_with("bad"));
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

    /// A lookup does not restore penalties.
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

    /// A host with a lookup in flight stays, because its waiters would otherwise start another lookup.
    #[test]
    fn a_host_with_a_lookup_in_flight_stays() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (_sender, in_flight) = InFlightLookup::new(runtime.handle().id(), time::now());
        let store = Store::new(16);
        store.edit(&host("asked.test"), |slot| {
            slot.join_or_start(&in_flight, LookupReason::Miss, time::now())
                .is_none()
        });
        for n in 0..1_000 {
            add(&store, &format!("h{n}.test"));
        }
        assert!(has(&store, "asked.test"));
    }

    #[test]
    fn a_host_that_is_not_there_is_not_made_by_a_report() {
        let store = Store::new(16);
        assert!(store.edit_present(&host("absent.test"), |_| ()).is_none());
        assert_eq!(store.len(), 0);
    }
}
