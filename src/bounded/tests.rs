use std::cmp::Reverse;

use super::*;

/// Gives the entry with the oldest read the least worth.
fn oldest_first(_: &u32, _: &u32, age: Age) -> Option<Reverse<Age>> {
    Some(Reverse(age))
}

fn put(map: &Bounded<u32, u32>, key: u32) {
    map.edit(&key, |_| (Edit::Put(key), ()));
    map.make_room(&key, oldest_first);
}

/// Removes an entry and returns its value.
fn removed(map: &Bounded<u32, u32>, key: u32) -> Option<u32> {
    map.edit(&key, |value| (Edit::Remove, value.copied()))
}

#[test]
fn an_entry_is_inserted_replaced_read_and_removed() {
    let map = Bounded::new(10);
    assert!(map.is_empty());
    assert_eq!(map.read(&7, |_, value| *value), None);
    put(&map, 7);
    map.edit(&7, |value| {
        (Edit::Put(value.map_or(0, |value| value + 1)), ())
    });
    assert_eq!(map.read(&7, |&key, &value| (key, value)), Some((7, 8)));
    assert_eq!(map.len(), 1);
    assert_eq!(removed(&map, 7), Some(8));
    assert_eq!(removed(&map, 7), None);
    assert!(!map.contains(&7));
    assert!(map.is_empty());
}

#[test]
fn the_capacity_holds_for_any_number_of_keys() {
    for capacity in [1, 2, 16, 17, 100, 1_000] {
        let map = Bounded::new(capacity);
        for key in 0..5_000 {
            put(&map, key);
            assert!(map.len() <= capacity, "capacity {capacity}");
            assert!(map.contains(&key) || capacity < 100, "the newest stays");
        }
        let mut shown = 0;
        map.for_each(|_, _| shown += 1);
        assert_eq!(shown, map.len(), "capacity {capacity}");
    }
}

#[test]
fn an_entry_that_is_read_outlives_entries_that_are_not() {
    let map = Bounded::new(400);
    for key in 0..20_000 {
        put(&map, key);
        for hot in 0..40.min(key) {
            assert!(map.read(&hot, |_, _| ()).is_some(), "{hot} is in use");
        }
    }
}

/// `make_room` removes the entry of least worth, and of equal worth the oldest.
#[test]
fn entries_worth_keeping_leave_last() {
    let map = Bounded::new(1_000);
    let worth = |key: &u32, _: &u32, age| Some((key.is_multiple_of(4), Reverse(age)));
    for key in 0..20_000 {
        map.edit(&key, |_| (Edit::Put(key), ()));
        map.make_room(&key, worth);
    }
    let (mut kept, mut others) = (0, 0);
    map.for_each(|key, _| match key.is_multiple_of(4) {
        true => kept += 1,
        false => others += 1,
    });
    assert!(kept > 900, "{kept} kept, {others} others");
}

#[test]
fn entries_that_have_to_stay_are_over_the_capacity_until_they_may_go() {
    let map = Bounded::new(100);
    for key in 0..1_000_u32 {
        map.edit(&key, |_| (Edit::Put(key), ()));
        map.make_room(&key, |_, _, _| None::<u8>);
    }
    assert_eq!(map.len(), 1_000);
    for key in 0..1_000 {
        map.make_room(&key, oldest_first);
    }
    assert_eq!(map.len(), 100);
}

/// After removals in table order, by age or at random, new entries find room, and no set grows long.
#[test]
fn no_order_of_removals_leaves_anything_behind() {
    const HELD: usize = 200;
    type Next = fn(&Bounded<u32, u32>, u32) -> u32;
    let first_of_the_table: Next = |map, _| {
        let mut first = None;
        map.for_each(|&key, _| first = first.or(Some(key)));
        first.expect("the table is not empty")
    };
    let oldest: Next = |_, newest| newest - HELD as u32;
    let random: Next = |map, _| {
        let (mut all, pick) = (Vec::new(), fastrand::usize(..=HELD));
        map.for_each(|&key, _| all.push(key));
        all[pick]
    };
    for (order, next) in [
        ("table", first_of_the_table),
        ("oldest", oldest),
        ("random", random),
    ] {
        let map = Bounded::new(400);
        for key in 0..2_500_u32 {
            map.edit(&key, |_| (Edit::Put(key), ()));
            if map.len() > HELD {
                let gone = next(&map, key);
                assert_eq!(removed(&map, gone), Some(gone), "{order}");
            }
        }
        let longest = map.sets.get().unwrap().iter();
        let longest = longest.map(|set| places(&set.load()).len()).max();
        assert!(longest.unwrap() <= CROWDED, "{order}");
        assert_eq!(map.len(), HELD, "{order}");
        map.clear();
        assert!(map.is_empty(), "{order}");
    }
}

/// A key whose hash is always the same.
#[derive(Clone, PartialEq, Eq)]
struct Colliding(u32);

impl Hash for Colliding {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

/// Colliding keys fill one set. The set then loses one entry for each new entry.
#[test]
fn keys_chosen_to_collide_meet_in_one_set_of_bounded_length() {
    let map = Bounded::new(100_000);
    for key in 0..10_000 {
        let key = Colliding(key);
        map.edit(&key, |_| (Edit::Put(()), ()));
        map.make_room(&key, |_, (), age| Some(Reverse(age)));
        assert!(map.contains(&key) && map.len() <= CROWDED);
    }
}

#[test]
fn threads_that_change_one_set_lose_no_change() {
    let map = Bounded::new(1);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..1_000 {
                    map.edit(&0_u32, |count: Option<&u32>| {
                        (Edit::Put(count.map_or(1, |count| count + 1)), ())
                    });
                }
            });
        }
    });
    assert_eq!(map.read(&0, |_, count| *count), Some(4_000));
    assert_eq!(map.len(), 1);
}

#[test]
fn the_count_stays_right_while_threads_insert_and_remove() {
    let map = Bounded::new(64);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..5_000 {
                    put(&map, fastrand::u32(..200));
                    removed(&map, fastrand::u32(..200));
                }
            });
        }
    });
    let mut held = 0;
    map.for_each(|_, _| held += 1);
    assert_eq!(map.len(), held);
    assert!(held <= 64 + 4);
}
