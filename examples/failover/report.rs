//! The text that the lab prints before and after the run.

use comfy_table::presets::UTF8_FULL;
use comfy_table::{CellAlignment, Table};
use serde_json::json;
use testkit::lab::clients::PING;

use crate::Outcome;
use crate::args::Args;
use crate::chart::Pictures;
use crate::scenario::Scenario;
use crate::summary::Summary;

/// Explains what the lab is about to show.
pub(crate) fn foreword(args: &Args) -> String {
    let count = args.scenarios().len();
    let (seconds, rate) = (args.seconds, args.rate);
    let scenarios = if count == 1 { "scenario" } else { "scenarios" };
    format!(
        "\
A CDN has four edges behind one name. One of them dies. What do callers notice?

Three clients of reqwest and three of hyper run side by side, each against edges of its own, {rate} requests a
second each, every request on a new connection (silent-pooled: on kept ones). A DNS answer is good for 30 minutes
(gslb: for 1 s). After {dies:.1} s the edge dies that the client has dialled most (gslb: last): {count} {scenarios}
of {seconds} s, all on loopback inside this process.",
        dies = seconds as f64 / 4.0,
    )
}

/// Renders all results for a terminal.
pub(crate) fn table(outcomes: &[Outcome], pictures: &Pictures) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL).set_header(HEADER);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for outcome in outcomes {
        table.add_row(cells(outcome));
    }
    let returns = outcomes
        .iter()
        .flat_map(summaries)
        .filter_map(|s| returned(&s));
    let returns: String = returns.collect();
    let terms: String = outcomes.iter().filter_map(terms).collect();
    let (reqwest, hyper) = (pictures.reqwest.display(), pictures.hyper.display());
    format!("{table}\n{NOTES}{terms}{returns}\nTimelines: {reqwest} and {hyper}")
}

/// Renders all results as one JSON object.
pub(crate) fn json(outcomes: &[Outcome], pictures: &Pictures) -> serde_json::Result<String> {
    let results: Vec<_> = outcomes.iter().flat_map(summaries).collect();
    serde_json::to_string(&json!({
        "results": results,
        "svg": pictures.reqwest,
        "svg_hyper": pictures.hyper,
    }))
}

const HEADER: [&str; 10] = [
    "scenario",
    "client",
    "requests",
    "failed",
    "hung",
    "p50",
    "p99",
    "worst",
    "dead dials",
    "DNS queries",
];

const NOTES: &str = "\
failed: errors, and requests not sent because 64 were waiting already.
hung: no answer when the scenario was over (age of the oldest); p50, p99 and worst hold their ages.
dead dials: connects begun to a dead address, and their share of all connects in that time.
hyper + race: with sidestep's RetryPolicy around the client, for connections that die before they answer.
";

/// Returns the cells of one scenario, each with a line for each client.
fn cells(outcome: &Outcome) -> Vec<String> {
    let rows: Vec<_> = summaries(outcome).collect();
    let lines = |show: fn(&Summary) -> String| {
        let lines: Vec<_> = rows.iter().map(show).collect();
        lines.join("\n")
    };
    vec![
        outcome.scenario.words().0,
        lines(|row| row.client.to_owned()),
        lines(|row| row.requests.to_string()),
        lines(|row| row.failed.to_string()),
        lines(hung),
        lines(|row| time(row.p50_ms)),
        lines(|row| time(row.p99_ms)),
        lines(|row| time(row.worst_ms)),
        lines(|row| format!("{} ({:.1} %)", row.dead_dials, row.dead_dials_percent)),
        lines(|row| row.dns_queries.to_string()),
    ]
}

pub(crate) fn summaries(outcome: &Outcome) -> impl Iterator<Item = Summary> {
    let summary = |row| Summary::new(outcome.scenario, &outcome.plan, row);
    outcome.rows.iter().map(summary)
}

fn hung(row: &Summary) -> String {
    match row.hung {
        0 => "0".to_owned(),
        n => format!("{n} ({:.1} s)", row.hung_oldest_s),
    }
}

/// Returns the settings of all clients, stock ones too, if they are not the usual ones.
fn terms(outcome: &Outcome) -> Option<String> {
    let (ping, most) = (PING.as_secs(), outcome.plan.most_in_flight);
    match outcome.scenario {
        Scenario::SilentPooled => Some(format!(
            "silent-pooled: all clients, stock ones too, keep HTTP/2 connections, ping them after {ping} s of silence \
             and wait {ping} s for the answer; {most} requests may wait.\n"
        )),
        Scenario::Gslb => {
            let words = "gslb: before the scenario each client has connected to each edge.\n";
            Some(words.to_owned())
        }
        _ => None,
    }
}

/// Returns how many requests went to an edge after its recovery.
fn returned(row: &Summary) -> Option<String> {
    let served = row.served_after_return?;
    let client = row.client;
    Some(format!(
        "came back: the edge then answered {served} requests of {client}.\n"
    ))
}

/// Renders milliseconds with a suitable unit.
pub(crate) fn time(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}
