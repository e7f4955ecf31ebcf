//! Tests of the entry of one host: what ends an answer, and when the host is looked up again.

use super::*;
use crate::addrs::AddressSet;
use crate::cache::answer::FreshAddresses;
use crate::time;
use std::net::IpAddr;

const S: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

fn addrs(last: &[u8]) -> AddressSet {
    AddressSet::new(last.iter().map(|&n| IpAddr::from([192, 0, 2, n])))
}

/// An entry, and the runtime on which its lookups run.
struct World {
    slot: HostEntry,
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
            slot: HostEntry::default(),
            now: time::now(),
            _runtime: runtime,
            id,
        }
    }

    fn send(&mut self, cause: LookupReason) -> (LookupSender, InFlightLookup) {
        let (sender, in_flight) = InFlightLookup::new(self.id, self.now);
        assert!(
            self.slot
                .join_or_start(&in_flight, cause, self.now)
                .is_none()
        );
        (sender, in_flight)
    }

    fn complete(
        &mut self,
        in_flight: &InFlightLookup,
        asked_at: Instant,
        outcome: Result<AddressSet, ResolveError>,
    ) {
        self.land_half(in_flight, asked_at, outcome, false);
    }

    fn land_half(
        &mut self,
        in_flight: &InFlightLookup,
        asked_at: Instant,
        outcome: Result<AddressSet, ResolveError>,
        is_partial: bool,
    ) {
        let (life, refresh_after) = (60 * S, 50 * S);
        let outcome = outcome.map(|addrs| FreshAddresses {
            is_partial,
            addrs,
            life,
            refresh_after,
        });
        let completed = CompletedLookup {
            asked_at,
            outcome,
            share: 0.85,
            max_stale: Duration::ZERO,
            fallbacks_for: None,
        };
        let _ = self.slot.complete(in_flight, &completed, self.now);
    }

    fn answer(&mut self, last: &[u8]) {
        let (_sender, in_flight) = self.send(LookupReason::Miss);
        self.complete(&in_flight, self.now, Ok(addrs(last)));
    }

    /// Returns when an answer in use is refreshed.
    fn refresh_at(&self) -> Option<Instant> {
        let known = self.slot.answer.as_ref()?;
        Some(self.slot.waited_out(known.refresh_at))
    }

    fn plan(&self, health_left: bool) -> ServePlan {
        self.slot.plan(self.now, DAY, |_| health_left)
    }

    fn seen(&self) -> Generation {
        self.slot.answer().unwrap().generation
    }
}

use super::super::lookups::LookupSender;

#[test]
fn an_answer_is_served_until_it_expires() {
    let mut world = World::new();
    assert!(matches!(
        world.plan(true),
        ServePlan::Wait(LookupReason::Miss)
    ));
    world.answer(&[1, 2]);
    assert!(matches!(world.plan(true), ServePlan::Serve));
    world.now += 59 * S;
    assert!(matches!(world.plan(true), ServePlan::Serve));
    world.now += S;
    assert!(matches!(
        world.plan(true),
        ServePlan::Wait(LookupReason::Expired)
    ));
}

/// If a healthy address is left, the host is re-resolved in the background. If none is left, the caller waits.
#[test]
fn a_failed_connect_asks_again_behind_or_in_front_of_the_caller() {
    let mut world = World::new();
    world.answer(&[1, 2]);
    let seen = world.seen();
    assert!(world.slot.invalidate(seen));
    assert!(matches!(
        world.plan(true),
        ServePlan::ServeAndRefresh(LookupReason::ConnectFailed)
    ));
    assert!(matches!(
        world.plan(false),
        ServePlan::Wait(LookupReason::ConnectFailed)
    ));
    let (_sender, _in_flight) = world.send(LookupReason::ConnectFailed);
    assert!(
        matches!(world.plan(true), ServePlan::Serve),
        "one lookup is enough"
    );
    assert!(
        matches!(
            world.plan(false),
            ServePlan::Wait(LookupReason::ConnectFailed)
        ),
        "join it"
    );
}

/// A thousand tasks that fail to connect to addresses of one answer mark the answer once.
#[test]
fn only_the_first_report_on_an_answer_counts() {
    let mut world = World::new();
    world.answer(&[1]);
    let seen = world.seen();
    assert!(world.slot.invalidate(seen));
    assert!(!(0..999).any(|_| world.slot.invalidate(seen)));
    let (_sender, in_flight) = world.send(LookupReason::ConnectFailed);
    world.complete(&in_flight, world.now, Ok(addrs(&[2])));
    assert!(
        !world.slot.invalidate(seen),
        "a late report must not end the newer answer"
    );
    assert!(matches!(world.plan(true), ServePlan::Serve));
}

