//! Measures the extra cost of a connect with a layer around the connector.

use std::time::Instant;

use serde::Serialize;

use crate::callgrind;
use crate::candidates::{Candidate, World};

/// The turns are many and short, so that other work of this machine affects few of them.
const ROUNDS: usize = 4_001;

/// The cost of one connect.
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) candidate: Candidate,
    /// Median nanoseconds of the candidate.
    pub(crate) ns: f64,
    /// Median of the extra nanoseconds over the bare connector beside it.
    pub(crate) more_ns: f64,
    pub(crate) allocations: f64,
    pub(crate) more_allocations: f64,
    /// `None` without valgrind, and for a connector with sockets.
    pub(crate) instructions: Option<u64>,
}

pub(crate) fn measure(world: &World) -> Vec<Cost> {
    let costs = Candidate::ALL.into_iter();
    costs.map(|candidate| cost(world, candidate)).collect()
}

fn cost(world: &World, candidate: Candidate) -> Cost {
    let (ns, more_ns) = time(world, candidate);
    let allocations = allocations(world, candidate);
    Cost {
        candidate,
        ns,
        more_ns,
        allocations,
        more_allocations: allocations - self::allocations(world, candidate.bare()),
        instructions: candidate
            .is_at_once()
            .then(|| callgrind::instructions(&candidate))
            .flatten(),
    }
}

/// Returns the median nanoseconds of one connect, and of the difference from the bare connects around it.
fn time(world: &World, candidate: Candidate) -> (f64, f64) {
    let bare = || slice(world, candidate.bare());
    let mut before = bare();
    let rounds = (0..ROUNDS).map(|_| {
        let ours = slice(world, candidate);
        let after = bare();
        let around = f64::midpoint(std::mem::replace(&mut before, after), after);
        (ours, ours - around)
    });
    let (times, more): (Vec<_>, Vec<_>) = rounds.unzip();
    (median(times), median(more))
}

/// Runs a turn of a hundred connects, or of one connect for a connector with sockets.
fn slice(world: &World, candidate: Candidate) -> f64 {
    let ops = if candidate.is_at_once() { 100 } else { 1 };
    let begun = Instant::now();
    allocation_counter::opt_out(|| world.run(candidate, ops));
    begun.elapsed().as_nanos() as f64 / f64::from(ops)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Returns the heap allocations of one connect, as the difference of two runs. So allocations that are made once,
/// such as those of the layer, do not count.
fn allocations(world: &World, candidate: Candidate) -> f64 {
    let (few, many) = (100, 200);
    world.run(candidate, few);
    let counted = |ops| {
        let counted = allocation_counter::measure(|| world.run(candidate, ops));
        counted.count_total as f64
    };
    (counted(many) - counted(few)) / f64::from(many - few)
}
