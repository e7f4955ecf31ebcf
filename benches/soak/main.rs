//! Soaks clients with 200 requests in flight, while eight edges die, hang, break TLS, flap and return at random.
//!
//! ```sh
//! cargo bench --bench soak
//! cargo bench --bench soak -- --client sidestep --seed 7 --check
//! cargo bench --bench soak -- --client race-http2 --check
//! cargo bench --bench soak -- --json
//! ```
//!
//! All parts run inside this process, on loopback: eight HTTPS edges of one host with a TTL of 5 s, and its name
//! server. A seed decides all faults before the start. Each edge serves, refuses, is black-holed, resets or closes in
//! TLS, sends another tenant's certificate, hangs in TLS, closes after the request, or flaps, for seconds at a time.
//! DNS removes edges and adds them again. The name server is silent or answers SERVFAIL for half a minute. When an
//! edge dies, its requests in flight are cut off. At any time, every answer that a client may still hold has an edge
//! that serves. Scenes (`testkit/src/soak/scenes.rs`) are the exception: several edges hang at once, DNS names one
//! address and that edge dies, and all old addresses die just after DNS has named new ones.
//!
//! 200 users send one GET after another. An edge takes 200 ms to respond, and a user whose request fails sooner waits
//! as long. Through reqwest each request uses a new HTTP/1.1 connection. `race-http2` is hyper-util's client over a
//! race, with HTTP/2 by ALPN, pooled connections that are at most 2 s old and have pings, and all layers of sidestep.
//! Ten such clients share one resolver. With this client, a black-holed edge goes silent on its connections too, and
//! an edge may hang in HTTP. A request is sent again once, so no schedule loses one request twice
//! (`testkit/src/soak/law.rs`).
//!
//! The clients of sidestep run first, each once without faults and once with faults. The other clients then run with
//! the same faults, for as long. Times are from the start of a request to the last byte or the error.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

mod args;
mod bars;
mod callers;
mod figures;
mod ledger;
mod load;
mod report;
mod stage;
mod watch;

use std::time::Duration;

use clap::Parser as _;
use testkit::connector_log::tell_each;
use testkit::lab::clock;
use testkit::lab::get::Failure;
use testkit::soak::schedule::Schedule;

use crate::args::Args;
use crate::callers::Caller;
use crate::figures::{Figures, Run};
use crate::ledger::Ledger;
use crate::load::{Load, Plan};
use crate::stage::Stage;
use crate::watch::Watch;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let callers = args.callers();
    let lasts = longest(args.requests);
    if args.list {
        let connects = callers[0].connects();
        let storm = Schedule::stormy(args.seed, lasts, connects);
        print!("{}", report::list(&storm));
        return Ok(());
    }
    let ledger = Ledger::default();
    let dialled = ledger.clone();
    tell_each(move |addr| dialled.dialled(addr));
    let soak = Soak {
        seed: args.seed,
        requests: args.requests,
        lasts,
        quiet: args.json,
        ledger,
    };
    let (all, bars) = soak.all(&callers).await?;
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

/// Returns how long a run may take: three times as long as with edges that serve all the time.
fn longest(requests: u64) -> Duration {
    let each = stage::WORK / load::IN_FLIGHT as u32;
    3 * each * u32::try_from(requests).unwrap_or(u32::MAX) + Duration::from_secs(30)
}

struct Soak {
    seed: u64,
    requests: u64,
    /// How long a run may take.
    lasts: Duration,
    quiet: bool,
    ledger: Ledger,
}

impl Soak {
    /// Soaks one client after another. Returns the figures, and the bars of the clients of sidestep.
    async fn all(&self, callers: &[Caller]) -> Result<(Vec<Figures>, Vec<bars::Bar>), Failure> {
        let (mut all, mut bars) = (Vec::new(), Vec::new());
        let mut plan = Plan {
            requests: self.requests,
            lasts: self.lasts,
            slow_from: bars::SLOWER,
        };
        for &caller in callers {
            let connects = caller.connects();
            let storm = Schedule::stormy(self.seed, self.lasts, connects);
            if caller.is_ours() {
                let mut plan = Plan {
                    lasts: self.lasts,
                    slow_from: bars::SLOWER,
                    ..plan
                };
                let calm = self.run(caller, &Schedule::calm(connects), plan).await?;
                plan.slow_from += Duration::from_secs_f64(calm.p999_ms / 1000.0);
                let figures = self.run(caller, &storm, plan).await?;
                bars.extend(bars::bars(caller, &calm, &figures, &storm));
                all.extend([calm, figures]);
            } else {
                // This client runs as long as the first client has taken.
                if let [calm, first, ..] = &all[..] {
                    plan.lasts = Duration::from_secs_f64(first.seconds);
                    plan.slow_from = bars::SLOWER + Duration::from_secs_f64(calm.p999_ms / 1000.0);
                }
                all.push(self.run(caller, &storm, plan).await?);
            }
        }
        Ok((all, bars))
    }

    /// Soaks one client.
    async fn run(
        &self,
        caller: Caller,
        schedule: &Schedule,
        plan: Plan,
    ) -> Result<Figures, Failure> {
        let stage = Stage::build(caller.host(), &self.ledger).await;
        let built = caller.build(stage.dns.addr(), stage.edges.client_config(), &stage.url())?;
        let mut watch = Watch::with_room_for(plan.lasts + 2 * load::GRACE);
        let begin = clock::now();
        self.say(&format!("{} …", caller.title()));
        let load = Load::new(built.clients.clone(), &schedule.scenes, plan);
        let tally = tokio::select! {
            tally = load.drive() => tally,
            () = watch.look(&stage) => unreachable!("it looks on and on"),
            () = stage.play(schedule, begin) => unreachable!("it waits when all has happened"),
        };
        let run = Run {
            caller,
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
