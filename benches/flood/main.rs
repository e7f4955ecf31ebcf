//! Measures the memory and the slowest call of a flood of distinct names.
//!
//! ```sh
//! cargo bench --bench flood
//! cargo bench --bench flood -- --names 200000 --check
//! ```
//!
//! Each case runs in a process of its own under a limit on its address space, so that memory that grows with
//! the number of names ends the process. A call is all the work for one name: the lookup, the connect and the
//! report. The bench measures the processor time of the one thread that does this work, because the time on
//! the wall clock includes other processes. The slowest call may take 10 ms.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

mod args;
mod attack;
mod case;
#[path = "../common/output.rs"]
mod output;
mod run;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;
use crate::case::{Figures, SLOWEST_CALL};

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(case) = args.case() {
        println!("{}", run::in_this_process(&case));
        return ExitCode::SUCCESS;
    }
    let (mut all, mut failed) = (Vec::new(), false);
    for case in args.cases() {
        let outcome = run::in_a_child(&case);
        if !args.output.json {
            println!("{case}: {}", described(&outcome));
        }
        failed |= outcome.as_ref().map_or(true, Figures::misses_a_bar);
        all.extend(outcome);
    }
    if args.output.json {
        let json = serde_json::to_string(&all).expect("figures are plain");
        println!("{json}");
    }
    match args.output.check && failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn described(outcome: &Result<Figures, String>) -> String {
    match outcome {
        Err(error) => format!("FAILED: {error}"),
        Ok(figures) => {
            let missed = if figures.misses_a_bar() {
                " MISSED"
            } else {
                ""
            };
            format!(
                "{:.1} s of processor time, slowest call {:.2} ms (bar {}){missed}, {} hosts held, {} MiB of at most {} MiB",
                figures.cpu_seconds,
                figures.slowest_call_ms,
                SLOWEST_CALL.as_millis(),
                figures.hosts_held,
                figures.peak_mib,
                figures.limit_mib,
            )
        }
    }
}
