//! The figures of a row.

use std::time::Duration;

use serde::Serialize;

use crate::load::{End, Request};
use crate::scenario::{Plan, Scenario};
use crate::stand::Row;

/// The results of one client in one scenario, which are the fields of the JSON output.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) scenario: Scenario,
    pub(crate) client: &'static str,
    pub(crate) requests: usize,
    /// Requests that ended in an error or were shed.
    pub(crate) failed: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) worst_ms: f64,
    /// Attempts to addresses while they were dead.
    pub(crate) dead_dials: usize,
    pub(crate) dns_queries: usize,
    /// Requests without a response one second after the last request started.
    pub(crate) hung: usize,
    pub(crate) hung_oldest_s: f64,
    /// Requests that were not sent because too many were in flight.
    pub(crate) shed: usize,
    /// The longest time of the requests that ended before the edge died.
    pub(crate) worst_before_ms: f64,
    /// Attempts to all addresses while one was dead.
    pub(crate) dials: usize,
    pub(crate) dead_dials_percent: f64,
    /// Requests that the edge has responded to since its recovery.
    pub(crate) served_after_return: Option<usize>,
}

impl Summary {
    pub(crate) fn new(scenario: Scenario, plan: &Plan, row: &Row) -> Self {
        let count = |end| row.requests.iter().filter(|r| r.end == end).count();
        let sent = |r: &&Request| r.end != End::Shed;
        let healthy = |r: &&Request| r.at + r.took < plan.dies_at;
        let hung = |r: &&Request| r.end == End::Hung;
        let all = sorted(row.requests.iter().filter(sent));
        let before = sorted(row.requests.iter().filter(healthy));
        let ages = sorted(row.requests.iter().filter(hung));
        Self {
            scenario,
            client: row.caller.title(),
            requests: row.requests.len(),
            failed: count(End::Failed) + count(End::Shed),
            p50_ms: millis(percentile(&all, 50)),
            p99_ms: millis(percentile(&all, 99)),
            worst_ms: millis(percentile(&all, 100)),
            dead_dials: row.dead_dials,
            dns_queries: row.dns_queries,
            hung: ages.len(),
            hung_oldest_s: millis(percentile(&ages, 100)) / 1000.0,
            shed: count(End::Shed),
            worst_before_ms: millis(percentile(&before, 100)),
            dials: row.dials,
            dead_dials_percent: percent(row.dead_dials, row.dials),
            served_after_return: row.served_after_return,
        }
    }
}

fn sorted<'a>(requests: impl Iterator<Item = &'a Request>) -> Vec<Duration> {
    let mut took: Vec<_> = requests.map(|request| request.took).collect();
    took.sort_unstable();
    took
}

/// Returns the smallest value that `percent` of all do not exceed (nearest rank).
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    let value = sorted.get(rank.saturating_sub(1));
    value.copied().unwrap_or_default()
}

/// Returns milliseconds, to the microsecond.
fn millis(took: Duration) -> f64 {
    took.as_micros() as f64 / 1000.0
}

/// Returns the percentage, to a hundredth.
fn percent(part: usize, all: usize) -> f64 {
    let share = part as f64 / all.max(1) as f64;
    (share * 10_000.0).round() / 100.0
}
