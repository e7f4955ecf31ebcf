//! The slot by itself: who may end what, and when it is asked for again.

use super::*;
use crate::cache::Brought;
use crate::order::Addrs;
use crate::time;
use std::net::IpAddr;

const S: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

fn addrs(last: &[u8]) -> Addrs {
    Addrs::new(last.iter().map(|&n| IpAddr::from([192, 0, 2, n])))
}

/// A slot and the runtime that asks.
struct World {
    slot: Slot,
    now: Instant,
    _runtime: tokio::runtime::Runtime,
    id: Id,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let id = runtime.handle().id();
        Self {
            slot: Slot::default(),
            now: time::now(),
            _runtime: runtime,
            id,
        }
    }

    fn send(&mut self, cause: Cause) -> (Joined, Flight) {
        let (land, flight) = Flight::new(self.id, self.now);
        assert!(self.slot.board(&flight, cause, self.now).is_none());
        (land, flight)
    }

    fn land(&mut self, flight: &Flight, asked_at: Instant, outcome: Result<Addrs, Error>) {
        self.land_half(flight, asked_at, outcome, false);
    }

    fn land_half(
        &mut self,
        flight: &Flight,
        asked_at: Instant,
        outcome: Result<Addrs, Error>,
        is_partial: bool,
    ) {
        let (life, refresh_after) = (60 * S, 50 * S);
        let outcome = outcome.map(|addrs| Brought {
            origin: Origin::Lookup,
            is_partial,
            addrs,
            life,
            refresh_after,
        });
        let landing = Landing {
            asked_at,
            outcome,
            share: 0.85,
            serve_stale: Duration::ZERO,
            fallback: None,
        };
        let _ = self.slot.land(flight, &landing, self.now);
    }

    fn answer(&mut self, last: &[u8]) {
        let (_land, flight) = self.send(Cause::Unknown);
        self.land(&flight, self.now, Ok(addrs(last)));
    }

    /// When an answer in use is looked up ahead.
    fn refresh_at(&self) -> Option<Instant> {
        let known = self.slot.known.as_ref()?;
        Some(self.slot.waited_out(known.refresh_at))
    }

    fn plan(&self, health_left: bool) -> Plan {
        self.slot.plan(self.now, DAY, |_| health_left)
    }

    fn seen(&self) -> Generation {
        self.slot.known().unwrap().generation
    }
}

use super::super::flight::Joined;

#[test]
fn an_answer_is_served_until_it_expires() {
    let mut world = World::new();
    assert!(matches!(world.plan(true), Plan::Ask(Cause::Unknown)));
    world.answer(&[1, 2]);
    assert!(matches!(world.plan(true), Plan::Serve));
    world.now += 59 * S;
    assert!(matches!(world.plan(true), Plan::Serve));
    world.now += S;
    assert!(matches!(world.plan(true), Plan::Ask(Cause::Expired)));
}

/// With healthy addresses left nobody waits; with none left the caller does.
#[test]
fn a_failed_connect_asks_again_behind_or_in_front_of_the_caller() {
    let mut world = World::new();
    world.answer(&[1, 2]);
    let seen = world.seen();
    assert!(world.slot.invalidate(seen));
    assert!(matches!(
        world.plan(true),
        Plan::ServeAndAsk(Cause::ConnectFailed)
    ));
    assert!(matches!(world.plan(false), Plan::Ask(Cause::ConnectFailed)));
    let (_land, _flight) = world.send(Cause::ConnectFailed);
    assert!(
        matches!(world.plan(true), Plan::Serve),
        "one lookup is enough"
    );
    assert!(
        matches!(world.plan(false), Plan::Ask(Cause::ConnectFailed)),
        "join it"
    );
}

/// A thousand tasks that fail on one answer mark it once.
#[test]
fn only_the_first_report_on_an_answer_counts() {
    let mut world = World::new();
    world.answer(&[1]);
    let seen = world.seen();
    assert!(world.slot.invalidate(seen));
    assert!(!(0..999).any(|_| world.slot.invalidate(seen)));
    let (_land, flight) = world.send(Cause::ConnectFailed);
    world.land(&flight, world.now, Ok(addrs(&[2])));
    assert!(
        !world.slot.invalidate(seen),
        "a late report must not end the newer answer"
    );
    assert!(matches!(world.plan(true), Plan::Serve));
}

