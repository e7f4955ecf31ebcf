//! A concurrent map of bounded size, which is read without a lock.
//!
//! A full map removes entries of low worth first; see [`Bounded::make_room`]. Entries are spread by hash over sets of
//! about [`PER_SET`] entries. A set is an immutable list behind one atomic pointer. A read loads the pointer, and a
//! change makes a new list and swaps the pointer. The number of sets never changes, so the map never moves entries
//! between sets. A read or a change therefore handles at most one set, and `make_room` a few sets, for any number of
//! entries and any order of inserts and removals.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher as _, Hash};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use arc_swap::{ArcSwapAny, Guard};
use foldhash::quality::RandomState;
use triomphe::{Arc, ThinArc};

/// A concurrent map from `K` to `V` with a capacity.
///
/// The first change allocates the table of sets, with one pointer for about [`PER_SET`] entries of the capacity.
pub(crate) struct Bounded<K, V> {
    sets: OnceLock<Box<[Set<K, V>]>>,
    capacity: usize,
    /// Binary logarithm of the inserts of one sweep, so that a read shifts and does not divide.
    sweep_bits: u32,
    /// The `quality` variant of foldhash.
    ///
    /// The map takes the low bits of a hash without mixing them, and ports and addresses come in sequences. foldhash
    /// does not resist an attacker that observes its timing and chooses keys that collide. Such keys fall into one set,
    /// whose length is bounded; see [`CROWDED`].
    hasher: RandomState,
    held: AtomicUsize,
    inserted: AtomicUsize,
}

type List<K, V> = ThinArc<(), Place<K, V>>;
type Set<K, V> = ArcSwapAny<Option<List<K, V>>>;
type Loaded<K, V> = Guard<Option<List<K, V>>>;

/// An entry in the list of a set, with the hash of its key.
struct Place<K, V> {
    hash: u64,
    entry: Arc<Entry<K, V>>,
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    /// The sweep of the last read.
    read_in: AtomicU32,
}

/// What [`Bounded::edit`] does with an entry.
#[derive(Debug)]
pub(crate) enum Edit<V> {
    /// Leaves the map as it is.
    Keep,
    /// Inserts or replaces the value.
    Put(V),
    /// Removes the entry.
    Remove,
}

/// Number of sweeps since the last read of an entry; 0 if that read was in the current sweep.
///
/// A sweep passes with each sixteenth of the capacity that is inserted. Inserts advance the age, and no clock does,
/// because a flood of new keys may fill the map within one tick of a clock.
pub(crate) type Age = u32;

/// Age from which an entry is idle, because no read came for at least one whole sweep.
///
/// A new entry is idle until its first read.
pub(crate) const IDLE: Age = 2;

/// Most entries per set on average when the map is full.
const PER_SET: usize = 16;
/// Most entries of a set that is not crowded.
///
/// From a crowded set, [`Bounded::make_room`] removes an entry for each new key. Random keys never crowd a
/// set. Keys that are chosen to collide crowd one set and leave the other sets alone.
const CROWDED: usize = 8 * PER_SET;
/// Fewest entries that are compared to find the one of least worth.
///
/// If half of the entries are worth keeping, one of those is removed once in four billion removals.
const COMPARED: usize = 2 * PER_SET;
/// Most sets that are searched for [`COMPARED`] entries.
const LOOKED_AT: usize = 8;
/// Most entries that one call removes because of the capacity.
///
/// With two, a map shrinks again after it had to exceed its capacity.
const LEAVE_AT_ONCE: usize = 2;
/// Sweeps that pass while as many entries as the capacity are inserted.
const SWEEPS: usize = 16;

impl<K, V> Bounded<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            sets: OnceLock::new(),
            capacity,
            sweep_bits: (capacity / SWEEPS).max(1).ilog2(),
            hasher: RandomState::default(),
            held: AtomicUsize::new(0),
            inserted: AtomicUsize::new(0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    /// Calls `look` with every entry.
    ///
    /// Entries that another thread inserts or removes meanwhile may be missed.
    pub(crate) fn for_each(&self, mut look: impl FnMut(&K, &V)) {
        for set in self.sets.get().into_iter().flatten() {
            for place in places(&set.load()) {
                look(&place.entry.key, &place.entry.value);
            }
        }
    }

    /// Removes all entries.
    pub(crate) fn clear(&self) {
        for set in self.sets.get().into_iter().flatten() {
            let removed = set.swap(None).map_or(0, |list| list.slice.len());
            self.held.fetch_sub(removed, Ordering::AcqRel);
        }
    }

    #[inline]
    fn sweep(&self) -> u32 {
        (self.inserted.load(Ordering::Relaxed) >> self.sweep_bits) as u32
    }

    fn set_of(&self, hash: u64) -> &Set<K, V> {
        let sets = self.sets.get_or_init(|| {
            let sets = self.capacity.div_ceil(PER_SET).next_power_of_two();
            std::iter::repeat_with(|| Set::new(None))
                .take(sets)
                .collect()
        });
        &sets[set_index(hash, sets.len())]
    }
}

