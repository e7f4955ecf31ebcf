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
//! *With k of n addresses black-holed*, and those first in a fixed order: how long the first connect takes, the second
//! one of the same client, and the first one after the penalties of the dead addresses are over. The clients are a
//! race, and stock reqwest with `.sidestep()`, for which a request on a new connection stands for a connect. Each is
//! measured *cold*, with a resolver and a client that are new, and *warm*: each address has connected, and the dead
//! ones died just now. A dead address listens with a full queue on loopback, so that a SYN is never answered.
//!
//! The bar of a race is 250 ms for each dead address and one round trip, and what this machine adds: the longest
//! round trip (a bare connect where no address is dead, the first of its resolver too) and the largest error of as
//! many sleeps of 250 ms, measured while the race runs. The bar of `.sidestep()` is 350 ms for each dead address, and
//! 300 ms: reqwest attempts two addresses at once, the second 300 ms after the first, and the connect is given up
//! when both are slow. Later connects take as long as where nothing is dead.
//!
//! hyper-util's connector is given up after `--limit` seconds; it attempts one address after the other, and the
//! system tries each for two minutes. What curl and Go take is not measured but follows from their sources
//! (`race/paper.rs`).
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

#[path = "race/args.rs"]
mod args;
#[path = "race/at_once.rs"]
mod at_once;
#[path = "common/bar.rs"]
mod bar;
#[path = "race/bars.rs"]
mod bars;
#[path = "hit/callgrind.rs"]
mod callgrind;
#[path = "race/candidates.rs"]
mod candidates;
#[path = "race/clients.rs"]
mod clients;
#[path = "../tests/common/edge.rs"]
mod edge;
#[path = "hit/fixed.rs"]
mod fixed;
#[path = "race/holes.rs"]
mod holes;
#[path = "common/output.rs"]
mod output;
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
    match args.output.json {
        true => println!("{}", report::json(&figures, &bars)?),
        false => println!("{}", report::table(&figures, &bars, &args)),
    }
    if args.output.check {
        bar::check(&bars)?;
    }
    Ok(())
}