#[test]
fn a_lookup_sent_before_the_invalidation_does_not_clear_the_mark() {
    let mut world = World::new();
    world.answer(&[1]);
    let asked_at = world.now;
    let (_sender, early) = world.send(LookupReason::Refresh);
    world.slot.invalidate_explicitly();
    world.complete(&early, asked_at, Ok(addrs(&[1])));
    assert!(matches!(
        world.plan(true),
        ServePlan::Wait(LookupReason::Invalidated)
    ));
    let (_sender, late) = world.send(LookupReason::Invalidated);
    world.complete(&late, asked_at, Ok(addrs(&[2])));
    assert!(matches!(world.plan(true), ServePlan::Serve));
}

/// Processes that re-resolve a host together after a failed connect do not stay synchronized.
#[test]
fn a_lookup_out_of_turn_does_not_move_the_next() {
    let mut world = World::new();
    let begun = world.now;
    world.answer(&[1, 2]);
    world.now += 20 * S;
    assert!(world.slot.invalidate(world.seen()));
    let (_sender, in_flight) = world.send(LookupReason::ConnectFailed);
    world.complete(&in_flight, world.now, Ok(addrs(&[1, 2])));
    assert_eq!(world.refresh_at(), Some(begun + 50 * S));
    world.now += 59 * S;
    assert!(
        matches!(world.plan(true), ServePlan::Serve),
        "it has a life of its own"
    );
    world.now = begun + 50 * S;
    let (_sender, in_flight) = world.send(LookupReason::Refresh);
    world.complete(&in_flight, world.now, Ok(addrs(&[1, 2])));
    assert_eq!(world.refresh_at(), Some(begun + 100 * S), "in turn it does");
}

/// A failed lookup keeps the answer; NXDOMAIN and NODATA remove the answer.
#[test]
fn only_a_negative_answer_ends_an_answer() {
    let mut world = World::new();
    world.answer(&[1]);
    world.now += 61 * S;
    let (_sender, in_flight) = world.send(LookupReason::Expired);
    world.complete(
        &in_flight,
        world.now,
        Err(ResolveError::failed("a", "SERVFAIL")),
    );
    assert!(
        matches!(world.plan(true), ServePlan::Serve),
        "stale, and not asked again at once"
    );
    world.now += 51 * S;
    let behind = matches!(
        world.plan(true),
        ServePlan::ServeAndRefresh(LookupReason::Expired)
    );
    assert!(
        behind,
        "no caller waits for a lookup that is likely to fail again"
    );
    let (_sender, in_flight) = world.send(LookupReason::Expired);
    world.complete(&in_flight, world.now, Err(ResolveError::not_found("a")));
    assert!(matches!(world.plan(true), ServePlan::Fail(_)));
    world.now += 5 * S;
    assert!(matches!(
        world.plan(true),
        ServePlan::Wait(LookupReason::Miss)
    ));
}

/// Callers with a healthy address look up the host as rarely as if no lookup failed. Callers without a healthy address
/// repeat a failed lookup sooner.
#[test]
fn a_failed_lookup_is_repeated_in_turn_while_a_healthy_address_is_left() {
    let mut world = World::new();
    world.answer(&[1]);
    world.now += 50 * S;
    for _ in 0..10 {
        let asked_at = world.now;
        let (_sender, in_flight) = world.send(LookupReason::Refresh);
        world.now += 5 * S;
        world.complete(&in_flight, asked_at, Err(ResolveError::timed_out("a")));
        assert_eq!(world.refresh_at(), Some(asked_at + 51 * S));
        world.now = asked_at + 50 * S;
        assert!(matches!(world.plan(true), ServePlan::Serve));
        assert!(
            matches!(world.plan(false), ServePlan::Wait(LookupReason::Expired)),
            "a caller without a healthy address waits for the backoff only"
        );
        world.now += S;
        let behind = matches!(
            world.plan(true),
            ServePlan::ServeAndRefresh(LookupReason::Expired)
        );
        assert!(
            behind,
            "no caller waits for a lookup that is likely to fail again"
        );
    }
}

#[test]
fn an_older_lookup_does_not_replace_a_newer_answer() {
    let mut world = World::new();
    let (_sender, slow) = world.send(LookupReason::Miss);
    let asked_first = world.now;
    world.now += S;
    world.slot.invalidate_explicitly();
    let (_land2, fast) = world.send(LookupReason::Invalidated);
    world.complete(&fast, world.now, Ok(addrs(&[2])));
    world.complete(&slow, asked_first, Ok(addrs(&[1])));
    assert_eq!(world.slot.answer().unwrap().addrs, addrs(&[2]));
    world.complete(&slow, asked_first, Err(ResolveError::not_found("a")));
    assert_eq!(
        world.slot.answer().unwrap().addrs,
        addrs(&[2]),
        "nor does its failure"
    );
}

