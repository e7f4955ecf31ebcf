//! The command line.

use std::time::Duration;

use clap::{Parser, value_parser};

use crate::candidates::Candidate;
use crate::output::Output;

/// Measures what a race costs on a healthy address, and how long it takes past black-holed ones.
#[derive(Debug, Parser)]
#[command(name = "race")]
pub(crate) struct Args {
    /// Seconds after which a connect of hyper-util's is given up
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u64).range(1..=300))]
    limit: u64,
    #[command(flatten)]
    pub(crate) output: Output,
    /// Runs one candidate so many times and ends; callgrind counts it
    #[arg(long, hide = true, requires = "ops")]
    pub(crate) run: Option<Candidate>,
    #[arg(long, hide = true)]
    pub(crate) ops: Option<u32>,
}

impl Args {
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(self.limit)
    }
}
