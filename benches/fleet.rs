//! A fleet of processes that use one CDN name: what do the name servers and the dead edges see of it?
//!
//! ```sh
//! cargo bench --bench fleet
//! cargo bench --bench fleet -- --processes 1000 --scenario edge-dies
//! cargo bench --bench fleet -- --processes 1000 --json --check
//! ```
//!
//! Each process is simulated by itself on a made clock, event by event; nothing sleeps and no packet
//! is sent. A sidestep process is the crate's own rules, the same files: the slot of a host (what to
//! serve, when to ask, which lookup counts), the book of penalties, the spacing of lookups, lives and
//! jitter, the dealing of addresses and who is blamed. Only what joins them, which is asynchronous in
//! the crate, is said again in `fleet/sidestep.rs`. The model, the same for every policy and size:
//!
//! - *The name* has four IPv4 addresses. Its record has a TTL of 60 s, or of 1800 s in the scenario
//!   `moved-ttl-1800`. One lookup is one query, and a *query* is what leaves a process: no cache lies
//!   between it and the name server, which answers at once with the whole TTL, 20 ms later. While the
//!   server is down, a lookup fails after 5 s.
//! - *A process* makes requests at random (Poisson), one in ten seconds on average (`--interval`), each
//!   on a new connection. It starts at a random moment of the first 300 s; the steady state is counted
//!   from 300 to 600 s, and at 600 s it happens.
//! - *A dial* of an address that is up connects after 30 ms; of a dead one it is refused after 30 ms, and
//!   the connector dials the next address of its list, as hyper-util does. A connect of sidestep's own
//!   that finds out whether an address is back is a *probe*.
//! - *failed* requests found no address that connects, *without address* are those of them that got
//!   none from DNS.
//!
//! The rivals' policies, restated: an entry that lives 30 s or 60 s whatever its TTL, shuffled for each
//! request, of which each address is dialled in turn and of which nothing is remembered (the JVM's and
//! Bun's times; the fix that was asked for); and 30 s with the host evicted on each failed connect, looked
//! up again and dialled again at once, up to eight times. An expired entry is asked for by the next
//! request, which waits for it; a failed lookup fails those who wait.
//!
//! What is printed, over the whole fleet:
//!
//! - *peak*: the most queries in one second from the event on, over the mean of the steady state.
//! - *later peak* and *swing*: over the ten minutes that begin one minute after the event is over. The swing
//!   is the standard deviation of the queries in five seconds over their mean, less what chance alone
//!   gives independent processes: waves of a fleet that moves as one.

// The crate's rules, the files themselves; not all of what they hold is used here.
macro_rules! rules {
    ($($path:literal $name:ident)*) => {$(
        #[allow(dead_code, unfulfilled_lint_expectations, unreachable_pub, unused_imports)]
        #[path = $path]
        mod $name;
    )*};
}

rules! {
    "../src/addrs/mod.rs" addrs
    "../src/attempt/attribution/mod.rs" attribution
    "../src/bounded/mod.rs" bounded
    "../src/cache/mod.rs" cache
    "../src/error.rs" error
    "../src/health/mod.rs" health
    "../src/host.rs" host
    "../src/time/mod.rs" time
}

#[path = "fleet/args.rs"]
mod args;
#[path = "fleet/bars.rs"]
mod bars;
#[path = "fleet/chart.rs"]
mod chart;
#[path = "fleet/figures.rs"]
mod figures;
#[path = "fleet/life.rs"]
mod life;
#[path = "common/output.rs"]
mod output;
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

use clap::Parser as _;

use crate::args::Args;
use crate::error::ResolveError;
use crate::run::Run;

fn main() -> Result<(), Box<dyn StdError + Send + Sync>> {
    let args = Args::parse();
    let runs: Vec<Run> = args.plays().map(|play| Run::new(play, &args)).collect();
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
