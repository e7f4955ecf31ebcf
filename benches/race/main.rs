//! Measures what a race costs if all addresses are healthy, and how long a connect takes if addresses are dead.
//!
//! ```sh
//! cargo bench --bench race
//! cargo bench --bench race -- --json --check
//! ```
//!
//! *On a healthy single address*, one run measures the same connector bare and with a race around it, in turns. A
//! difference is that between a turn and the two bare turns beside it, and the bench prints the median of thousands.
//! One connector is hyper-util's, which connects to a listener on loopback. That takes so long that a few microseconds
//! are a small part, so the other connector calls the resolver and has its connection *at once*. The allocator counts
//! allocations. valgrind's callgrind counts instructions in a separate process, and only those of the connector that
//! connects at once, because sockets are the kernel's work. The bench also measures `ConnectLayer`, which stock reqwest
//! uses.
//!
//! *With k of n addresses black-holed*, and the black holes first in a fixed order, the bench measures the first
//! connect of a client, the second connect, and the first connect after the penalties of the dead addresses are over.
//! The clients are a race, and stock reqwest with `.sidestep()`, whose connect is a request on a new connection. Each
//! client is measured *cold*, with a new resolver, and *warm*, after each address has connected and just after the dead
//! addresses have died. A dead address listens with a full queue on loopback, so that a SYN gets no reply.
//!
//! The bar of a race is 250 ms for each dead address, one round trip, and the time that this machine adds. The round
//! trip is the longest bare connect without dead addresses, the first one of a resolver included. The machine adds the
//! largest error of as many sleeps of 250 ms, measured while the race runs. The bar of `.sidestep()` is 350 ms for each
//! dead address, and 300 ms more: reqwest attempts two addresses at once, the second 300 ms after the first, and the
//! connect is given up when both are slow. Later connects take as long as without dead addresses.
//!
//! A connect of hyper-util's connector ends after `--limit` seconds. The connector attempts one address after the
//! other, and the system ends an attempt after two minutes. The times of curl and Go are not measured, but follow from
//! their sources (`race/paper.rs`).
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

mod args;
mod at_once;
#[path = "../common/bar.rs"]
mod bar;
mod bars;
#[path = "../common/callgrind.rs"]
mod callgrind;
mod candidates;
mod clients;
#[path = "../common/fixed.rs"]
mod fixed;
mod holes;
#[path = "../common/output.rs"]
mod output;
mod overhead;
mod paper;
mod report;

use std::error::Error;

use clap::Parser as _;
use serde::Serialize;

use crate::args::Args;
use crate::candidates::World;
use crate::holes::Connects;
use crate::overhead::Cost;

/// All figures of the bench.
#[derive(Debug, Serialize)]
struct Figures {
    healthy: Vec<Cost>,
    black_holed: Vec<Connects>,
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let args = Args::parse();
    if let (Some(candidate), Some(ops)) = (args.run, args.ops) {
        // The counter itself takes a few instructions, which remain in the difference.
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
