//! Formats the results as a table or as JSON.

use std::fmt::Write as _;

use comfy_table::presets::UTF8_FULL;
use comfy_table::{CellAlignment, Table};
use serde_json::json;
use testkit::soak::schedule::Schedule;

use crate::bars::Bar;
use crate::figures::Figures;

const HEADER: [&str; 10] = [
    "client",
    "faults",
    "answered",
    "failed",
    "hung",
    "p50",
    "p99",
    "p99.9",
    "worst",
    "dead dials",
];

const NOTES: &str = "\
failed: errors. hung: no answer 30 s after the last request was sent (age of the oldest); the times hold their ages.
dead dials: connects begun to an edge that does not serve, and their share of all connects.
Of each client of sidestep: what requests took by what was different for them.
";

/// Renders all results for a terminal.
pub(crate) fn table(all: &[Figures], bars: &[Bar]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL).set_header(HEADER);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for figures in all {
        table.add_row(cells(figures));
    }
    let more: String = all.iter().map(more).collect();
    let bars = bars.iter().map(|bar| {
        let kept = if bar.kept { "kept  " } else { "MISSED" };
        format!("{kept} {}\n", bar.words)
    });
    let bars: String = bars.collect();
    format!("{table}\n{NOTES}{more}\nsidestep's promises:\n{bars}")
}

/// Renders all results as one JSON object.
pub(crate) fn json(all: &[Figures], bars: &[Bar]) -> serde_json::Result<String> {
    let missed = bars.iter().filter(|bar| !bar.kept).map(|bar| &bar.words);
    let missed: Vec<_> = missed.collect();
    serde_json::to_string(&json!({ "runs": all, "missed": missed }))
}

fn cells(figures: &Figures) -> Vec<String> {
    let dead = format!(
        "{} ({:.1} %)",
        figures.dead_dials, figures.dead_dials_percent
    );
    vec![
        figures.client.to_owned(),
        figures.faults.to_string(),
        figures.answered.to_string(),
        figures.failed.to_string(),
        hung(figures),
        time(figures.p50_ms),
        time(figures.p99_ms),
        time(figures.p999_ms),
        time(figures.worst_ms),
        dead,
    ]
}

fn hung(figures: &Figures) -> String {
    match figures.hung {
        0 => "0".to_owned(),
        n => format!("{n} ({:.0} s)", figures.hung_oldest_s),
    }
}

/// Returns the results that have no column in the table.
fn more(figures: &Figures) -> String {
    let mut text = String::new();
    let title = match figures.faults {
        0 => format!("{}, without faults", figures.client),
        _ => figures.client.to_owned(),
    };
    let rate = figures.answered as f64 / figures.seconds;
    let mut line = |words: String| writeln!(text, "{words}").expect("a string takes it");
    line(format!(
        "\n{title}: {:.0} s, {rate:.0} answers a second",
        figures.seconds
    ));
    line(format!(
        "  {} queries, at most {} in a second (sidestep's limit here: {:.0})",
        figures.queries, figures.most_queries_in_a_second, figures.most_queries
    ));
    if let (Some(lookups), Some(probes)) = (figures.lookups, figures.probes) {
        line(format!(
            "  {lookups} lookups; {probes} connects of its own to addresses that may be back"
        ));
    }
    match figures.memory_mib {
        Some([one, two, three, four]) => line(format!(
            "  memory by quarters, in MiB: {one:.1}, {two:.1}, {three:.1}, {four:.1}"
        )),
        None => line("  memory: not measured, this system does not tell".to_owned()),
    }
    for class in figures.classes.iter().filter(|_| figures.lookups.is_some()) {
        let (p999, worst) = (time(class.p999_ms), time(class.worst_ms));
        line(format!(
            "  {:>6} requests, {}: p99.9 {p999}, worst {worst}",
            class.requests, class.words
        ));
    }
    line(format!(
        "  {} dials for {} requests: dead ones are {:.2} % of the requests",
        figures.dials,
        figures.answered + figures.failed + figures.hung as u64,
        figures.dead_dials_of_requests_percent
    ));
    let dead = figures.dials_by_mode.iter().skip(1);
    let dead = dead.map(|(mode, dials)| format!("{mode} {dials}"));
    let dead: Vec<_> = dead.collect();
    line(format!("  dead dials: {}", dead.join(", ")));
    for slow in &figures.slow {
        let (met, worst) = (&slow.met, time(slow.worst_ms));
        let [first, last] = slow.began_s;
        line(format!(
            "  over the bar: {:>6} that met {met}, the worst {worst}, begun from {first:.1} s to {last:.1} s",
            slow.requests
        ));
    }
    for (failure, count) in &figures.failures {
        line(format!("  failed: {count:>6} {failure}"));
    }
    text
}

/// Lists the steps of a schedule with their times.
pub(crate) fn list(schedule: &Schedule) -> String {
    let line = |(at, act): &(u64, _)| format!("{:>8.2} s  {act:?}\n", *at as f64 / 1000.0);
    schedule.steps.iter().map(line).collect()
}

/// Renders milliseconds with a suitable unit.
fn time(ms: f64) -> String {
    match ms {
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}
