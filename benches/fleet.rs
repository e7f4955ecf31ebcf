//! Simulates a fleet of processes that use one CDN name, and counts queries and attempts to dead edges.
//!
//! ```sh
//! cargo bench --bench fleet
//! cargo bench --bench fleet -- --processes 1000 --scenario edge-dies
//! cargo bench --bench fleet -- --processes 1000 --json --check
//! ```
//!
//! The bench simulates each process separately on a runtime of its own. The clock of the runtime is paused and jumps to
//! the next timer, so no code waits. A process that uses sidestep is the crate itself: a `Resolver` with its default
//! settings, a `ConnectLayer` and a `RetryPolicy`, as the docs of `RetryPolicy` show for hyper-util's client. Only what
//! lies around the crate is simulated: the `Lookup`, the connector below the layer, the socket of a probe, and the HTTP
//! client, whose requests have their response as soon as they have a connection. No packet is sent during a run. Before
//! the runs, each edge accepts a connection on loopback, because only a socket can make the `HttpInfo` that names a
//! peer. The same seed gives the same figures. The model is the same for every policy and size:
//!
//! - *The name* has four IPv4 addresses. Its record has a TTL of 60 s, or of 1800 s in the scenario `moved-ttl-1800`.
//!   One lookup is one query. No cache lies between a process and the name server, whose answer has the whole TTL and
//!   arrives after 20 ms. While the server is down, a query gets no reply, and a lookup fails after 5 s.
//! - *A process* makes requests at random (Poisson), one in ten seconds on average (`--interval`), each on a new
//!   connection. A process starts at a random moment of the first 300 s. The steady state is measured from 300 s to
//!   600 s, and the event of the scenario is at 600 s.
//! - *An attempt* (`dial`) to an address that is up connects after 30 ms. An attempt to a dead address is refused
//!   after 30 ms, and the connector attempts the next address of its list, as hyper-util does. *Probes* of sidestep
//!   are counted separately.
//! - *failed* requests found no address that connects. *without address* are those of them that got no address from
//!   DNS.
//!
//! The other policies are simple caches. In two of them, an entry lives for 30 s or 60 s, which are times of the JVM
//! and of Bun, whatever its TTL. A request shuffles the addresses and attempts each in turn, and no failure is
//! remembered. In the third one, an entry lives for 30 s, and a failed connect evicts the host, which is looked up
//! and attempted again at once, up to eight times. A request looks up an expired entry and waits for the lookup. A
//! failed lookup fails the requests that wait.
//!
//! The bench prints for the whole fleet:
//!
//! - *peak*: the maximum number of queries in one second after the event, over the mean of the steady state.
//! - *later peak* and *swing*: the same, and the waves, in the ten minutes that begin one minute after the event is
//!   over. The swing is the standard deviation of the queries in five seconds over their mean, less that of
//!   independent processes. A large swing shows that the processes are synchronized.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

#[path = "fleet/args.rs"]
mod args;
#[path = "fleet/bars.rs"]
mod bars;
#[path = "fleet/chart.rs"]
mod chart;
#[path = "fleet/figures.rs"]
mod figures;
#[path = "fleet/load.rs"]
mod load;
#[path = "fleet/network.rs"]
mod network;
#[path = "common/output.rs"]
mod output;
#[path = "fleet/peers.rs"]
mod peers;
#[path = "fleet/report.rs"]
mod report;
#[path = "fleet/rival.rs"]
mod rival;
#[path = "fleet/run.rs"]
mod run;
#[path = "fleet/scenario.rs"]
mod scenario;
#[path = "fleet/sidestep.rs"]
mod sidestep;
#[path = "fleet/tally.rs"]
mod tally;

use std::error::Error as StdError;
use std::sync::Arc;

use clap::Parser as _;
use tokio::runtime::Runtime;

use crate::args::Args;
use crate::peers::Peers;
use crate::run::Run;

fn main() -> Result<(), Box<dyn StdError + Send + Sync>> {
    let args = Args::parse();
    let peers = Arc::new(Runtime::new()?.block_on(Peers::connect())?);
    let runs = args.plays().map(|play| Run::new(play, &args, &peers));
    let runs: Vec<Run> = runs.collect();
    let svg = chart::draw(&runs)?;
    match args.output.json {
        true => println!("{}", report::json(&runs, &args, &svg)?),
        false => println!("{}", report::table(&runs, &args, &svg)),
    }
    let missed = bars::missed(&runs);
    if args.output.check && !missed.is_empty() {
        return Err(format!("a bar was missed: {}", missed.join("; ")).into());
    }
    Ok(())
}
