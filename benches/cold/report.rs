//! Formats the figures as a table or as JSON.

use comfy_table::Table;
use serde::Serialize;

use crate::bar::Bar;
use crate::measure::Figures;

pub(crate) fn json(figures: &Figures, bars: &[Bar]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct All<'a> {
        #[serde(flatten)]
        figures: &'a Figures,
        bars: &'a [Bar],
    }
    serde_json::to_string_pretty(&All { figures, bars })
}

pub(crate) fn table(figures: &Figures, bars: &[Bar]) -> String {
    let mut table = Table::new();
    table.set_header(["median of", "takes"]);
    let cold = &figures.cold_us;
    let (silent, dead) = (&figures.silent_ms, &figures.first_server_dead_us);
    for (what, takes) in [
        (
            "a cold lookup of sidestep",
            format!("{:.1} µs", cold.sidestep),
        ),
        (
            "a cold lookup of hickory",
            format!("{:.1} µs", cold.hickory),
        ),
        (
            "first connect, AAAA silent",
            format!("{:.1} ms", silent.aaaa),
        ),
        ("first connect, A silent", format!("{:.1} ms", silent.a)),
        (
            "first server dead: first lookup",
            format!("{:.1} ms", dead.first / 1_000.0),
        ),
        (
            "first server dead: second lookup",
            format!("{:.1} µs", dead.second),
        ),
        ("two healthy servers", format!("{:.1} µs", dead.healthy)),
    ] {
        table.add_row([what.to_owned(), takes]);
    }
    let bars = bars.iter().map(|bar| format!("\n{bar}"));
    format!("{table}{}", bars.collect::<String>())
}
