//! Rules that every schedule obeys.

use std::ops::Range;

use super::director::{loses_for, loss, most, scene_loss};
use super::scenes::{Kind, Scene};
use super::schedule::{Act, At, EDGES, Schedule};
use crate::edge::Mode;

/// Maximum age of an answer that a client holds while the name server works. The answer lives for 5 s, and its lookup
/// takes some time.
const HELD: At = 8_000;

/// Checks that a client can survive the schedule.
///
/// # Panics
///
/// Panics if no edge serves of an answer that a client may hold, or if a request may be lost twice. In a scene in
/// which all addresses of an answer die, the current answer of the name server must have an edge that serves. If DNS
/// names one address at a time, an edge that DNS named before may serve instead.
pub fn check(schedule: &Schedule) {
    let connects = schedule.connects;
    let mut modes = [Mode::Serve; EDGES];
    let mut free_at = 0;
    for &(at, act) in &schedule.steps {
        let losing = modes.iter().filter_map(|&mode| loses_for(mode)).max();
        free_at = free_at.max(losing.map_or(0, |lost| at + lost));
        match act {
            Act::Edge(edge, mode) => {
                if let Some(lost) = loss(modes[edge], mode, connects) {
                    assert!(at >= free_at, "requests may be lost twice at {at} ms");
                    free_at = at + lost;
                }
                modes[edge] = mode;
            }
            Act::Edges(edges, mode) => {
                let lost = scene_loss(mode, connects);
                assert!(
                    lost == 0 || at >= free_at,
                    "requests may be lost twice at {at} ms"
                );
                free_at = free_at.max(at + lost);
                let edges = (0..EDGES).filter(|&edge| edges[edge]);
                edges.for_each(|edge| modes[edge] = mode);
            }
            Act::Dns(_) | Act::NameServer(_) => {}
        }
        for mode in modes.into_iter().filter(|&mode| mode != Mode::Serve) {
            let same = modes.iter().filter(|&&other| other == mode).count();
            let few = same <= most(mode, connects);
            assert!(few, "{same} edges are {mode:?} at {at} ms");
        }
        let serves = |edge: usize| modes[edge] == Mode::Serve;
        let mut scenes = schedule.scenes.iter();
        match scenes.find(|scene| scene.kind.changes_dns() && is_on(scene, at)) {
            Some(scene) => assert!(
                has_a_way_out(scene, serves, at),
                "no edge serves at {at} ms"
            ),
            None => {
                for listed in answers_held(schedule, at) {
                    let has_one = (0..EDGES).any(|edge| listed[edge] && serves(edge));
                    assert!(has_one, "no edge serves at {at} ms");
                }
            }
        }
    }
}

fn is_on(scene: &Scene, at: At) -> bool {
    (scene.dies..scene.ends).contains(&at)
}

fn has_a_way_out(scene: &Scene, serves: impl Fn(usize) -> bool, at: At) -> bool {
    let mut lists = scene.lists.iter();
    let named = lists.find(|(from, until, _)| (*from..*until).contains(&at));
    let (_, _, named) = named.expect("the scene says what DNS names");
    let is_named = (0..EDGES).any(|edge| named[edge] && serves(edge));
    match scene.kind {
        Kind::OneAddress => is_named || (0..EDGES).filter(|&edge| serves(edge)).count() > 3,
        Kind::Moved | Kind::SeveralHang => is_named,
    }
}

/// Returns the answers of the name server since the last lookup of a client.
fn answers_held(schedule: &Schedule, now: At) -> impl Iterator<Item = [bool; EDGES]> {
    let asked = asked(schedule, now);
    let given = schedule.steps.iter().filter_map(|&(at, act)| match act {
        Act::Dns(listed) => Some((at, listed)),
        Act::Edge(..) | Act::Edges(..) | Act::NameServer(_) => None,
    });
    let ends = given.clone().skip(1).map(|(at, _)| at).chain([At::MAX]);
    let held = given.zip(ends);
    held.filter(move |((from, _), until)| *from <= now && *until > asked.start)
        .map(|((_, listed), _)| listed)
}

/// Returns when the last lookup of a client may have been.
fn asked(schedule: &Schedule, now: At) -> Range<At> {
    let felt = |at: At| {
        let mut outages = schedule.outages.iter();
        outages.rfind(|outage| (outage.from..outage.felt_until()).contains(&at))
    };
    let since = felt(now).map_or(now, |outage| outage.from);
    since.saturating_sub(HELD)..now
}
