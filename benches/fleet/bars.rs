//! What sidestep promises of a fleet, held against the figures.

use crate::figures::Figures;
use crate::run::{Policy, Run};
use crate::scenario::Scenario;

/// Most queries in one second over the mean of the steady state.
const PEAK: f64 = 2.0;
/// Waves of the queries later on, in percent of their mean.
const SWING_PERCENT: f64 = 25.0;
/// Where no address is left each process must ask once before it can connect again.
const ONCE: f64 = 1.05;
/// Smaller fleets have no steady state that a second could be held against.
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

/// Returns the bars of all runs of ours.
pub(crate) fn all(runs: &[Run]) -> impl Iterator<Item = Bar> {
    let figures = runs.iter().map(|run| &run.figures);
    let ours = figures.filter(|it| it.policy == Policy::Sidestep);
    ours.flat_map(|it| match it.processes {
        FLEET.. => vec![peak(it), swing(it), extra(it), failed(it)],
        _ => vec![extra(it), failed(it)],
    })
}

/// Returns the bars that were missed and must not be.
pub(crate) fn missed(runs: &[Run]) -> Vec<String> {
    let missed = all(runs).filter(|bar| bar.is_kept && !bar.is_met);
    missed.map(|bar| bar.words).collect()
}

fn peak(it: &Figures) -> Bar {
    // Of so many seconds one reaches what chance gives to twice the steady state.
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
    // What one process does within minutes is chance.
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

/// Each process then has to ask at its next request, or that fails; so the peak is the rate at which
/// processes make their first request, whatever the rule.
fn has_nobody_left(scenario: Scenario) -> bool {
    matches!(scenario, Scenario::Moved | Scenario::MovedTtl1800)
}

fn name(it: &Figures) -> String {
    format!("{}, {} x", it.scenario.words(), it.processes)
}
