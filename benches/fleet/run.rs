//! Runs one fleet through one scenario.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use tokio::runtime;

use crate::args::Args;
use crate::figures::Figures;
use crate::load::Load;
use crate::network::Network;
use crate::peers::Peers;
use crate::rival::Rival;
use crate::scenario::Scenario;
use crate::sidestep::Sidestep;
use crate::tally::Tally;

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

/// Number of processes that a thread takes at a time.
const BATCH: u64 = 256;

impl Run {
    pub(crate) fn new(play: Play, args: &Args, peers: &Arc<Peers>) -> Self {
        let tally = Fleet { play, args, peers }.simulate();
        let figures = Figures::new(play, &tally);
        Self {
            play,
            tally,
            figures,
        }
    }
}

/// What all processes of a run share.
#[derive(Clone, Copy)]
struct Fleet<'a> {
    play: Play,
    args: &'a Args,
    peers: &'a Arc<Peers>,
}

impl Fleet<'_> {
    /// Runs each process to its end separately, because processes are independent, and adds their counts.
    fn simulate(self) -> Tally {
        let next = AtomicU64::new(0);
        let work = || {
            let tally = Arc::new(Mutex::new(self.tally()));
            loop {
                let first = next.fetch_add(BATCH, Ordering::Relaxed);
                if first >= self.play.processes {
                    return tally;
                }
                for process in first..self.play.processes.min(first + BATCH) {
                    self.live(process, &tally);
                }
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let mut all = self.tally();
        thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            for thread in threads {
                let tally = thread.join().expect("no process panics");
                all += &tally.lock().expect("no process panics");
            }
        });
        all
    }

    fn tally(self) -> Tally {
        Tally::new(self.play.scenario.end().as_secs())
    }

    /// Runs one process on a runtime of its own, whose clock is paused and jumps to the next timer.
    fn live(self, process: u64, tally: &Arc<Mutex<Tally>>) {
        let seed = mixed(self.args.seed, process);
        // The clients draw their random numbers from the generator of the thread.
        fastrand::seed(!seed);
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O opens no file");
        runtime.block_on(async {
            let network = Arc::new(Network::new(self.play.scenario, Arc::clone(tally)));
            let load = Load::new(&network, self.args.interval(), seed);
            let rival = |secs, evicts| Rival::new(&network, Duration::from_secs(secs), evicts);
            match self.play.policy {
                Policy::Sidestep => load.run(Sidestep::new(&network, self.peers)).await,
                Policy::Fixed30 => load.run(rival(30, false)).await,
                Policy::Fixed60 => load.run(rival(60, false)).await,
                Policy::EvictAndRetry => load.run(rival(30, true)).await,
            }
        });
    }
}

/// Returns the seed of a process, which is independent of the seeds of other processes.
fn mixed(seed: u64, process: u64) -> u64 {
    fastrand::Rng::with_seed(seed.rotate_left(40) ^ process).u64(..)
}
