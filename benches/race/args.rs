//! The command line.

use std::time::Duration;

use clap::{Parser, value_parser};

use crate::candidates::Candidate;

/// Measures what a race costs on a healthy address, and how long it takes past black-holed ones.
#[derive(Debug, Parser)]
#[command(name = "race")]
pub(crate) struct Args {
    /// Seconds after which a connect of hyper-util's is given up
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u64).range(1..=300))]
    limit: u64,
    /// Prints one JSON object on stdout, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
    /// Ends with an error when a bar was missed
    #[arg(long)]
    pub(crate) check: bool,
    /// Runs one candidate so many times and ends; callgrind counts it
    #[arg(long, hide = true, requires = "ops")]
    pub(crate) run: Option<Candidate>,
    #[arg(long, hide = true)]
    pub(crate) ops: Option<u32>,
    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(self.limit)
    }
}
