//! Compares the figures with what sidestep promises of a fleet.

use crate::figures::Figures;
use crate::run::{Policy, Run};
use crate::scenario::Scenario;

/// Maximum number of queries in one second, over the mean of the steady state.
const PEAK: f64 = 2.0;
/// Maximum waves of the queries after the event, in percent of their mean.
const SWING_PERCENT: f64 = 25.0;
/// Maximum extra queries of a process, because without an address a process needs one lookup to connect again.
const ONCE: f64 = 1.05;
/// Smaller fleets have no steady state to compare a second with.
const FLEET: u64 = 1_000;

/// One bar.
pub(crate) struct Bar {
    pub(crate) words: String,
    pub(crate) is_met: bool,
    /// Whether a miss is an error.
    pub(crate) is_kept: bool,
}

impl Bar {
    fn new(words: String, is_met: bool) -> Self {
        Self {
            words,
            is_met,
            is_kept: true,
        }
    }
}

/// Returns the bars of all runs of sidestep.
pub(crate) fn all(runs: &[Run]) -> impl Iterator<Item = Bar> {
    let figures = runs.iter().map(|run| &run.figures);
    let ours = figures.filter(|it| it.policy == Policy::Sidestep);
    ours.flat_map(|it| match it.processes {
        FLEET.. => vec![peak(it), swing(it), extra(it), failed(it)],
        _ => vec![extra(it), failed(it)],
    })
}

/// Returns the missed bars that count as errors.
pub(crate) fn missed(runs: &[Run]) -> Vec<String> {
    let missed = all(runs).filter(|bar| bar.is_kept && !bar.is_met);
    missed.map(|bar| bar.words).collect()
}

fn peak(it: &Figures) -> Bar {
    // In so many seconds, chance makes one exceed twice the steady state.
    let chance = 4.0 * (PEAK / it.steady).sqrt();
    let words = format!(
        "{}: the peak is {:.2} x the steady state (bar {PEAK}, and {chance:.2} for chance)",
        name(it),
        it.peak
    );
    let is_kept = !has_nobody_left(it.scenario);
    Bar {
        is_kept,
        ..Bar::new(words, it.peak <= PEAK + chance)
    }
}

fn swing(it: &Figures) -> Bar {
    let words = format!(
        "{}: later the queries swing by {:.0} % (bar {SWING_PERCENT} %)",
        name(it),
        it.swing_percent
    );
    Bar::new(words, it.swing_percent <= SWING_PERCENT)
}

fn extra(it: &Figures) -> Bar {
    let extra = it.extra_per_process;
    // The queries of one process within minutes depend on chance.
    let chance = 4.0 / (it.processes as f64).sqrt();
    let words = format!(
        "{}: {extra:.2} queries more for each process (bar {ONCE}, and {chance:.2} for chance)",
        name(it)
    );
    Bar::new(words, extra <= ONCE + chance)
}

fn failed(it: &Figures) -> Bar {
    let (failed, requests) = (it.failed, it.requests);
    let words = format!(
        "{}: {failed} of {requests} requests failed (bar 0)",
        name(it)
    );
    Bar::new(words, failed == 0)
}

/// Returns whether no address is left in this scenario. Each process then needs a lookup for its next request, so the
/// peak is the rate of first requests, whatever the policy.
fn has_nobody_left(scenario: Scenario) -> bool {
    matches!(scenario, Scenario::Moved | Scenario::MovedTtl1800)
}

fn name(it: &Figures) -> String {
    format!("{}, {} x", it.scenario.words(), it.processes)
}
