//! Draws latency over time, with a row for each scenario and a column for each client of a library.

use std::error::Error;
use std::path::{Path, PathBuf};

use plotters::chart::ChartContext;
use plotters::coord::combinators::LogCoord;
use plotters::coord::types::RangedCoordf64;
use plotters::coord::{Shift, cartesian::Cartesian2d};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Outcome;
use crate::callers::{Caller, Library};
use crate::load::{End, Request};
use crate::report::{summaries, time};
use crate::scenario::Plan;
use crate::stand::Row;
use crate::summary::Summary;

type Failure = Box<dyn Error + Send + Sync>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Panel<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, LogCoord<f64>>>;

const WIDTH: u32 = 1440;
const HEAD: u32 = 88;
const TITLE: u32 = 44;
const CAPTION: u32 = 44;
const PANEL: u32 = 212;
const LEFT: i32 = 24;
const RIGHT: i32 = 16;
/// Width of the labels of latencies.
const LABELS: u32 = 56;
/// Range of the latencies in a panel, in milliseconds.
const MS: std::ops::Range<f64> = 0.2..60_000.0;

const INK: RGBColor = RGBColor(38, 50, 56);
const FAINT: RGBColor = RGBColor(120, 130, 136);
const GRID: RGBColor = RGBColor(226, 230, 233);
const ANSWERED: RGBColor = RGBColor(33, 113, 181);
const FAILED: RGBColor = RGBColor(214, 39, 40);
const HUNG: RGBColor = RGBColor(240, 140, 0);
const RETURN: RGBColor = RGBColor(35, 139, 69);

/// The paths of the pictures.
pub(crate) struct Pictures {
    pub(crate) reqwest: PathBuf,
    pub(crate) hyper: PathBuf,
}

/// Draws all results, with one picture for each library.
pub(crate) fn draw(outcomes: &[Outcome]) -> Result<Pictures, Failure> {
    Ok(Pictures {
        reqwest: draw_library(outcomes, Library::Reqwest, "failover.svg")?,
        hyper: draw_library(outcomes, Library::Hyper, "failover-hyper.svg")?,
    })
}

fn draw_library(outcomes: &[Outcome], library: Library, name: &str) -> Result<PathBuf, Failure> {
    let path = path(name)?;
    let height = HEAD + (TITLE + PANEL) * outcomes.len() as u32;
    let root = SVGBackend::new(&path, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(HEAD);
    draw_head(&head, library)?;
    for (area, outcome) in body.split_evenly((outcomes.len(), 1)).iter().zip(outcomes) {
        draw_scenario(area, outcome, library)?;
    }
    root.present()?;
    drop((head, body, root));
    Ok(path)
}

/// Returns the path of the picture, in the target directory of cargo.
fn path(name: &str) -> Result<PathBuf, Failure> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"));
    let folder = target.join("failover");
    std::fs::create_dir_all(&folder)?;
    Ok(folder.join(name))
}

fn draw_head(area: &Area<'_>, library: Library) -> Result<(), Failure> {
    let name = library.name();
    let title = format!("An edge dies. How long does each request take through {name}?");
    area.draw_text(&title, &text(30, INK), (LEFT, 14))?;
    let legend = [
        (ANSWERED, "answered"),
        (FAILED, "failed (along the top: not sent)"),
        (HUNG, "hung to the end, at its age then"),
    ];
    let mut x = LEFT + 6;
    for (color, words) in legend {
        area.draw(&Circle::new((x, 66), 5, color.filled()))?;
        area.draw_text(words, &text(18, INK), (x + 12, 58))?;
        x += 44 + 7 * words.len() as i32;
    }
    Ok(())
}

fn text(size: i32, color: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&color)
}

fn draw_scenario(area: &Area<'_>, outcome: &Outcome, library: Library) -> Result<(), Failure> {
    let (title, panels) = area.split_vertically(TITLE);
    let (name, happens) = outcome.scenario.words();
    title.draw_text(&format!("{name}: {happens}"), &text(22, INK), (LEFT, 20))?;
    let rows = outcome.rows.iter().zip(summaries(outcome));
    let rows: Vec<_> = rows
        .filter(|(row, _)| row.caller.library() == library)
        .collect();
    // A client that does not take part leaves its column empty.
    let of_library = |caller: &Caller| caller.library() == library;
    let columns = Caller::ALL.into_iter().filter(of_library).count();
    let panels = panels.split_evenly((1, columns));
    for (panel, (row, summary)) in panels.iter().zip(&rows) {
        draw_panel(panel, row, &outcome.plan, summary)?;
    }
    Ok(())
}