impl<K: Eq + Hash, V> Bounded<K, V> {
    /// Calls `look` with an entry, and resets the age of the entry.
    #[inline]
    pub(crate) fn read<Q, T>(&self, key: &Q, look: impl FnOnce(&K, &V) -> T) -> Option<T>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.find(key, |entry| {
            let (entry, sweep) = (entry?, self.sweep());
            // The sweep is stored only if it changes: a store at each read would contend among all threads.
            if entry.read_in.load(Ordering::Relaxed) != sweep {
                entry.read_in.store(sweep, Ordering::Relaxed);
            }
            Some(look(&entry.key, &entry.value))
        })
    }

    /// Calls `look` with an entry, or with `None` if there is none; the age of the entry stays.
    #[inline]
    pub(crate) fn peek<Q, T>(&self, key: &Q, look: impl FnOnce(Option<(&K, &V)>) -> T) -> T
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.find(key, |entry| {
            look(entry.map(|entry| (&entry.key, &entry.value)))
        })
    }

    pub(crate) fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.find(key, |entry| entry.is_some())
    }

    #[inline]
    fn find<Q, T>(&self, key: &Q, look: impl FnOnce(Option<&Entry<K, V>>) -> T) -> T
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let Some(sets) = self.sets.get() else {
            return look(None);
        };
        let hash = self.hasher.hash_one(key);
        let loaded = sets[set_index(hash, sets.len())].load();
        let is_same = |place: &&Place<K, V>| place.hash == hash && place.entry.key.borrow() == key;
        let found = places(&loaded).iter().find(is_same);
        look(found.map(|place| &*place.entry))
    }
}

impl<K: Eq + Hash + Clone, V> Bounded<K, V> {
    /// Inserts, replaces or removes the entry of a key, as `change` decides.
    ///
    /// `change` runs again if another thread changed the same set meanwhile. After an insert the caller calls
    /// [`make_room`](Self::make_room), which enforces the capacity.
    pub(crate) fn edit<T>(&self, key: &K, mut change: impl FnMut(Option<&V>) -> (Edit<V>, T)) -> T {
        let hash = self.hasher.hash_one(key);
        self.change_set(hash, |places| {
            let at = position(places, hash, key);
            let old = at.map(|at| &*places[at].entry);
            let (edit, result) = change(old.map(|old| &old.value));
            let list = match edit {
                Edit::Keep => None,
                Edit::Put(value) => Some(self.with(places, at, hash, key, value)),
                Edit::Remove => at.map(|at| without(places, at)),
            };
            (list, result)
        })
    }

    /// Removes entries if the map exceeds its capacity or the set of `key` is crowded.
    ///
    /// `worth` returns the worth of an entry, given its age, or `None` if the entry must stay. The call compares at
    /// least [`COMPARED`] entries, beginning with a random set, and removes the entry of least worth. If all compared
    /// entries must stay, the map exceeds its capacity until a later call.
    pub(crate) fn make_room<R: Ord>(&self, key: &K, worth: impl Fn(&K, &V, Age) -> Option<R>) {
        let hash = self.hasher.hash_one(key);
        let own = self.set_of(hash);
        if places(&own.load()).len() > CROWDED {
            self.remove_least(std::iter::once(own), &worth);
        }
        for _ in 0..LEAVE_AT_ONCE {
            if self.len() <= self.capacity {
                return;
            }
            let sets = self.sets.get().map_or(&[][..], |sets| sets);
            let (before, from) = sets.split_at(fastrand::usize(..sets.len()));
            self.remove_least(from.iter().chain(before).take(LOOKED_AT), &worth);
        }
    }

