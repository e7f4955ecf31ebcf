//! What sidestep promises of a race, held against the figures.

use serde::Serialize;

use crate::Figures;
use crate::holes::{Connects, DELAY};
use crate::overhead::Cost;

/// A race on a healthy single address may take so much longer than the bare connector.
const MORE_NS: f64 = 5_000.0;
/// And allocate so much more often.
const MORE_ALLOCATIONS: f64 = 8.0;
/// The second connect may take so much longer than where nothing is dead.
const SECOND_MS: f64 = 5.0;

/// One bar.
#[derive(Debug, Serialize)]
pub(crate) struct Bar {
    #[serde(rename = "bar")]
    pub(crate) words: String,
    #[serde(rename = "met")]
    pub(crate) is_met: bool,
}

pub(crate) fn bars(figures: &Figures) -> Vec<Bar> {
    let raced = figures.healthy.iter().filter(|it| it.candidate.is_raced());
    let all = &figures.black_holed;
    let healthy = all.first().map_or(0.0, |none| none.second_ms.median);
    let second = all.iter().filter(|it| it.dead > 0);
    raced
        .flat_map(|it| [time(it), allocations(it)])
        .chain(all.iter().map(first))
        .chain(second.map(|it| self::second(it, healthy)))
        .collect()
}

fn time(it: &Cost) -> Bar {
    let (name, more) = (it.candidate.title(), it.more_ns / 1000.0);
    let bar = MORE_NS / 1000.0;
    Bar {
        words: format!("{name}: {more:.2} µs over the bare connector (bar {bar} µs)"),
        is_met: it.more_ns <= MORE_NS,
    }
}

fn allocations(it: &Cost) -> Bar {
    let (name, more) = (it.candidate.title(), it.more_allocations);
    Bar {
        words: format!("{name}: {more:.2} allocations more (bar {MORE_ALLOCATIONS})"),
        is_met: more <= MORE_ALLOCATIONS,
    }
}

fn first(it: &Connects) -> Bar {
    let (dead, took) = (it.dead, it.first_ms.median);
    let delays = DELAY.as_secs_f64() * 1000.0 * f64::from(dead);
    let (round_trip, timers) = (it.round_trip_ms.worst, it.timer_error_ms.worst);
    let most = delays + round_trip + timers;
    Bar {
        words: format!(
            "{dead} dead: the first connect takes {took:.1} ms \
             (bar {delays:.0} ms, {round_trip:.1} for the round trip and {timers:.1} for timers)"
        ),
        is_met: took <= most,
    }
}

fn second(it: &Connects, healthy: f64) -> Bar {
    let (dead, took) = (it.dead, it.second_ms.median);
    Bar {
        words: format!(
            "{dead} dead: the second connect takes {took:.1} ms, {:.1} ms more than with none dead \
             (bar {SECOND_MS} ms)",
            took - healthy
        ),
        is_met: took - healthy <= SECOND_MS,
    }
}
