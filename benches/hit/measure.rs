//! How it is measured.

use std::hint::black_box;
use std::process::Command;
use std::str::FromStr as _;
use std::sync::Barrier;
use std::time::Instant;

use futures_util::FutureExt as _;
use hyper_util::client::legacy::connect::dns::Name;
use sidestep::Resolver;
use tower::Service as _;

use crate::candidates::{Candidate, DAY, Fixed, World};

const ROUNDS: usize = 61;
const SLICE: u32 = 4_000;

/// Returns the median nanoseconds of one operation and its ratio to the floor's around it.
pub(crate) fn time(world: &World, candidate: Candidate) -> (f64, f64) {
    let ops = if matches!(candidate, Candidate::Hickory | Candidate::ReqwestHickory) {
        SLICE / 20
    } else {
        SLICE
    };
    let floor = || slice(world, Candidate::Floor, SLICE);
    let mut before = floor();
    let rounds = (0..ROUNDS).map(|_| {
        let ours = slice(world, candidate, ops);
        let after = floor();
        let around = (std::mem::replace(&mut before, after) + after) / 2.0;
        (ours, ours / around)
    });
    let (times, ratios): (Vec<_>, Vec<_>) = rounds.unzip();
    (median(times), median(ratios))
}

fn slice(world: &World, candidate: Candidate, ops: u32) -> f64 {
    let begun = Instant::now();
    allocation_counter::opt_out(|| candidate.run(world, ops));
    begun.elapsed().as_nanos() as f64 / f64::from(ops)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Returns the instructions of one operation, by callgrind; `None` without valgrind.
pub(crate) fn instructions(candidate: Candidate) -> Option<u64> {
    let (few, many) = (200, 1_200);
    let less = counted(candidate, few)?;
    let more = counted(candidate, many)?;
    Some(more.saturating_sub(less) / u64::from(many - few))
}

fn counted(candidate: Candidate, ops: u32) -> Option<u64> {
    let name = clap::ValueEnum::to_possible_value(&candidate)?
        .get_name()
        .to_owned();
    let this = std::env::current_exe().ok()?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["--run", &name, "--ops", &ops.to_string()])
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&run.stderr);
    let line = said.lines().find(|line| line.contains("Collected :"))?;
    line.split_whitespace().last()?.parse().ok()
}

/// Returns the heap allocations of one operation.
pub(crate) fn allocations(world: &World, candidate: Candidate) -> f64 {
    let ops = 100;
    candidate.run(world, ops);
    let counted = allocation_counter::measure(|| candidate.run(world, ops));
    counted.count_total as f64 / f64::from(ops)
}

/// Returns the time of an operation on two threads at once over that on one.
pub(crate) fn two_thread_scaling(world: &World) -> f64 {
    let ratios = (0..ROUNDS).map(|_| {
        let alone = slice(world, Candidate::Service, SLICE);
        together(world) / alone
    });
    median(ratios.collect())
}

fn together(world: &World) -> f64 {
    let start = Barrier::new(2);
    let run = || {
        start.wait();
        slice(world, Candidate::Service, SLICE)
    };
    std::thread::scope(|threads| {
        let other = threads.spawn(run);
        let here = run();
        f64::midpoint(here, other.join().expect("it does not panic"))
    })
}

/// Returns the time of a lookup of one of a million hosts over that of one of ten.
pub(crate) fn million_hosts_ratio() -> f64 {
    let (few, many) = (filled(10), filled(1_000_000));
    let mut rng = fastrand::Rng::with_seed(1);
    let mut ask = |resolver: &Resolver, hosts: usize| {
        let picks: Vec<String> = (0..2_000).map(|_| host(rng.usize(..hosts))).collect();
        let begun = Instant::now();
        for pick in &picks {
            let name = Name::from_str(pick).expect("it is a name");
            let addrs = resolver
                .clone()
                .call(name)
                .now_or_never()
                .expect("it is cached");
            black_box(addrs.expect("it is there").count());
        }
        begun.elapsed().as_nanos() as f64
    };
    median(
        (0..ROUNDS)
            .map(|_| ask(&many, 1_000_000) / ask(&few, 10))
            .collect(),
    )
}

/// Returns the heap bytes that each of 100 000 hosts with four addresses holds.
pub(crate) fn bytes_per_host() -> f64 {
    let hosts = 100_000;
    let mut kept = None;
    let counted = allocation_counter::measure(|| kept = Some(filled(hosts)));
    let bytes = counted.bytes_current as f64 / hosts as f64;
    drop(kept);
    bytes
}

fn host(n: usize) -> String {
    format!("h{n:07}.example.test")
}

fn filled(hosts: usize) -> Resolver {
    let addrs = (1..=4_u8).map(|n| [192, 0, 2, n].into()).collect();
    let builder = Resolver::builder().lookup(Fixed(addrs)).capacity(hosts);
    let resolver = builder
        .min_ttl(DAY)
        .max_ttl(DAY)
        .build()
        .expect("settings are valid");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime starts").block_on(async {
        for n in 0..hosts {
            resolver.resolve(&host(n)).await.expect("it is there");
        }
    });
    resolver
}