    fn remove_least<'a, R: Ord>(
        &'a self,
        sets: impl Iterator<Item = &'a Set<K, V>>,
        worth: &impl Fn(&K, &V, Age) -> Option<R>,
    ) {
        let (sweep, mut compared) = (self.sweep(), 0);
        let mut least: Option<(R, Place<K, V>)> = None;
        for set in sets {
            for place in places(&set.load()) {
                compared += 1;
                let (key, value) = (&place.entry.key, &place.entry.value);
                let Some(worth) = worth(key, value, place.age(sweep)) else {
                    continue;
                };
                if least.as_ref().is_none_or(|(least, _)| worth < *least) {
                    least = Some((worth, place.clone()));
                }
            }
            if compared >= COMPARED && least.is_some() {
                break;
            }
        }
        if let Some((_, place)) = least {
            self.remove_unchanged(&place);
        }
    }

    /// Removes an entry unless another thread has changed the entry, which may be worth keeping then.
    fn remove_unchanged(&self, seen: &Place<K, V>) {
        self.change_set(seen.hash, |places| {
            let is_same = |place: &Place<K, V>| Arc::ptr_eq(&place.entry, &seen.entry);
            let at = places.iter().position(is_same);
            (at.map(|at| without(places, at)), ())
        });
    }

    /// Replaces the list of a set by the list that `change` returns, if any.
    fn change_set<T>(
        &self,
        hash: u64,
        mut change: impl FnMut(&[Place<K, V>]) -> (Option<Vec<Place<K, V>>>, T),
    ) -> T {
        let set = self.set_of(hash);
        let mut old = set.load();
        loop {
            let (list, result) = change(places(&old));
            let Some(list) = list else {
                return result;
            };
            let before = places(&old).len();
            let (comes, leaves) = (list.len() > before, list.len() < before);
            // The count rises before the insert, so that the count is never less than the number of entries.
            self.held.fetch_add(comes.into(), Ordering::AcqRel);
            let list =
                (!list.is_empty()).then(|| ThinArc::from_header_and_iter((), list.into_iter()));
            let found = set.compare_and_swap(&*old, list);
            let is_swapped = same(&found, &old);
            let is_one_less = if is_swapped { leaves } else { comes };
            self.held.fetch_sub(is_one_less.into(), Ordering::AcqRel);
            if is_swapped {
                self.inserted.fetch_add(comes.into(), Ordering::Relaxed);
                return result;
            }
            old = found;
        }
    }

    /// Returns a copy of the list, with the value in place of the entry at `at` or appended.
    fn with(
        &self,
        old: &[Place<K, V>],
        at: Option<usize>,
        hash: u64,
        key: &K,
        value: V,
    ) -> Vec<Place<K, V>> {
        let read_in = match at {
            Some(at) => old[at].entry.read_in.load(Ordering::Relaxed),
            None => self.sweep().wrapping_sub(IDLE),
        };
        let key = at.map_or(key, |at| &old[at].entry.key).clone();
        let entry = Entry {
            key,
            value,
            read_in: AtomicU32::new(read_in),
        };
        let place = Place {
            hash,
            entry: Arc::new(entry),
        };
        let mut list = Vec::with_capacity(old.len() + usize::from(at.is_none()));
        list.extend_from_slice(old);
        match at {
            Some(at) => list[at] = place,
            None => list.push(place),
        }
        list
    }
}

impl<K, V> Place<K, V> {
    fn age(&self, sweep: u32) -> Age {
        let read_in = self.entry.read_in.load(Ordering::Relaxed);
        sweep.wrapping_sub(read_in)
    }
}

impl<K, V> Clone for Place<K, V> {
    fn clone(&self) -> Self {
        Self {
            hash: self.hash,
            entry: Arc::clone(&self.entry),
        }
    }
}

impl<K, V> fmt::Debug for Bounded<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded")
            .field("held", &self.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// Returns the index of the set of a hash; `sets` is a power of two.
#[inline]
fn set_index(hash: u64, sets: usize) -> usize {
    hash as usize & (sets - 1)
}

fn places<K, V>(loaded: &Loaded<K, V>) -> &[Place<K, V>] {
    loaded.as_ref().map_or(&[], |list| &list.slice)
}

fn position<K: Eq, V>(places: &[Place<K, V>], hash: u64, key: &K) -> Option<usize> {
    let mut places = places.iter();
    places.position(|place| place.hash == hash && place.entry.key == *key)
}

fn without<K, V>(places: &[Place<K, V>], at: usize) -> Vec<Place<K, V>> {
    let (before, after) = (&places[..at], &places[at + 1..]);
    [before, after].concat()
}

fn same<K, V>(one: &Loaded<K, V>, other: &Loaded<K, V>) -> bool {
    match (&**one, &**other) {
        (Some(one), Some(other)) => one.as_ptr() == other.as_ptr(),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests;
