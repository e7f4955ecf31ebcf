//! What a race costs where all is well, and how long a connect takes where addresses are dead.
//!
//! ```sh
//! cargo bench --bench race
//! cargo bench --bench race -- --json --check
//! ```
//!
//! *On a healthy single address*: the same connector bare and with the race around it, in one run, in
//! turns; a difference is of a turn and the two bare ones beside it, and the median of thousands is shown.
//! One connector is hyper-util's, which connects to a listener on loopback. That takes so long that a few
//! microseconds are little of it, so the other asks the resolver and has its connection *at once*.
//! Allocations are counted by the allocator, instructions by valgrind's callgrind in a process of their own
//! (of the connector that connects at once; sockets are the kernel's work). `ConnectLayer`, which stock
//! reqwest gets, stands beside.
//!
//! *With k of four addresses black-holed*, and those first in a fixed order: how long the first connect
//! takes, and the second, of the same client. A dead address listens with a full queue on loopback, so
//! that a SYN is never answered. hyper-util's connector is given up after `--limit` seconds; it dials one
//! address after the other, and the system tries each for two minutes. The bar is 250 ms for each dead
//! address and one round trip, and what this machine adds: the longest round trip (a bare connect where no
//! address is dead, the first of its resolver too) and the largest error of as many sleeps of 250 ms, measured
//! while the race runs. What curl and Go take is not measured but follows from their sources (`race/paper.rs`).
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

#[path = "race/args.rs"]
mod args;
#[path = "race/at_once.rs"]
mod at_once;
#[path = "race/bars.rs"]
mod bars;
#[path = "hit/callgrind.rs"]
mod callgrind;
#[path = "race/candidates.rs"]
mod candidates;
#[path = "../tests/common/edge.rs"]
mod edge;
#[path = "hit/fixed.rs"]
mod fixed;
#[path = "race/holes.rs"]
mod holes;
#[path = "race/overhead.rs"]
mod overhead;
#[path = "race/paper.rs"]
mod paper;
#[path = "race/report.rs"]
mod report;

use std::error::Error;

use clap::Parser as _;
use serde::Serialize;

use crate::args::Args;
use crate::candidates::World;
use crate::holes::Connects;
use crate::overhead::Cost;

/// All figures.
#[derive(Debug, Serialize)]
struct Figures {
    healthy: Vec<Cost>,
    black_holed: Vec<Connects>,
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let args = Args::parse();
    if let (Some(candidate), Some(ops)) = (args.run, args.ops) {
        // The counting costs, a few instructions are left of it.
        allocation_counter::opt_out(|| World::new().run(candidate, ops));
        return Ok(());
    }
    let figures = Figures {
        healthy: overhead::measure(&World::new()),
        black_holed: holes::measure(args.limit()),
    };
    let bars = bars::bars(&figures);
    match args.json {
        true => println!("{}", report::json(&figures, &bars)?),
        false => println!("{}", report::table(&figures, &bars, &args)),
    }
    let missed = bars.iter().filter(|bar| !bar.is_met).map(|bar| &*bar.words);
    let missed: Vec<_> = missed.collect();
    if args.check && !missed.is_empty() {
        return Err(format!("a bar was missed: {}", missed.join("; ")).into());
    }
    Ok(())
}
