//! Kills CDN edges under six HTTP clients, side by side, and shows what their callers notice.
//!
//! ```sh
//! cargo run --release --example failover
//! cargo run --release --example failover -- --scenario black-holed --seconds 40
//! cargo run --release --example failover -- --json
//! ```
//!
//! All parts run inside this process, on loopback: a name server, and for each client four edges (127.0.0.2 to .5, one
//! port) of a separate host, with a TTL of 30 minutes. After a quarter of a scenario, the edge dies that the client has
//! attempted most.
//!
//! Two scenarios differ from the others:
//!
//! - `silent-pooled`: all clients use HTTP/2 and pool their connections. The edge that a client is connected to goes
//!   silent: the connection stays open, and neither data nor FIN nor RST arrives. All clients, stock ones too, send a
//!   ping after 1 s of silence while a request is in flight, and wait 1 s for the reply. (`.sidestep()` sets 10 s and
//!   5 s, which would take too long here.) A race over HTTP/1.1 does not take part.
//! - `gslb`: each DNS answer names one of the four edges, at random, with a TTL of 1 s. Before the scenario begins
//!   each client connects to each edge. The edge dies that the client has attempted last.
//!
//! Three clients use reqwest, and three use hyper-util with hyper-rustls: a stock client, one with a race, and one
//! with a race over HTTP/2. hyper sends no request again, so the clients with a race have sidestep's `RetryPolicy`,
//! for edges that accept and close.
//!
//! The lab counts:
//!
//! - *requests*: one request starts every 20 ms (`--rate`), whatever the state of the earlier ones, each on a new
//!   connection. *failed* requests ended in an error, or were not sent because 64 were in flight already (164 in
//!   `silent-pooled`). The latter are also counted separately as `shed`.
//! - *hung*: requests without a response one second after the last one started. They do not count as *failed*.
//! - *p50*, *p99*, *worst*: times from the start of a request to the last byte or the error. A hung request counts with
//!   the time since its start, so these figures are then lower bounds. Shed requests have no time.
//! - *dead dials*: attempts of requests to an address while the address is dead, from the log of hyper-util. `dials`
//!   are all attempts in that time.
//! - *DNS queries*: A and AAAA queries for the client's host, over the whole scenario.

mod args;
mod bars;
mod callers;
mod chart;
mod dials;
mod hyper_clients;
mod load;
mod report;
mod scenario;
mod screen;
mod stand;
mod summary;

use std::error::Error;

use clap::Parser as _;
use futures_util::future::{join_all, try_join_all};
use testkit::NameServer;
use testkit::lab::clock;

use crate::args::Args;
use crate::callers::Caller;
use crate::dials::Dials;
use crate::scenario::{Plan, Scenario};
use crate::screen::Screen;
use crate::stand::{Stand, World};

/// The results of a scenario, with one row for each client.
struct Outcome {
    scenario: Scenario,
    plan: Plan,
    rows: Vec<stand::Row>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let args = Args::parse();
    let world = World {
        dials: Dials::watch(),
        dns: NameServer::start().await,
    };
    if !args.json {
        println!("{}\n", report::foreword(&args));
    }
    let screen = Screen::new(&args);
    let mut outcomes = Vec::new();
    for scenario in args.scenarios() {
        outcomes.push(play(scenario, &args, &world, &screen).await?);
    }
    screen.clear();
    let pictures = chart::draw(&outcomes)?;
    match args.json {
        true => println!("{}", report::json(&outcomes, &pictures)?),
        false => println!("{}", report::table(&outcomes, &pictures)),
    }
    let missed = bars::missed(&outcomes);
    if args.check && !missed.is_empty() {
        return Err(format!("sidestep broke its promise: {}", missed.join("; ")).into());
    }
    Ok(())
}

/// Runs one scenario with all clients at once.
async fn play(
    scenario: Scenario,
    args: &Args,
    world: &World,
    screen: &Screen,
) -> Result<Outcome, Box<dyn Error + Send + Sync>> {
    let plan = Plan::new(scenario, args);
    screen.begin(scenario);
    let callers = Caller::with(scenario.connections());
    let stands = callers.map(|caller| Stand::build(caller, scenario, world));
    let stands = try_join_all(stands).await?;
    let begin = clock::now();
    let runs = stands.iter().map(|stand| stand.run(&plan, begin, screen));
    let rows = join_all(runs).await;
    Ok(Outcome {
        scenario,
        plan,
        rows,
    })
}
