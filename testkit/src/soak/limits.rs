//! How many queries a name server may get by the rules of the README.

use super::schedule::{Act, At, EDGES, Schedule, TTL};

/// Maximum lookups a second after failed connects and lookups, for all hosts together.
pub const IN_A_SECOND: usize = 100;
/// Queries of one lookup, for A and AAAA.
const FAMILIES: f64 = 2.0;
/// Queries of one lookup for one family while the name server fails, because hickory repeats queries, also over TCP.
const TRIES: f64 = 6.0;

/// Milliseconds between two lookups while no healthy address is left.
const ALONE: f64 = 2_000.0;

/// Returns the maximum number of queries in a run of this many seconds.
///
/// - An answer in use is refreshed at four fifths of its lifetime at the earliest.
/// - After a failed connect the host is looked up at once, and then after 1 s, 2 s … 30 s. An answer with a new address
///   starts this series again, at most as often as DNS adds an address.
/// - While no healthy address is left, the host is looked up every 2 s. That can happen only in scenes that change DNS,
///   because otherwise each answer names an edge that serves.
/// - After a failed lookup the host is looked up after 1 s, 2 s … 30 s.
pub fn most_queries(schedule: &Schedule, lasted: f64) -> f64 {
    let ageing = 1.0 + lasted / (0.8 * f64::from(TTL));
    let changes = 1.0 + additions(schedule, lasted) as f64;
    let after_connects = changes * doubling(lasted / changes);
    let scenes = schedule
        .scenes
        .iter()
        .filter(|scene| scene.kind.changes_dns());
    let alone = scenes.filter(|scene| scene.dies < millis(lasted));
    let alone: f64 = alone
        .map(|scene| millis_between(scene.dies, scene.ends) / ALONE)
        .sum();
    let after_lookups = schedule.outages.iter().map(|outage| {
        let felt = millis(lasted).min(outage.until).saturating_sub(outage.from);
        1.0 + doubling(felt as f64 / 1000.0)
    });
    let failing: f64 = after_lookups.sum();
    FAMILIES * (ageing + after_connects + alone + TRIES * failing)
}

/// Returns the maximum number of lookups in this many seconds, if the first one is sent at once and the time to the
/// next one doubles from 1 s to 30 s.
fn doubling(secs: f64) -> f64 {
    const LONGEST: f64 = 30.0;
    let doubled = secs.min(LONGEST + 1.0);
    1.0 + (1.0 + doubled).log2() + (secs - doubled) / LONGEST
}

/// Counts how often DNS adds an address.
fn additions(schedule: &Schedule, lasted: f64) -> usize {
    let lists = schedule.steps.iter().filter_map(|&(at, act)| match act {
        Act::Dns(listed) if at <= millis(lasted) => Some(listed),
        Act::Dns(_) | Act::Edge(..) | Act::Edges(..) | Act::NameServer(_) => None,
    });
    let lists: Vec<_> = lists.collect();
    let adds = |pair: &&[[bool; EDGES]]| (0..EDGES).any(|edge| !pair[0][edge] && pair[1][edge]);
    lists.windows(2).filter(adds).count()
}

fn millis_between(from: At, until: At) -> f64 {
    until.saturating_sub(from) as f64
}

fn millis(secs: f64) -> At {
    (secs * 1000.0) as At
}
