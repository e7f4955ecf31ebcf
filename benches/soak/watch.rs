//! Samples memory and queries four times a second during a run.

use std::time::Duration;

use memory_stats::memory_stats;
use tokio::time::{MissedTickBehavior, interval};

use crate::stage::Stage;

/// One sample.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// Resident set in bytes, or `None` if the system does not report it.
    resident: Option<usize>,
    queries: usize,
}

/// All samples of one run.
#[derive(Debug)]
pub(crate) struct Watch(Vec<Look>);

const PER_SECOND: usize = 4;

impl Watch {
    /// Reserves space for the samples of this time, so that sampling allocates no memory later.
    pub(crate) fn with_room_for(lasts: Duration) -> Self {
        Self(Vec::with_capacity(lasts.as_secs() as usize * PER_SECOND))
    }

    /// Takes samples until the future is dropped.
    pub(crate) async fn look(&mut self, stage: &Stage) {
        let mut ticks = interval(Duration::from_secs(1) / PER_SECOND as u32);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.0.push(Look {
                resident: memory_stats().map(|stats| stats.physical_mem),
                queries: stage.queries(),
            });
        }
    }

    /// Returns the mean of the resident set in each quarter of the run, in bytes.
    pub(crate) fn quarters(&self) -> Option<[f64; 4]> {
        let resident: Option<Vec<_>> = self.0.iter().map(|look| look.resident).collect();
        let resident = resident.filter(|all| all.len() >= 4)?;
        let quarter = |n: usize| &resident[n * resident.len() / 4..(n + 1) * resident.len() / 4];
        let mean = |part: &[usize]| part.iter().sum::<usize>() as f64 / part.len() as f64;
        Some([0, 1, 2, 3].map(|n| mean(quarter(n))))
    }

    /// Returns the maximum number of queries in a second.
    pub(crate) fn most_queries_in_a_second(&self) -> usize {
        let seconds = self.0.windows(PER_SECOND + 1);
        let asked = seconds.map(|second| second[PER_SECOND].queries - second[0].queries);
        asked.max().unwrap_or_default()
    }
}
