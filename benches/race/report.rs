//! Formats the figures as a table or as JSON.

use comfy_table::presets::UTF8_FULL;
use comfy_table::{CellAlignment, Table};
use serde_json::json;

use crate::Figures;
use crate::args::Args;
use crate::bar::Bar;
use crate::holes::{self, Connects, Spread};
use crate::overhead::Cost;

const COSTS: [&str; 6] = [
    "one healthy address",
    "µs",
    "µs more",
    "allocations",
    "more",
    "instructions",
];

const OURS: [&str; 7] = [
    "dead",
    "client",
    "knows",
    "first connect",
    "second",
    "after the penalties",
    "bare, none dead",
];

const OTHERS: [&str; 5] = [
    "dead",
    "hyper-util, first",
    "hyper-util, second",
    "curl, on paper",
    "Go, on paper",
];

const NOTES: &str = "\
Median (worst) of seven. A client knows nothing (cold), or all addresses have connected and some died just now (warm).
On paper: both connects, as the sources say, without the round trip.
";

/// Renders all figures for a terminal.
pub(crate) fn table(figures: &Figures, bars: &[Bar], args: &Args) -> String {
    let costs = aligned(&COSTS, figures.healthy.iter().map(cost));
    let connects = figures.black_holed.iter();
    let ours = aligned(&OURS, connects.clone().flat_map(ours));
    let others = aligned(&OTHERS, connects.map(|it| others(it, args)));
    let bars: String = bars.iter().map(|bar| format!("{bar}\n")).collect();
    format!("{costs}\n{ours}\n{others}\n{NOTES}\n{bars}")
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

fn ours(it: &Connects) -> Vec<Vec<String>> {
    let row = |client: &str, knows: &str, took: &holes::Figures| {
        vec![
            dead(it),
            client.to_owned(),
            knows.to_owned(),
            spread(took.first_ms),
            spread(took.second_ms),
            spread(took.rested_ms),
            spread(took.round_trip_ms),
        ]
    };
    vec![
        row("race", "cold", &it.race.cold),
        row("race", "warm", &it.race.warm),
        row(".sidestep()", "cold", &it.sidestep.cold),
        row(".sidestep()", "warm", &it.sidestep.warm),
    ]
}

fn others(it: &Connects, args: &Args) -> Vec<String> {
    let given_up = || format!("> {:.0} s", args.limit().as_secs_f64());
    let hyper = |ms: Option<f64>| ms.map_or_else(given_up, time);
    vec![
        dead(it),
        hyper(it.hyper_first_ms),
        hyper(it.hyper_second_ms),
        time(it.curl_paper_ms),
        time(it.go_paper_ms),
    ]
}

fn dead(it: &Connects) -> String {
    format!("{} of {}", it.dead, it.all)
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