fn draw_panel(area: &Area<'_>, row: &Row, plan: &Plan, summary: &Summary) -> Result<(), Failure> {
    let (caption, area) = area.split_vertically(CAPTION);
    draw_caption(&caption, summary)?;
    let end = plan.ends_at.as_secs_f64();
    let mut panel = ChartBuilder::on(&area)
        .margin_left(14)
        .margin_right(RIGHT)
        .x_label_area_size(24)
        .y_label_area_size(LABELS)
        .build_cartesian_2d(0.0..end, MS.log_scale())?;
    panel
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(GRID)
        .label_style(text(16, FAINT))
        .x_label_formatter(&|s| format!("{s} s"))
        .y_label_formatter(&|ms| label(*ms))
        .y_labels(6)
        .x_labels(7)
        .draw()?;
    draw_mark(&mut panel, plan.dies_at.as_secs_f64(), FAILED, "dies")?;
    if let Some(at) = plan.returns_at {
        draw_mark(&mut panel, at.as_secs_f64(), RETURN, "returns")?;
    }
    draw_requests(&mut panel, &row.requests)
}

fn draw_caption(area: &Area<'_>, summary: &Summary) -> Result<(), Failure> {
    let (width, _) = area.dim_in_pixel();
    let name = ("sans-serif", 18, FontStyle::Bold).into_font();
    area.draw_text(summary.client, &name.color(&INK), (LEFT, 5))?;
    let harm = summary.failed + summary.hung > 0;
    let color = if harm { FAILED } else { RETURN };
    let right = Pos::new(HPos::Right, VPos::Top);
    let edge = width as i32 - RIGHT;
    area.draw_text(&verdict(summary), &text(17, color).pos(right), (edge, 6))?;
    let dials = format!("{} dials to dead addresses", summary.dead_dials);
    area.draw_text(&dials, &text(16, FAINT).pos(right), (edge, 24))?;
    Ok(())
}

fn verdict(summary: &Summary) -> String {
    let hung = match summary.hung {
        0 => String::new(),
        n => format!("{n} hung, "),
    };
    let (failed, worst) = (summary.failed, time(summary.worst_ms));
    format!("{failed} failed, {hung}worst {worst}")
}

fn label(ms: f64) -> String {
    match ms {
        ms if ms < 1000.0 => format!("{ms} ms"),
        ms => format!("{} s", ms / 1000.0),
    }
}

/// Draws a vertical line at `at` seconds.
fn draw_mark(panel: &mut Panel<'_>, at: f64, color: RGBColor, word: &str) -> Result<(), Failure> {
    let line = [(at, MS.start), (at, MS.end)];
    panel.draw_series(DashedLineSeries::new(line, 5, 4, color.stroke_width(1)))?;
    let top = panel.backend_coord(&(at, MS.end));
    let base = panel.plotting_area().get_base_pixel();
    let place = (top.0 - base.0 + 5, top.1 - base.1 + 3);
    let area = panel.plotting_area().strip_coord_spec();
    area.draw_text(word, &text(15, color), place)?;
    Ok(())
}

/// Draws a dot for each request. Failed and hung requests come last, so that no other dot hides them.
fn draw_requests(panel: &mut Panel<'_>, requests: &[Request]) -> Result<(), Failure> {
    let styles = [
        (End::Answered, 3, ANSWERED),
        (End::Shed, 3, FAILED),
        (End::Failed, 3, FAILED),
        (End::Hung, 3, HUNG),
    ];
    for (end, size, color) in styles {
        let chosen = requests.iter().filter(|request| request.end == end);
        let dots = chosen.map(|r| Circle::new(place(r), size, color.mix(0.55).filled()));
        panel.draw_series(dots)?;
    }
    Ok(())
}

fn place(request: &Request) -> (f64, f64) {
    let ms = match request.end {
        End::Shed => MS.end / 1.6,
        End::Answered | End::Failed | End::Hung => request.took.as_secs_f64() * 1000.0,
    };
    (request.at.as_secs_f64(), ms.clamp(MS.start, MS.end))
}
