//! Eight edges that die, hang, break TLS, flap and return at random, under 200 requests in flight.
//!
//! ```sh
//! cargo bench --bench soak
//! cargo bench --bench soak -- --client sidestep --seed 7 --check
//! cargo bench --bench soak -- --json
//! ```
//!
//! Everything runs inside this process, on loopback: eight HTTPS edges behind one name with a TTL of
//! 5 s, and its name server. A seed settles beforehand what happens: each edge serves, refuses,
//! is black-holed, resets or closes in TLS, shows another tenant's certificate, hangs in TLS, closes
//! after the request, or flaps, for seconds at a time; edges leave DNS and come back; the name
//! server is silent or answers SERVFAIL for half a minute. When an edge dies, its requests in flight
//! are cut off. At any time one edge serves of every answer that a client may still hold.
//!
//! 200 users send one GET after another, each on a new connection; an edge takes 200 ms to answer, and
//! a user whose request failed sooner waits as long.
//! sidestep's client goes first, once without faults and once with them; the others then meet the
//! same faults, for as long. Times are from the start of a request to the last byte or the error.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

#[path = "soak/args.rs"]
mod args;
#[path = "soak/bars.rs"]
mod bars;
#[path = "../examples/failover/clients.rs"]
mod clients;
#[path = "../examples/failover/clock.rs"]
mod clock;
#[path = "../examples/failover/dial_log.rs"]
mod dial_log;
#[path = "soak/director.rs"]
mod director;
#[path = "../tests/common/edge.rs"]
mod edge;
#[path = "soak/figures.rs"]
mod figures;
#[path = "soak/law.rs"]
mod law;
#[path = "soak/ledger.rs"]
mod ledger;
#[path = "soak/limits.rs"]
mod limits;
#[path = "soak/load.rs"]
mod load;
#[path = "../tests/common/name_server.rs"]
mod name_server;
#[path = "soak/report.rs"]
mod report;
#[path = "soak/schedule.rs"]
mod schedule;
#[path = "soak/stage.rs"]
mod stage;
#[path = "soak/watch.rs"]
mod watch;

use std::error::Error;
use std::time::Duration;

use clap::Parser as _;

use crate::args::Args;
use crate::clients::Client;
use crate::figures::{Figures, Run};
use crate::ledger::Ledger;
use crate::load::{Load, Plan};
use crate::schedule::Schedule;
use crate::stage::Stage;
use crate::watch::Watch;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let longest = longest(args.requests);
    let storm = Schedule::stormy(args.seed, longest);
    if args.list {
        print!("{}", report::list(&storm));
        return Ok(());
    }
    let ledger = Ledger::default();
    let dialled = ledger.clone();
    dial_log::tell_each(move |addr| dialled.dialled(addr));
    let soak = Soak {
        requests: args.requests,
        quiet: args.json,
        ledger,
    };
    let (all, bars) = soak.all(&args.clients(), &storm, longest).await?;
    match args.json {
        true => println!("{}", report::json(&all, &bars)?),
        false => println!("{}", report::table(&all, &bars)),
    }
    let missed = bars.iter().filter(|bar| !bar.kept).map(|bar| &*bar.words);
    let missed: Vec<_> = missed.collect();
    if args.check && !missed.is_empty() {
        return Err(format!("sidestep broke its promise: {}", missed.join("; ")).into());
    }
    Ok(())
}

/// How long a run may take: three times as long as on edges that serve all the time.
fn longest(requests: u64) -> Duration {
    let each = stage::WORK / load::IN_FLIGHT as u32;
    3 * each * u32::try_from(requests).unwrap_or(u32::MAX) + Duration::from_secs(30)
}

struct Soak {
    requests: u64,
    quiet: bool,
    ledger: Ledger,
}

impl Soak {
    /// Soaks one client after another; returns the figures, and the bars where ours was one.
    async fn all(
        &self,
        clients: &[Client],
        storm: &Schedule,
        longest: Duration,
    ) -> Result<(Vec<Figures>, Vec<bars::Bar>), Failure> {
        let (mut all, mut bars) = (Vec::new(), Vec::new());
        let mut plan = Plan {
            requests: self.requests,
            lasts: longest,
            slow_from: bars::SLOWER,
        };
        for &client in clients {
            if client == Client::Sidestep {
                let calm = self.run(client, &Schedule::calm(), plan).await?;
                plan.slow_from += Duration::from_secs_f64(calm.p999_ms / 1000.0);
                let figures = self.run(client, storm, plan).await?;
                bars = bars::bars(&calm, &figures);
                plan.lasts = Duration::from_secs_f64(figures.seconds);
                all.extend([calm, figures]);
            } else {
                all.push(self.run(client, storm, plan).await?);
            }
        }
        Ok((all, bars))
    }

    /// Soaks one client.
    async fn run(
        &self,
        client: Client,
        schedule: &Schedule,
        plan: Plan,
    ) -> Result<Figures, Failure> {
        let stage = Stage::build(client.host(), &self.ledger).await;
        let built = client.build(stage.dns.addr(), stage.edges.client_config())?;
        let mut watch = Watch::with_room_for(plan.lasts + 2 * load::GRACE);
        let begin = clock::now();
        self.say(&format!("{} …", client.title()));
        let (http, url) = (built.http.clone(), stage.url());
        let load = Load::new(http, url, plan);
        let tally = tokio::select! {
            tally = load.drive() => tally,
            () = watch.look(&stage) => unreachable!("it looks on and on"),
            () = stage.play(schedule, begin) => unreachable!("it waits when all has happened"),
        };
        let run = Run {
            client,
            schedule,
            stage,
            built,
            ledger: &self.ledger,
            tally,
            watch,
        };
        Ok(Figures::of(&run))
    }

    fn say(&self, words: &str) {
        if !self.quiet {
            eprintln!("{words}");
        }
    }
}
