//! What sidestep promises, held against what was measured.

use std::time::Duration;

use crate::figures::Figures;
use crate::limits::IN_A_SECOND;

/// The slowest of a thousand requests may be this much slower than without faults.
pub(crate) const SLOWER: Duration = Duration::from_millis(350);
/// Share of dials that may go to dead addresses.
const DEAD_PERCENT: f64 = 2.0;
/// Growth of the resident set that still is flat.
const GROWTH_PERCENT: f64 = 5.0;
/// In fewer requests than this only failures are judged: a few seconds are not the long run.
const LONG: u64 = 200_000;

/// One promise, and whether it was kept.
pub(crate) struct Bar {
    pub(crate) kept: bool,
    pub(crate) words: String,
}

impl Bar {
    fn new(measured: f64, most: f64, words: impl FnOnce(String) -> String) -> Self {
        let kept = measured <= most;
        let sign = if kept { "≤" } else { ">" };
        let words = words(format!("{measured:.1} {sign} {most:.1}"));
        Self { kept, words }
    }
}

/// Returns each bar for the run with faults; `calm` is the same run without.
pub(crate) fn bars(calm: &Figures, storm: &Figures) -> Vec<Bar> {
    let lost = storm.failed + storm.hung as u64;
    let all = lost + storm.answered;
    let mut bars = vec![Bar::new(lost as f64, 0.0, |it| {
        format!("requests failed or hung of {all}: {it}")
    })];
    if all < LONG {
        return bars;
    }
    let slower = SLOWER.as_secs_f64() * 1000.0;
    bars.push(Bar::new(storm.p999_ms, calm.p999_ms + slower, |it| {
        format!("p99.9 in ms against that without faults and {slower}: {it}")
    }));
    bars.push(Bar::new(storm.dead_dials_percent, DEAD_PERCENT, |it| {
        format!("percent of dials to dead addresses: {it}")
    }));
    bars.push(Bar::new(storm.queries as f64, storm.most_queries, |it| {
        format!("queries to the name server: {it}")
    }));
    let in_a_second = storm.most_queries_in_a_second as f64;
    bars.push(Bar::new(in_a_second, IN_A_SECOND as f64, |it| {
        format!("queries in any second: {it}")
    }));
    if let Some(growth) = storm.growth_percent() {
        bars.push(Bar::new(growth, GROWTH_PERCENT, |it| {
            format!("percent that memory grew from the third quarter to the last: {it}")
        }));
    }
    bars
}
