//! Formats the results as a table or as JSON.

use std::path::Path;

use comfy_table::presets::UTF8_FULL;
use comfy_table::{CellAlignment, Table};
use serde_json::json;

use crate::args::Args;
use crate::bars::{self, Bar};
use crate::figures::Figures;
use crate::run::{Policy, Run};

const HEADER: [&str; 11] = [
    "what happens",
    "processes",
    "policy",
    "queries/s",
    "peak",
    "later peak",
    "swing",
    "queries more",
    "dead dials",
    "probes",
    "failed",
];

const NOTES: &str = "\
queries/s: that reach the name servers in the steady state. peak: the most in one second from the event on,
  times that. later peak: from one minute after the event is over, for ten minutes. swing: the standard
  deviation of five seconds in that time, beyond chance.
queries more, probes: for each process, from the event to the end. dead dials: share of the requests' dials that
  go to dead addresses, in the first minute and to the end. failed: requests, and those without an address.
";

/// Renders all runs for a terminal.
pub(crate) fn table(runs: &[Run], args: &Args, svg: &Path) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL).set_header(HEADER);
    for (index, column) in table.column_iter_mut().enumerate() {
        if index != 0 && index != 2 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for policies in runs.chunks(Policy::ALL.len()) {
        let rows: Vec<_> = policies.iter().map(|run| &run.figures).collect();
        table.add_row(cells(&rows));
    }
    let bars: String = bars::all(runs).map(|bar| line(&bar)).collect();
    let interval = args.interval().as_secs_f64();
    let picture = svg.display();
    format!(
        "{table}\nOne request in {interval} s, on average, for each process.\n{NOTES}\n{bars}\nOver time: {picture}"
    )
}

/// Renders all runs as one JSON object.
pub(crate) fn json(runs: &[Run], args: &Args, svg: &Path) -> serde_json::Result<String> {
    let results: Vec<_> = runs.iter().map(|run| &run.figures).collect();
    let bars: Vec<_> = bars::all(runs)
        .map(|bar| json!({ "bar": bar.words, "met": bar.is_met }))
        .collect();
    let interval = args.interval().as_secs_f64();
    serde_json::to_string(&json!({
        "interval": interval,
        "seed": args.seed,
        "results": results,
        "bars": bars,
        "svg": svg,
    }))
}

/// Returns the cells of one scenario and size, each with a line for each policy.
fn cells(rows: &[&Figures]) -> Vec<String> {
    let lines = |show: fn(&Figures) -> String| {
        let lines: Vec<_> = rows.iter().map(|row| show(row)).collect();
        lines.join("\n")
    };
    let first = rows.first();
    vec![
        first.map_or_else(String::new, |row| row.scenario.words().to_owned()),
        first.map_or_else(String::new, |row| row.processes.to_string()),
        lines(|row| row.policy.words().to_owned()),
        lines(|row| steady(row.steady)),
        lines(|row| times(row, row.peak)),
        lines(|row| times(row, row.later_peak)),
        lines(|row| match row.processes {
            1 => "-".to_owned(),
            _ => format!("{:.0} %", row.swing_percent),
        }),
        lines(|row| format!("{:.2}", row.extra_per_process)),
        lines(|row| {
            let (first, all) = (row.dead_percent_first_minute, row.dead_percent);
            format!("{first:.1} %, {all:.1} %")
        }),
        lines(|row| format!("{:.1}", row.probes_per_process)),
        lines(failed),
    ]
}

fn steady(queries: f64) -> String {
    match queries {
        q if q < 1.0 => format!("{q:.3}"),
        q if q < 100.0 => format!("{q:.1}"),
        q => format!("{q:.0}"),
    }
}

/// Renders a peak. For a single process, which has no steady state, the peak is the number of queries.
fn times(row: &Figures, peak: f64) -> String {
    match row.processes {
        1 => format!("{:.0} in 1 s", peak * row.steady),
        _ => format!("{peak:.2} x"),
    }
}

fn failed(row: &Figures) -> String {
    let percent = |part: u64| 100.0 * part as f64 / row.requests.max(1) as f64;
    match (row.failed, row.unanswered) {
        (0, _) => "0".to_owned(),
        (failed, 0) => format!("{failed} ({:.1} %)", percent(failed)),
        (failed, unanswered) => {
            format!(
                "{failed} ({:.1} %), {:.1} % without",
                percent(failed),
                percent(unanswered)
            )
        }
    }
}

fn line(bar: &Bar) -> String {
    let verdict = match (bar.is_met, bar.is_kept) {
        (true, _) => "met   ",
        (false, true) => "MISSED",
        (false, false) => "over  ",
    };
    format!("{verdict} {}\n", bar.words)
}
