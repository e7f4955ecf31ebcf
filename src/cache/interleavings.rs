//! Tests of the store, its entries and their lookups in every order of steps.
//!
//! shuttle runs one thread at a time, and chooses at each step which thread runs next. The threads are callers, lookup
//! tasks (`cache/lookup_task.rs`), and callers that invalidate the answer. shuttle prints a schedule that fails;
//! `shuttle::replay` runs the schedule again.

mod world;

use std::sync::Arc;

use shuttle::rand::{Rng as _, thread_rng};
use shuttle::thread::{self, JoinHandle};
use tokio::runtime::{Builder, Id};

use self::world::{End, World, step};

/// Returns the ids of two runtimes, both of which are dropped.
fn runtimes() -> [Id; 2] {
    let build = || Builder::new_current_thread().build().unwrap();
    [build(), build()].map(|runtime| runtime.handle().id())
}

/// Starts a caller on a runtime.
fn asker(world: &Arc<World>, runtime: usize) -> JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || drop(world.wait(world.runtimes[runtime])))
}

/// Starts a caller that resolves the host, fails to connect, and resolves the host again.
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

/// Starts a caller that invalidates the answer and resolves the host.
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

/// Checks every order of a caller and its lookup, for each end of the lookup.
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

/// Checks every order of a lookup in flight and an invalidation.
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

/// Callers that come while a lookup is in flight join it. Callers that decided to look up the host before the lookup
/// completed get its result.
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

/// Three callers use one runtime, and one caller uses another. Up to two lookups are lost.
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

/// The rules hold for any results of the lookups and any invalidations meanwhile.
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
