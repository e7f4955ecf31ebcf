//! The store, the slot and the flight in every order of steps: shuttle runs one thread at a time
//! and chooses at each point who goes on.
//!
//! Threads play those who ask, the pilots of their lookups (`resolver/refresh.rs`) and those who
//! invalidate. A schedule that fails is printed; `shuttle::replay` plays it again.

mod world;

use std::sync::Arc;

use shuttle::rand::{Rng as _, thread_rng};
use shuttle::thread::{self, JoinHandle};
use tokio::runtime::{Builder, Id};

use self::world::{End, World, step};

/// Two runtimes' names; both are gone.
fn runtimes() -> [Id; 2] {
    let build = || Builder::new_current_thread().build().unwrap();
    [build(), build()].map(|runtime| runtime.handle().id())
}

/// Somebody who asks on this runtime.
fn asker(world: &Arc<World>, runtime: usize) -> JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || drop(world.wait(world.runtimes[runtime])))
}

/// Somebody who asks, fails to connect, and asks again.
fn unlucky(world: &Arc<World>, runtime: usize) -> JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || {
        if let Ok(known) = world.wait(world.runtimes[runtime]) {
            step();
            world.connect_failed(&known);
            drop(world.wait(world.runtimes[runtime]));
        }
    })
}

/// Somebody who invalidates by hand and asks.
fn impatient(world: &Arc<World>, runtime: usize) -> JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || {
        step();
        world.invalidate_by_hand();
        drop(world.wait(world.runtimes[runtime]));
    })
}

fn join(players: impl IntoIterator<Item = JoinHandle<()>>, world: &World) {
    for player in players {
        player.join().unwrap();
    }
    world.end();
}

const ENDS: [End; 4] = [End::Answer, End::Failure, End::NoSuchName, End::Lost];

/// Every order there is of a caller and its lookup, however that ends.
#[test]
fn a_waiter_is_told_in_every_order_there_is() {
    let runtimes = runtimes();
    for end in ENDS {
        let play = move || {
            let world = World::new(runtimes, &[end]);
            join([asker(&world, 0)], &world);
        };
        shuttle::check_dfs(play, None);
    }
}

/// Every order there is of a lookup in the air and an invalidation.
#[test]
fn a_landing_after_an_invalidation_leaves_it_standing() {
    let runtimes = runtimes();
    for end in ENDS {
        let play = move || {
            let world = World::new(runtimes, &[end]);
            world.ask(runtimes[0]);
            world.invalidate_by_hand();
            join([], &world);
        };
        shuttle::check_dfs(play, None);
    }
}

/// Those who come while it is in the air join it, and those who were told to ask before it landed
/// find what it brought.
#[test]
fn three_who_ask_are_one_lookup_whenever_they_come() {
    let runtimes = runtimes();
    for end in [End::Answer, End::Failure, End::NoSuchName] {
        let play = move || {
            let world = World::new(runtimes, &[end]);
            join([0; 3].map(|runtime| asker(&world, runtime)), &world);
            assert_eq!(world.sent(), 1);
        };
        shuttle::check_random(play, 1_000);
    }
}

/// Three on one runtime, one on another; the first lookup or two are lost.
#[test]
fn when_lookups_are_lost_every_waiter_is_told_by_the_next() {
    let runtimes = runtimes();
    let play = move || {
        let lost = thread_rng().gen_range(0..=2);
        let world = World::new(runtimes, &[End::Lost; 2][..lost]);
        join([0, 0, 0, 1].map(|runtime| asker(&world, runtime)), &world);
    };
    shuttle::check_random(play, 1_500);
    shuttle::check_pct(play, 1_500, 3);
}

/// Whatever the lookups bring and whoever invalidates meanwhile.
#[test]
fn landings_and_invalidations_meet_in_any_order() {
    let runtimes = runtimes();
    let play = move || {
        let mut ends = [
            End::Answer,
            End::Failure,
            End::NoSuchName,
            End::Lost,
            End::Answer,
        ];
        for place in 1..ends.len() {
            ends.swap(place, thread_rng().gen_range(0..=place));
        }
        let world = World::new(runtimes, &ends);
        let players = [
            asker(&world, 1),
            unlucky(&world, 0),
            unlucky(&world, 1),
            impatient(&world, 0),
        ];
        join(players, &world);
    };
    shuttle::check_random(play, 3_000);
    shuttle::check_pct(play, 1_500, 4);
}
