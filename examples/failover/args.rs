//! The command line.

use clap::{Parser, ValueEnum as _, value_parser};

use crate::scenario::Scenario;

/// Kills CDN edges under six HTTP clients, side by side, and shows what their callers notice.
#[derive(Debug, Parser)]
#[command(name = "failover")]
pub(crate) struct Args {
    /// Seconds that each scenario runs; its edge dies after a quarter of them
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Requests that each client starts every second
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u32).range(1..=1000))]
    pub(crate) rate: u32,
    /// Plays this scenario only; may be given several times
    #[arg(long = "scenario", value_name = "NAME")]
    chosen: Vec<Scenario>,
    /// Prints one JSON object on stdout, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
    /// Ends with an error when sidestep did not keep a promise: requests failed, one took too long,
    /// or (from a minute of death on) too many dials went to the dead edge
    #[arg(long)]
    pub(crate) check: bool,
}

impl Args {
    /// Returns the scenarios to run: the chosen ones, or all.
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        match self.chosen.is_empty() {
            true => Scenario::value_variants().to_vec(),
            false => self.chosen.clone(),
        }
    }
}