#[test]
fn a_lookup_sent_before_the_invalidation_does_not_clear_the_mark() {
    let mut world = World::new();
    world.answer(&[1]);
    let asked_at = world.now;
    let (_land, early) = world.send(Cause::Ageing);
    world.slot.invalidate_by_hand();
    world.land(&early, asked_at, Ok(addrs(&[1])));
    assert!(matches!(world.plan(true), Plan::Ask(Cause::Invalidated)));
    let (_land, late) = world.send(Cause::Invalidated);
    world.land(&late, asked_at, Ok(addrs(&[2])));
    assert!(matches!(world.plan(true), Plan::Serve));
}

/// Processes that a dead edge makes ask at one time do not go on asking at one time.
#[test]
fn a_lookup_out_of_turn_does_not_move_the_next() {
    let mut world = World::new();
    let begun = world.now;
    world.answer(&[1, 2]);
    world.now += 20 * S;
    assert!(world.slot.invalidate(world.seen()));
    let (_land, flight) = world.send(Cause::ConnectFailed);
    world.land(&flight, world.now, Ok(addrs(&[1, 2])));
    assert_eq!(world.refresh_at(), Some(begun + 50 * S));
    world.now += 59 * S;
    assert!(
        matches!(world.plan(true), Plan::Serve),
        "it has a life of its own"
    );
    world.now = begun + 50 * S;
    let (_land, flight) = world.send(Cause::Ageing);
    world.land(&flight, world.now, Ok(addrs(&[1, 2])));
    assert_eq!(world.refresh_at(), Some(begun + 100 * S), "in turn it does");
}

/// A failed lookup leaves the answer, NXDOMAIN and NODATA end it.
#[test]
fn only_a_negative_answer_ends_an_answer() {
    let mut world = World::new();
    world.answer(&[1]);
    world.now += 61 * S;
    let (_land, flight) = world.send(Cause::Expired);
    world.land(&flight, world.now, Err(Error::failed("a", "SERVFAIL")));
    assert!(
        matches!(world.plan(true), Plan::Serve),
        "stale, and not asked again at once"
    );
    world.now += 51 * S;
    let behind = matches!(world.plan(true), Plan::ServeAndAsk(Cause::Expired));
    assert!(behind, "nobody waits for what is likely to fail again");
    let (_land, flight) = world.send(Cause::Expired);
    world.land(&flight, world.now, Err(Error::not_found("a")));
    assert!(matches!(world.plan(true), Plan::Fail(_)));
    world.now += 5 * S;
    assert!(matches!(world.plan(true), Plan::Ask(Cause::Unknown)));
}

/// A name server in trouble is asked as often as in health by those who have something to dial, and
/// sooner by the others.
#[test]
fn a_failed_lookup_is_repeated_in_turn_while_a_healthy_address_is_left() {
    let mut world = World::new();
    world.answer(&[1]);
    world.now += 50 * S;
    for _ in 0..10 {
        let asked_at = world.now;
        let (_land, flight) = world.send(Cause::Ageing);
        world.now += 5 * S;
        world.land(&flight, asked_at, Err(Error::timed_out("a")));
        assert_eq!(world.refresh_at(), Some(asked_at + 51 * S));
        world.now = asked_at + 50 * S;
        assert!(matches!(world.plan(true), Plan::Serve));
        assert!(
            matches!(world.plan(false), Plan::Ask(Cause::Expired)),
            "whoever has nobody to dial waits no longer than the backoff"
        );
        world.now += S;
        let behind = matches!(world.plan(true), Plan::ServeAndAsk(Cause::Expired));
        assert!(behind, "nobody waits for what is likely to fail again");
    }
}

#[test]
fn an_older_lookup_does_not_replace_a_newer_answer() {
    let mut world = World::new();
    let (_land, slow) = world.send(Cause::Unknown);
    let asked_first = world.now;
    world.now += S;
    world.slot.invalidate_by_hand();
    let (_land2, fast) = world.send(Cause::Invalidated);
    world.land(&fast, world.now, Ok(addrs(&[2])));
    world.land(&slow, asked_first, Ok(addrs(&[1])));
    assert_eq!(world.slot.known().unwrap().addrs, addrs(&[2]));
    world.land(&slow, asked_first, Err(Error::not_found("a")));
    assert_eq!(
        world.slot.known().unwrap().addrs,
        addrs(&[2]),
        "nor does its failure"
    );
}

