//! What every schedule keeps to.

use std::ops::Range;

use crate::director::{BETWEEN_CUTS, cuts, most};
use crate::edge::Mode;
use crate::schedule::{Act, At, EDGES, Schedule};

/// How old an answer may be that a client holds while the name server works: it lives for 5 s, and
/// its lookup may take a while.
const HELD: At = 8_000;

/// # Panics
///
/// When nobody serves of an answer that a client may hold, and when something happens that no client
/// can be asked to get over.
pub(crate) fn check(schedule: &Schedule) {
    let mut modes = [Mode::Serve; EDGES];
    let mut last_cut: Option<At> = None;
    for &(at, act) in &schedule.steps {
        if let Act::Edge(edge, mode) = act {
            if modes[edge] == Mode::Serve && cuts(mode) {
                let apart = last_cut.is_none_or(|last| at >= last + BETWEEN_CUTS);
                assert!(apart, "two edges are cut off at once at {at} ms");
                last_cut = Some(at);
            }
            modes[edge] = mode;
            let same = modes.iter().filter(|&&other| other == mode).count();
            let few = mode == Mode::Serve || same <= most(mode);
            assert!(few, "{same} edges are {mode:?} at {at} ms");
        }
        for listed in answers_held(schedule, at) {
            let mut serving = (0..EDGES).filter(|&edge| listed[edge] && modes[edge] == Mode::Serve);
            assert!(serving.next().is_some(), "nobody serves at {at} ms");
        }
    }
}

/// The answers that the name server has given since a client may have asked last.
fn answers_held(schedule: &Schedule, now: At) -> impl Iterator<Item = [bool; EDGES]> {
    let asked = asked(schedule, now);
    let given = schedule.steps.iter().filter_map(|&(at, act)| match act {
        Act::Dns(listed) => Some((at, listed)),
        Act::Edge(..) | Act::NameServer(_) => None,
    });
    let ends = given.clone().skip(1).map(|(at, _)| at).chain([At::MAX]);
    let held = given.zip(ends);
    held.filter(move |((from, _), until)| *from <= now && *until > asked.start)
        .map(|((_, listed), _)| listed)
}

/// When a client may have asked last.
fn asked(schedule: &Schedule, now: At) -> Range<At> {
    let felt = |at: At| {
        let mut outages = schedule.outages.iter();
        outages.rfind(|outage| (outage.from..outage.felt_until()).contains(&at))
    };
    let since = felt(now).map_or(now, |outage| outage.from);
    since.saturating_sub(HELD)..now
}
