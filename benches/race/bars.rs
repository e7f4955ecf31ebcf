//! Compares the figures with what sidestep promises of a race.

use crate::bar::Bar;
use crate::holes::{Connects, DELAY, Figures, Ours, Spread};
use crate::overhead::Cost;

/// Maximum extra time of a race on a healthy single address, over the bare connector.
const MORE_NS: f64 = 5_000.0;
/// Maximum extra allocations of a race on a healthy single address.
const MORE_ALLOCATIONS: f64 = 8.0;
/// Maximum time of the first connect of `.sidestep()` for each dead address. After that time a connect without recent
/// connects to its host is slow.
const SLOW_MS: f64 = 350.0;
/// Maximum extra time of the first connect: hyper-util starts its second lane after that time.
const LANE_MS: f64 = 300.0;
/// Maximum extra time of later connects, over connects without dead addresses.
const LATER_MS: f64 = 5.0;

pub(crate) fn bars(figures: &crate::Figures) -> Vec<Bar> {
    let raced = figures.healthy.iter().filter(|it| it.candidate.is_raced());
    let all = &figures.black_holed;
    raced
        .flat_map(|it| [time(it), allocations(it)])
        .chain(all.iter().flat_map(first))
        .chain(all.iter().flat_map(|it| later(it, all)))
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

/// Returns the bars of the first connect past the dead addresses, of a cold and of a warm client.
fn first(it: &Connects) -> [Bar; 2] {
    let dead = f64::from(it.dead);
    let race = |took: &Figures| {
        let most = DELAY.as_secs_f64() * 1000.0 * dead;
        most + took.round_trip_ms.worst + took.timer_error_ms.worst
    };
    let sidestep = |_: &Figures| SLOW_MS * dead + LANE_MS;
    let bar = |client, ours: &Ours, most: &dyn Fn(&Figures) -> f64| {
        let took = [&ours.cold, &ours.warm].map(|it| (it.first_ms.median, most(it)));
        let [(cold, most_cold), (warm, most_warm)] = took;
        Bar {
            words: format!(
                "{}, {client}: the first connect takes {cold:.1} ms cold and {warm:.1} ms warm \
                 (bars {most_cold:.1} ms and {most_warm:.1} ms)",
                case(it)
            ),
            is_met: took.iter().all(|(took, most)| took <= most),
        }
    };
    [
        bar("race", &it.race, &race),
        bar(".sidestep()", &it.sidestep, &sidestep),
    ]
}

/// Returns the bars of the second connect and of the connect after the penalties: the time without dead addresses.
fn later(it: &Connects, all: &[Connects]) -> Vec<Bar> {
    let healthy = all
        .iter()
        .find(|other| other.dead == 0 && other.all == it.all);
    let Some(healthy) = healthy.filter(|_| it.dead > 0) else {
        return Vec::new();
    };
    let bar = |client, of: fn(&Connects) -> &Ours| {
        let more = |took: fn(&Figures) -> Spread| {
            let more = |state: fn(&Ours) -> &Figures| {
                let took = |it| took(state(of(it))).median;
                took(it) - took(healthy)
            };
            f64::max(more(|ours| &ours.cold), more(|ours| &ours.warm))
        };
        let (second, rested) = (more(|it| it.second_ms), more(|it| it.rested_ms));
        Bar {
            words: format!(
                "{}, {client}: the second connect takes {second:.1} ms more than with none dead, and the first one \
                 after the penalties {rested:.1} ms (bar {LATER_MS} ms)",
                case(it)
            ),
            is_met: second.max(rested) <= LATER_MS,
        }
    };
    vec![
        bar("race", |it| &it.race),
        bar(".sidestep()", |it| &it.sidestep),
    ]
}

fn case(it: &Connects) -> String {
    format!("{} of {} dead", it.dead, it.all)
}
