//! Compares the figures with what sidestep promises of a cold lookup.

use crate::bar::Bar;
use crate::measure::Figures;

/// Most time of a cold lookup, as a multiple of hickory's own.
const TIMES_HICKORY: f64 = 1.2;
/// Most milliseconds of a first connect while one family is silent: the resolution delay of 50 ms, and the
/// connect.
const SILENT_MS: f64 = 60.0;
/// Most time of the second lookup behind a dead first server, as a multiple of a healthy one's.
const TIMES_HEALTHY: f64 = 2.0;

pub(crate) fn bars(figures: &Figures) -> Vec<Bar> {
    let cold = figures.cold_us.sidestep / figures.cold_us.hickory;
    let dead = figures.first_server_dead_us.second / figures.first_server_dead_us.healthy;
    vec![
        bar(
            format!("a cold lookup takes {cold:.2} × hickory's (bar {TIMES_HICKORY})"),
            cold <= TIMES_HICKORY,
        ),
        silent("AAAA", figures.silent_ms.aaaa),
        silent("A", figures.silent_ms.a),
        bar(
            format!(
                "first server dead: the second lookup takes {dead:.2} × a healthy one (bar \
                 {TIMES_HEALTHY})"
            ),
            dead <= TIMES_HEALTHY,
        ),
    ]
}

fn silent(rtype: &str, took: f64) -> Bar {
    bar(
        format!("{rtype} silent: the first connect takes {took:.1} ms (bar {SILENT_MS} ms)"),
        took <= SILENT_MS,
    )
}

fn bar(words: String, is_met: bool) -> Bar {
    Bar { words, is_met }
}