/// The lookup says nothing about the time after the invalidation, so the next caller looks up the host.
#[test]
fn a_lookup_sent_before_the_invalidation_fails_for_nobody_after_it() {
    for error in [
        ResolveError::not_found("a"),
        ResolveError::failed("a", "SERVFAIL"),
    ] {
        let mut world = World::new();
        world.answer(&[1]);
        let (_sender, early) = world.send(LookupReason::Refresh);
        world.slot.invalidate_explicitly();
        world.complete(&early, world.now, Err(error));
        assert!(matches!(
            world.plan(true),
            ServePlan::Wait(LookupReason::Invalidated)
        ));
        assert_eq!(world.slot.answer().unwrap().addrs, addrs(&[1]));
    }
}

/// A negative answer is an answer too, and here it is the newer one.
#[test]
fn an_older_lookups_addresses_do_not_undo_a_newer_denial() {
    let mut world = World::new();
    let (_sender, slow) = world.send(LookupReason::Miss);
    let (asked_first, other) = (world.now, World::new());
    world.now += S;
    let (_land2, fast) = InFlightLookup::new(other.id, world.now);
    assert!(
        world
            .slot
            .join_or_start(&fast, LookupReason::Miss, world.now)
            .is_none()
    );
    world.complete(&fast, world.now, Err(ResolveError::not_found("a")));
    world.complete(&slow, asked_first, Ok(addrs(&[1])));
    assert!(matches!(world.plan(true), ServePlan::Fail(_)));
}

/// A caller never waits for a lookup on another runtime.
#[test]
fn a_lookup_is_joined_only_from_its_own_runtime() {
    let mut world = World::new();
    let (_sender, in_flight) = world.send(LookupReason::Miss);
    assert!(
        world
            .slot
            .joinable(world.id)
            .is_some_and(|other| other.is(&in_flight))
    );
    let other = World::new();
    assert!(world.slot.joinable(other.id).is_none());
}

#[test]
fn a_lookup_that_was_lost_is_not_joined() {
    let mut world = World::new();
    let (sender, _in_flight) = world.send(LookupReason::Miss);
    drop(sender);
    assert!(world.slot.joinable(world.id).is_none());
    assert!(!world.slot.is_in_use());
}

/// The late family completes the same lookup, and the lifetime counts from the sending of that lookup.
#[test]
fn a_late_half_replaces_the_partial_answer() {
    let mut world = World::new();
    let (_sender, in_flight) = world.send(LookupReason::Miss);
    let asked_at = world.now;
    world.land_half(&in_flight, asked_at, Ok(addrs(&[1])), true);
    assert!(world.slot.answer().unwrap().is_partial);
    world.now += S;
    world.complete(&in_flight, asked_at, Ok(addrs(&[1, 2])));
    let known = world.slot.answer().unwrap();
    assert_eq!(known.addrs, addrs(&[1, 2]));
    assert_eq!((known.is_partial, known.asked_at), (false, asked_at));
    assert_eq!(known.refresh_at, asked_at + 50 * S, "in its own turn");
}

/// If the only family of a partial answer has no route, the host is looked up again once. A whole answer stays.
#[test]
fn a_partial_answer_without_a_route_is_waited_for_again() {
    let mut world = World::new();
    let (_sender, in_flight) = world.send(LookupReason::Miss);
    world.land_half(&in_flight, world.now, Ok(addrs(&[1])), true);
    let seen = world.seen();
    assert!(world.slot.invalidate_partial(seen, world.now));
    assert!(matches!(
        world.plan(true),
        ServePlan::Wait(LookupReason::Invalidated)
    ));
    assert!(!world.slot.invalidate_partial(seen, world.now), "no news");
    let mut world = World::new();
    world.answer(&[1]);
    let seen = world.seen();
    assert!(!world.slot.invalidate_partial(seen, world.now));
}

/// If this machine could not send a lookup, the next caller sends one.
#[test]
#[cfg(feature = "hickory")]
fn an_error_of_this_machine_is_not_kept() {
    let mut world = World::new();
    let (_sender, in_flight) = world.send(LookupReason::Miss);
    let error = ResolveError::of_this_machine("a.test", "too many open files");
    world.complete(&in_flight, world.now, Err(error));
    assert!(matches!(
        world.plan(false),
        ServePlan::Wait(LookupReason::Miss)
    ));
}
