//! Draws queries and attempts to dead addresses over time, with a row for each scenario, for the largest fleet.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::run::{Policy, Run};
use crate::scenario::{HAPPENS, Scenario};
use crate::tally::{Second, Tally};

type Failure = Box<dyn StdError + Send + Sync>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const WIDTH: u32 = 1440;
const HEAD: u32 = 88;
const TITLE: u32 = 40;
const PANEL: u32 = 230;
const LEFT: i32 = 24;

const INK: RGBColor = RGBColor(38, 50, 56);
const FAINT: RGBColor = RGBColor(120, 130, 136);
const GRID: RGBColor = RGBColor(226, 230, 233);
const MARK: RGBColor = RGBColor(214, 39, 40);

/// Number of seconds before the event that are shown.
const BEFORE: usize = 120;
/// Number of seconds whose mean is drawn.
const TOGETHER: usize = 5;

/// Draws the runs of the largest fleet and returns the path of the picture.
pub(crate) fn draw(runs: &[Run]) -> Result<PathBuf, Failure> {
    let path = path()?;
    let most = runs.iter().map(|run| run.play.processes).max().unwrap_or(0);
    let largest: Vec<&Run> = runs
        .iter()
        .filter(|run| run.play.processes == most)
        .collect();
    let rows: Vec<&[&Run]> = largest.chunks(Policy::ALL.len()).collect();
    let height = HEAD + (TITLE + PANEL) * rows.len() as u32;
    let root = SVGBackend::new(&path, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(HEAD);
    draw_head(&head, most)?;
    for (area, row) in body.split_evenly((rows.len(), 1)).iter().zip(&rows) {
        draw_row(area, row)?;
    }
    root.present()?;
    drop((head, body, root));
    Ok(path)
}

/// Returns the path of the picture, in the target directory of cargo.
fn path() -> Result<PathBuf, Failure> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"));
    let folder = target.join("fleet");
    std::fs::create_dir_all(&folder)?;
    Ok(folder.join("fleet.svg"))
}

fn color(policy: Policy) -> RGBColor {
    match policy {
        Policy::Sidestep => RGBColor(33, 113, 181),
        Policy::Fixed30 => RGBColor(240, 140, 0),
        Policy::Fixed60 => RGBColor(35, 139, 69),
        Policy::EvictAndRetry => RGBColor(148, 103, 189),
    }
}

fn text(size: i32, color: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&color)
}

fn draw_head(area: &Area<'_>, processes: u64) -> Result<(), Failure> {
    let title = format!("What the name servers and the dead edges see of {processes} processes");
    area.draw_text(&title, &text(28, INK), (LEFT, 14))?;
    let mut x = LEFT + 6;
    for policy in Policy::ALL {
        let words = policy.words();
        area.draw(&Rectangle::new(
            [(x, 63), (x + 18, 68)],
            color(policy).filled(),
        ))?;
        area.draw_text(words, &text(18, INK), (x + 26, 56))?;
        x += 60 + 9 * words.len() as i32;
    }
    Ok(())
}

fn draw_row(area: &Area<'_>, runs: &[&Run]) -> Result<(), Failure> {
    let Some(first) = runs.first() else {
        return Ok(());
    };
    let scenario = first.play.scenario;
    let (title, panels) = area.split_vertically(TITLE);
    title.draw_text(scenario.words(), &text(22, INK), (LEFT, 16))?;
    let panels = panels.split_evenly((1, 2));
    let per_thousand = |second: Second, run: &Run| {
        second.queries as f64 * 1_000.0 / (TOGETHER as f64 * run.play.processes as f64)
    };
    draw_panel(
        &panels[0],
        "queries per second, of 1000 processes",
        runs,
        per_thousand,
    )?;
    match scenario {
        Scenario::NameServerDown => {
            let failed = |it: Second, _: &Run| percent(it.failed, it.requests);
            draw_panel(&panels[1], "requests that fail, %", runs, failed)
        }
        Scenario::EdgeDies | Scenario::Moved | Scenario::MovedTtl1800 => {
            let dead = |it: Second, _: &Run| percent(it.dead, it.dials);
            draw_panel(&panels[1], "dials that go to dead addresses, %", runs, dead)
        }
    }
}

fn percent(part: u64, of: u64) -> f64 {
    100.0 * part as f64 / of.max(1) as f64
}

fn draw_panel(
    area: &Area<'_>,
    words: &str,
    runs: &[&Run],
    value: impl Fn(Second, &Run) -> f64,
) -> Result<(), Failure> {
    let lines: Vec<Vec<(f64, f64)>> = runs
        .iter()
        .map(|run| points(&run.tally, |second| value(second, run)))
        .collect();
    let values = lines.iter().flatten();
    let top = values.map(|&(_, value)| value).fold(1.0, f64::max) * 1.05;
    let end = lines
        .iter()
        .flatten()
        .map(|&(at, _)| at)
        .fold(0.0, f64::max);
    let mut panel = ChartBuilder::on(area)
        .margin_left(14)
        .margin_right(16)
        .caption(words, text(16, FAINT))
        .x_label_area_size(24)
        .y_label_area_size(56)
        .build_cartesian_2d(-(BEFORE as f64)..end, 0.0..top)?;
    panel
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(GRID)
        .label_style(text(15, FAINT))
        .x_label_formatter(&|s| format!("{s} s"))
        .y_labels(6)
        .draw()?;
    let mark = [(0.0, 0.0), (0.0, top)];
    panel.draw_series(DashedLineSeries::new(mark, 5, 4, MARK.stroke_width(1)))?;
    // sidestep is drawn last, so that no other line hides its line.
    for (run, line) in runs.iter().zip(lines).rev() {
        let style = color(run.play.policy).stroke_width(2);
        panel.draw_series(LineSeries::new(line, style))?;
    }
    Ok(())
}

/// Returns the seconds since the event, with the mean value of a few seconds each.
fn points(tally: &Tally, value: impl Fn(Second) -> f64) -> Vec<(f64, f64)> {
    let happens = HAPPENS.as_secs() as usize;
    let seconds = &tally.seconds()[happens - BEFORE..];
    let bins = seconds.chunks_exact(TOGETHER).enumerate();
    bins.map(|(index, bin)| {
        let mut sum = Second::default();
        bin.iter().for_each(|&second| sum += second);
        let middle = (index * TOGETHER) as f64 + TOGETHER as f64 / 2.0;
        (middle - BEFORE as f64, value(sum))
    })
    .collect()
}
