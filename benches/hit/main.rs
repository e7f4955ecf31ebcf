//! Measures a cached lookup, and compares the lookup with a floor and with the cache of hickory.
//!
//! ```sh
//! cargo bench --bench hit
//! cargo bench --bench hit -- --json
//! ```
//!
//! One operation makes the `Name` from the host, as hyper-util does for each connect, calls the resolver, polls once
//! and reads the eight addresses (4 A and 4 AAAA). The *floor* does the same without a cache: the floor copies and
//! shuffles eight addresses and boxes twice, as `reqwest::dns::Resolve` needs. The *bare floor* has no boxes, for
//! `Service<Name>`.
//!
//! valgrind's callgrind counts instructions in a separate process. The figure is the difference of two runs, so that
//! only operations count. Times are medians of slices, each between two slices of the floor. The allocator counts
//! allocations and memory.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

#[path = "../common/callgrind.rs"]
mod callgrind;
mod candidates;
#[path = "../common/fixed.rs"]
mod fixed;
mod measure;

use clap::Parser;
use serde::Serialize;

use crate::candidates::{Candidate, World};

#[derive(Debug, Parser)]
struct Args {
    /// Prints one JSON object on stdout, and nothing else
    #[arg(long)]
    json: bool,
    /// Runs one candidate so many times and ends; callgrind counts it
    #[arg(long, hide = true, requires = "ops")]
    run: Option<Candidate>,
    #[arg(long, hide = true)]
    ops: Option<u32>,
    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
}

/// All figures. The counts of instructions are `None` without valgrind.
#[derive(Debug, Serialize)]
struct Figures {
    /// Instructions of a lookup through `reqwest::dns::Resolve` over those of the floor.
    ratio_to_floor: Option<f64>,
    /// Instructions of hickory's cached `lookup_ip` over those of sidestep.
    hickory_ratio: Option<f64>,
    /// Time of a lookup through `reqwest::dns::Resolve` over that of the floor.
    time_ratio_to_floor: f64,
    /// Time of hickory's cached `lookup_ip` over that of sidestep.
    hickory_time_ratio: f64,
    /// Heap allocations of sidestep for one lookup through `Service<Name>`.
    allocations: f64,
    /// Time of a lookup while another thread looks up the same host, over that without the other thread.
    two_thread_scaling: f64,
    /// Time of a lookup of random hosts of a million, over that of ten hosts.
    million_hosts_ratio: f64,
    /// Time of a lookup of one host of a million, over that of ten hosts.
    million_hosts_hot_ratio: f64,
    /// Time to read random entries of a bare `HashMap` of a million, over that of ten entries.
    million_hosts_map_ratio: f64,
    /// Heap bytes for each of 100 000 hosts with four A records.
    bytes_per_host: f64,
    /// Heap bytes of `Resolver::new()`.
    bytes_per_resolver: u64,
    candidates: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    candidate: Candidate,
    instructions: Option<u64>,
    ns: f64,
    ratio_to_floor_in_time: f64,
    allocations: f64,
}

fn main() {
    let args = Args::parse();
    let world = World::new();
    if let (Some(candidate), Some(ops)) = (args.run, args.ops) {
        // The counter itself takes a few instructions, which remain in the difference.
        return allocation_counter::opt_out(|| candidate.run(&world, ops));
    }
    let figures = measure(&world);
    match args.json {
        true => println!(
            "{}",
            serde_json::to_string(&figures).expect("figures are plain")
        ),
        false => print(&figures),
    }
}

fn measure(world: &World) -> Figures {
    let rows: Vec<Row> = Candidate::ALL
        .into_iter()
        .map(|candidate| {
            let (ns, ratio) = measure::time(world, candidate);
            Row {
                candidate,
                instructions: callgrind::instructions(&candidate),
                ns,
                ratio_to_floor_in_time: ratio,
                allocations: measure::allocations(world, candidate),
            }
        })
        .collect();
    let row = |candidate| {
        let found = rows.iter().find(|row| row.candidate == candidate);
        found.expect("every candidate has a row")
    };
    let (floor, ours) = (row(Candidate::Floor), row(Candidate::Reqwest));
    let hickory = row(Candidate::Hickory);
    let instructions =
        |over: &Row, under: &Row| Some(over.instructions? as f64 / under.instructions? as f64);
    let million = measure::million();
    Figures {
        ratio_to_floor: instructions(ours, floor),
        hickory_ratio: instructions(hickory, ours),
        time_ratio_to_floor: ours.ratio_to_floor_in_time,
        hickory_time_ratio: hickory.ratio_to_floor_in_time / ours.ratio_to_floor_in_time,
        allocations: row(Candidate::Service).allocations - row(Candidate::BareFloor).allocations,
        two_thread_scaling: measure::two_thread_scaling(world),
        million_hosts_ratio: million.any,
        million_hosts_hot_ratio: million.hot,
        million_hosts_map_ratio: million.map,
        bytes_per_host: measure::bytes_per_host(),
        bytes_per_resolver: measure::bytes_per_resolver(),
        candidates: rows,
    }
}

fn print(figures: &Figures) {
    println!(
        "{:<28} {:>13} {:>9} {:>9} {:>7}",
        "", "instructions", "ns", "ns/floor", "allocs"
    );
    for row in &figures.candidates {
        let instructions = row
            .instructions
            .map_or_else(|| "-".to_owned(), |n| n.to_string());
        let (name, ns, ratio) = (row.candidate.title(), row.ns, row.ratio_to_floor_in_time);
        println!(
            "{name:<28} {instructions:>13} {ns:>9.0} {ratio:>9.2} {:>7.2}",
            row.allocations
        );
    }
    let ratio =
        |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
    if figures.ratio_to_floor.is_none() {
        println!("\nvalgrind is missing: instructions were not counted, only times are shown");
    }
    println!(
        "\nours / floor: {} in instructions (bar 1.25), {:.2} in time",
        ratio(figures.ratio_to_floor),
        figures.time_ratio_to_floor
    );
    println!(
        "hickory / ours: {} in instructions (bar 20), {:.1} in time",
        ratio(figures.hickory_ratio),
        figures.hickory_time_ratio
    );
    println!(
        "allocations of ours through Service<Name>: {} (bar 0)",
        figures.allocations
    );
    println!(
        "two threads, one host: {:.2} of one thread's time",
        figures.two_thread_scaling
    );
    println!(
        "one of 1 000 000 hosts / one of 10: {:.2} at random, {:.2} always the same (bar 2); \
         a bare HashMap at random: {:.2}",
        figures.million_hosts_ratio,
        figures.million_hosts_hot_ratio,
        figures.million_hosts_map_ratio
    );
    println!(
        "bytes per host (4 A, 100 000 hosts): {:.0} (bar 400)",
        figures.bytes_per_host
    );
    println!(
        "bytes of a new resolver: {} (bar 16 384)",
        figures.bytes_per_resolver
    );
}
