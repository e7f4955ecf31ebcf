//! Runs one fleet through one scenario.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::{self, Id};

use crate::args::Args;
use crate::figures::Figures;
use crate::life::Life;
use crate::rival::Rival;
use crate::scenario::{Scenario, World};
use crate::sidestep::Sidestep;
use crate::tally::Tally;
use crate::time;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Policy {
    Sidestep,
    Fixed30,
    Fixed60,
    EvictAndRetry,
}

impl Policy {
    pub(crate) const ALL: [Self; 4] = [
        Self::Sidestep,
        Self::Fixed30,
        Self::Fixed60,
        Self::EvictAndRetry,
    ];

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Sidestep => "sidestep",
            Self::Fixed30 => "30 s fixed",
            Self::Fixed60 => "60 s fixed",
            Self::EvictAndRetry => "evict and retry at once",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Play {
    pub(crate) processes: u64,
    pub(crate) scenario: Scenario,
    pub(crate) policy: Policy,
}

pub(crate) struct Run {
    pub(crate) play: Play,
    pub(crate) tally: Tally,
    pub(crate) figures: Figures,
}

/// Number of processes that a thread runs at a time.
const BATCH: u64 = 256;

impl Run {
    pub(crate) fn new(play: Play, args: &Args) -> Self {
        let tally = simulate(play, args.interval(), args.seed);
        let figures = Figures::new(play, &tally);
        Self {
            play,
            tally,
            figures,
        }
    }
}

/// Runs each process to its end separately, because processes are independent, and adds their counts.
fn simulate(play: Play, interval: Duration, seed: u64) -> Tally {
    let world = World {
        scenario: play.scenario,
        begin: time::now(),
    };
    // The runtime runs no task. Each lookup in flight has the id of its runtime.
    let runtime = runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime that drives nothing needs nothing");
    let runtime = runtime.handle().id();
    let next = AtomicU64::new(0);
    let work = || {
        let mut tally = Tally::new(play.scenario.end().as_secs());
        loop {
            let first = next.fetch_add(BATCH, Ordering::Relaxed);
            if first >= play.processes {
                return tally;
            }
            for process in first..play.processes.min(first + BATCH) {
                let seed = mixed(seed, process);
                let life = Life::new(&world, interval, seed, &mut tally);
                live(life, play.policy, runtime);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut all = Tally::new(play.scenario.end().as_secs());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            all += thread.join().expect("no process panics");
        }
    });
    all
}

fn live(life: Life<'_>, policy: Policy, runtime: Id) {
    let fixed = |secs| Rival::new(Duration::from_secs(secs), false);
    match policy {
        Policy::Sidestep => {
            let client = Sidestep::new(runtime, life.now);
            life.run(client);
        }
        Policy::Fixed30 => life.run(fixed(30)),
        Policy::Fixed60 => life.run(fixed(60)),
        Policy::EvictAndRetry => life.run(Rival::new(Duration::from_secs(30), true)),
    }
}

/// Returns the seed of a process, which is independent of the seeds of other processes.
fn mixed(seed: u64, process: u64) -> u64 {
    fastrand::Rng::with_seed(seed.rotate_left(40) ^ process).u64(..)
}
