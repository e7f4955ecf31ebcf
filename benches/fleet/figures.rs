//! The figures of a run.

use std::ops::Range;

use serde::Serialize;

use crate::run::{Play, Policy};
use crate::scenario::{HAPPENS, LATER, SETTLED, STARTS, Scenario};
use crate::tally::{Second, Tally};

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) processes: u64,
    pub(crate) scenario: Scenario,
    pub(crate) policy: Policy,
    /// Mean queries per second before the event.
    pub(crate) steady: f64,
    /// Maximum number of queries in one second before the event, over the mean.
    pub(crate) steady_peak: f64,
    /// Maximum number of queries in one second after the event, over the mean before the event.
    pub(crate) peak: f64,
    /// Maximum number of queries in one second, one minute after the event is over and later, over the mean before
    /// the event.
    pub(crate) later_peak: f64,
    /// Waves of the queries in that time, in percent of the mean, beyond those of chance.
    pub(crate) swing_percent: f64,
    /// Queries beyond the steady state from the event to the end, for each process.
    pub(crate) extra_per_process: f64,
    /// Share of the attempts after the event that went to dead addresses, in all and in the first minute.
    pub(crate) dead_percent: f64,
    pub(crate) dead_percent_first_minute: f64,
    /// Probes from the event to the end, for each process.
    pub(crate) probes_per_process: f64,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) unanswered: u64,
}

impl Figures {
    pub(crate) fn new(play: Play, tally: &Tally) -> Self {
        let seconds = tally.seconds();
        let end = seconds.len();
        let (happens, over) = (
            HAPPENS.as_secs() as usize,
            play.scenario.over().as_secs() as usize,
        );
        let later = over + SETTLED.as_secs() as usize..end;
        debug_assert_eq!(later.len(), LATER.as_secs() as usize);
        let before = &seconds[STARTS.as_secs() as usize..happens];
        let after = sum(&seconds[happens..]);
        let steady = sum(before).queries as f64 / before.len() as f64;
        let peak = |seconds: &[Second]| {
            let most = seconds.iter().map(|second| second.queries).max();
            most.unwrap_or(0) as f64 / steady
        };
        let extra = after.queries as f64 - steady * (end - happens) as f64;
        Self {
            processes: play.processes,
            scenario: play.scenario,
            policy: play.policy,
            steady,
            steady_peak: peak(before),
            peak: peak(&seconds[happens..]),
            later_peak: peak(&seconds[later.clone()]),
            swing_percent: 100.0 * swing(&seconds[later]),
            extra_per_process: extra / play.processes as f64,
            dead_percent: dead_percent(seconds, happens..end),
            dead_percent_first_minute: dead_percent(seconds, happens..happens + 60),
            probes_per_process: after.probes as f64 / play.processes as f64,
            requests: after.requests,
            failed: after.failed,
            unanswered: after.unanswered,
        }
    }
}

fn sum(seconds: &[Second]) -> Second {
    let mut sum = Second::default();
    seconds.iter().for_each(|&second| sum += second);
    sum
}

fn dead_percent(seconds: &[Second], of: Range<usize>) -> f64 {
    let Second { dials, dead, .. } = sum(&seconds[of]);
    100.0 * dead as f64 / dials.max(1) as f64
}

/// Seconds that are summed up, because waves are longer.
const TOGETHER: usize = 5;

/// Returns the relative standard deviation without the variance of a Poisson process, which is its mean.
fn swing(seconds: &[Second]) -> f64 {
    let bins = seconds.chunks_exact(TOGETHER);
    let bins: Vec<f64> = bins.map(|bin| sum(bin).queries as f64).collect();
    let mean = bins.iter().sum::<f64>() / bins.len() as f64;
    let squares = bins.iter().map(|bin| (bin - mean).powi(2));
    let variance = squares.sum::<f64>() / (bins.len() - 1) as f64;
    (variance - mean).max(0.0).sqrt() / mean
}
