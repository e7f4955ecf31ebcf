//! The command line.

use std::time::Duration;

use clap::{Parser, ValueEnum as _, value_parser};

use crate::output::Output;
use crate::run::{Play, Policy};
use crate::scenario::Scenario;

/// Simulates a fleet of processes that use one CDN name while edges die, move, or the name server does.
#[derive(Debug, Parser)]
#[command(name = "fleet")]
pub(crate) struct Args {
    /// Processes of the fleet; may be given several times [default: 1, 1000 and 100000]
    #[arg(long = "processes", value_name = "N", value_parser = value_parser!(u64).range(1..=10_000_000))]
    processes: Vec<u64>,
    /// Plays this scenario only; may be given several times
    #[arg(long = "scenario", value_name = "NAME")]
    scenarios: Vec<Scenario>,
    /// Mean seconds between two requests of one process
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = interval)]
    interval: f64,
    /// Makes another run of the same scenarios
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Args {
    /// Returns the runs, the small fleets first.
    pub(crate) fn plays(&self) -> impl Iterator<Item = Play> {
        let sizes = match &self.processes[..] {
            [] => vec![1, 1_000, 100_000],
            chosen => chosen.to_vec(),
        };
        let scenarios = match &self.scenarios[..] {
            [] => Scenario::value_variants().to_vec(),
            chosen => chosen.to_vec(),
        };
        sizes.into_iter().flat_map(move |processes| {
            let scenarios = scenarios.clone().into_iter();
            scenarios.flat_map(move |scenario| {
                Policy::ALL.map(|policy| Play {
                    processes,
                    scenario,
                    policy,
                })
            })
        })
    }

    pub(crate) fn interval(&self) -> Duration {
        Duration::from_secs_f64(self.interval)
    }
}

fn interval(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.05..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("give seconds from 0.05 to 3600".to_owned()),
    }
}
