//! The command line.

use clap::{Parser, value_parser};

use crate::output::Output;

/// Measures cold lookups against hickory's own, and first connects while half of DNS is silent.
#[derive(Debug, Parser)]
#[command(name = "cold")]
pub(crate) struct Args {
    /// Number of cold lookups
    #[arg(long, default_value_t = 2_000, value_parser = value_parser!(u32).range(10..=100_000))]
    lookups: u32,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Args {
    pub(crate) fn lookups(&self) -> usize {
        self.lookups as usize
    }
}