/// It says nothing of the time after: the next caller asks.
#[test]
fn a_lookup_sent_before_the_invalidation_fails_for_nobody_after_it() {
    for error in [Error::not_found("a"), Error::failed("a", "SERVFAIL")] {
        let mut world = World::new();
        world.answer(&[1]);
        let (_land, early) = world.send(Cause::Ageing);
        world.slot.invalidate_by_hand();
        world.land(&early, world.now, Err(error));
        assert!(matches!(world.plan(true), Plan::Ask(Cause::Invalidated)));
        assert_eq!(world.slot.known().unwrap().addrs, addrs(&[1]));
    }
}

/// That there is no such name is an answer too, and the newer one.
#[test]
fn an_older_lookups_addresses_do_not_undo_a_newer_denial() {
    let mut world = World::new();
    let (_land, slow) = world.send(Cause::Unknown);
    let (asked_first, other) = (world.now, World::new());
    world.now += S;
    let (_land2, fast) = Flight::new(other.id, world.now);
    assert!(world.slot.board(&fast, Cause::Unknown, world.now).is_none());
    world.land(&fast, world.now, Err(Error::not_found("a")));
    world.land(&slow, asked_first, Ok(addrs(&[1])));
    assert!(matches!(world.plan(true), Plan::Fail(_)));
}

/// One runtime never waits for another's lookup.
#[test]
fn a_lookup_is_joined_only_from_its_own_runtime() {
    let mut world = World::new();
    let (_land, flight) = world.send(Cause::Unknown);
    assert!(
        world
            .slot
            .boardable(world.id)
            .is_some_and(|other| other.is(&flight))
    );
    let other = World::new();
    assert!(world.slot.boardable(other.id).is_none());
}

#[test]
fn a_lookup_that_was_lost_is_not_joined() {
    let mut world = World::new();
    let (land, _flight) = world.send(Cause::Unknown);
    drop(land);
    assert!(world.slot.boardable(world.id).is_none());
    assert!(!world.slot.is_in_use());
}

/// The late half lands on the same flight, and counts its life from the same sending.
#[test]
fn a_late_half_replaces_the_partial_answer() {
    let mut world = World::new();
    let (_land, flight) = world.send(Cause::Unknown);
    let asked_at = world.now;
    world.land_half(&flight, asked_at, Ok(addrs(&[1])), true);
    assert!(world.slot.known().unwrap().is_partial);
    world.now += S;
    world.land(&flight, asked_at, Ok(addrs(&[1, 2])));
    let known = world.slot.known().unwrap();
    assert_eq!(known.addrs, addrs(&[1, 2]));
    assert_eq!((known.is_partial, known.asked_at), (false, asked_at));
    assert_eq!(known.refresh_at, asked_at + 50 * S, "in its own turn");
}

/// A partial answer whose only family has no route is looked up again once; a whole one is not.
#[test]
fn a_partial_answer_without_a_route_is_waited_for_again() {
    let mut world = World::new();
    let (_land, flight) = world.send(Cause::Unknown);
    world.land_half(&flight, world.now, Ok(addrs(&[1])), true);
    let seen = world.seen();
    assert!(world.slot.invalidate_partial(seen, world.now));
    assert!(matches!(world.plan(true), Plan::Ask(Cause::Invalidated)));
    assert!(!world.slot.invalidate_partial(seen, world.now), "no news");
    let mut world = World::new();
    world.answer(&[1]);
    let seen = world.seen();
    assert!(!world.slot.invalidate_partial(seen, world.now));
}

/// What this machine could not ask is asked again by the next caller.
#[test]
#[cfg(feature = "hickory")]
fn an_error_of_this_machine_is_not_kept() {
    let mut world = World::new();
    let (_land, flight) = world.send(Cause::Unknown);
    let error = Error::of_this_machine("a.test", "too many open files");
    world.land(&flight, world.now, Err(error));
    assert!(matches!(world.plan(false), Plan::Ask(Cause::Unknown)));
}
