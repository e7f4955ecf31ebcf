//! What the bench says in the end.

use comfy_table::presets::UTF8_FULL;
use comfy_table::{CellAlignment, Table};
use serde_json::json;

use crate::Figures;
use crate::args::Args;
use crate::bars::Bar;
use crate::holes::{Connects, Spread};
use crate::overhead::Cost;

const COSTS: [&str; 6] = [
    "one healthy address",
    "µs",
    "µs more",
    "allocations",
    "more",
    "instructions",
];

const CONNECTS: [&str; 7] = [
    "dead of four",
    "race, first",
    "race, second",
    "hyper-util, first",
    "hyper-util, second",
    "curl, on paper",
    "Go, on paper",
];

const NOTES: &str = "\
race: median (worst) of seven. On paper: both connects, as the sources say, without the round trip.
";

/// Renders all figures for a terminal.
pub(crate) fn table(figures: &Figures, bars: &[Bar], args: &Args) -> String {
    let costs = aligned(&COSTS, figures.healthy.iter().map(cost));
    let connects = figures.black_holed.iter();
    let connects = aligned(&CONNECTS, connects.map(|it| connect(it, args)));
    let bars: String = bars.iter().map(line).collect();
    format!("{costs}\n{connects}\n{NOTES}\n{bars}")
}

/// Renders all figures as one JSON object.
pub(crate) fn json(figures: &Figures, bars: &[Bar]) -> serde_json::Result<String> {
    serde_json::to_string(&json!({ "figures": figures, "bars": bars }))
}

fn aligned(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL).set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cost(it: &Cost) -> Vec<String> {
    let micros = |ns: f64| format!("{:.2}", ns / 1000.0);
    let instructions = it.instructions.map(|n| n.to_string());
    vec![
        it.candidate.title().to_owned(),
        micros(it.ns),
        micros(it.more_ns),
        format!("{:.1}", it.allocations),
        format!("{:.1}", it.more_allocations),
        instructions.unwrap_or_else(|| "-".to_owned()),
    ]
}

fn connect(it: &Connects, args: &Args) -> Vec<String> {
    let given_up = || format!("> {:.0} s", args.limit().as_secs_f64());
    let hyper = |ms: Option<f64>| ms.map_or_else(given_up, time);
    vec![
        it.dead.to_string(),
        spread(it.first_ms),
        spread(it.second_ms),
        hyper(it.hyper_first_ms),
        hyper(it.hyper_second_ms),
        time(it.curl_paper_ms),
        time(it.go_paper_ms),
    ]
}

fn spread(it: Spread) -> String {
    format!("{} ({})", time(it.median), time(it.worst))
}

fn time(ms: f64) -> String {
    match ms {
        0.0 => "0".to_owned(),
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

fn line(bar: &Bar) -> String {
    let verdict = if bar.is_met { "met   " } else { "MISSED" };
    format!("{verdict} {}\n", bar.words)
}
