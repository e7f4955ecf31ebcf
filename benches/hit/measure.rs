//! The measurements.

use std::collections::HashMap;
use std::hint::black_box;
use std::net::IpAddr;
use std::str::FromStr as _;
use std::sync::Barrier;
use std::time::Instant;

use futures_util::FutureExt as _;
use hyper_util::client::legacy::connect::dns::Name;
use sidestep::Resolver;
use tower::Service as _;

use crate::candidates::{Candidate, World};
use crate::fixed::{DAY, Fixed};

const ROUNDS: usize = 61;
const SLICE: u32 = 4_000;

/// Returns the median nanoseconds of one operation, and the ratio to the slices of the floor around it.
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

/// Times with a million hosts over those with ten hosts.
pub(crate) struct Million {
    /// Lookups of random hosts of a million, which are not in the processor's caches.
    pub(crate) any: f64,
    /// Lookups of one host of a million, which is in the processor's caches, so that only the work of sidestep remains.
    pub(crate) hot: f64,
    /// Random reads of a bare map of std, which show the cost of memory alone.
    pub(crate) map: f64,
}

pub(crate) fn million() -> Million {
    const MANY: usize = 1_000_000;
    let (few, many) = (filled(10), filled(MANY));
    let one = vec![host(MANY / 2); WALK];
    let ours = |resolver: &Resolver, picks: &[String]| walk(picks, |pick| ask(resolver, pick));
    let ratio = |over: &dyn Fn() -> f64, under: &dyn Fn() -> f64| {
        median((0..ROUNDS).map(|_| over() / under()).collect())
    };
    let any = ratio(&|| ours(&many, &picks(MANY)), &|| ours(&few, &picks(10)));
    let hot = ratio(&|| ours(&many, &one), &|| ours(&few, &picks(10)));
    drop((few, many));
    let (few, many) = (bare_map(10), bare_map(MANY));
    let read = |map: &BareMap, picks: &[String]| walk(picks, |pick| map[pick].len());
    let map = ratio(&|| read(&many, &picks(MANY)), &|| read(&few, &picks(10)));
    Million { any, hot, map }
}

const WALK: usize = 2_000;

fn picks(hosts: usize) -> Vec<String> {
    (0..WALK).map(|_| host(fastrand::usize(..hosts))).collect()
}

fn walk(picks: &[String], mut ask: impl FnMut(&str) -> usize) -> f64 {
    let begun = Instant::now();
    for pick in picks {
        assert_eq!(black_box(ask(pick)), 4);
    }
    begun.elapsed().as_nanos() as f64
}

fn ask(resolver: &Resolver, host: &str) -> usize {
    let name = Name::from_str(host).expect("it is a name");
    let asked = resolver.clone().call(name).now_or_never();
    let addrs = asked.expect("it is cached").expect("it is there");
    addrs.map(black_box).count()
}

type BareMap = HashMap<String, Box<[IpAddr]>>;

fn bare_map(hosts: usize) -> BareMap {
    (0..hosts).map(|n| (host(n), four().into())).collect()
}

/// Returns the heap bytes of each of 100 000 hosts with four addresses.
pub(crate) fn bytes_per_host() -> f64 {
    let hosts = 100_000;
    let mut kept = None;
    let counted = allocation_counter::measure(|| kept = Some(filled(hosts)));
    let bytes = counted.bytes_current as f64 / hosts as f64;
    drop(kept);
    bytes
}

/// Returns the heap bytes of a resolver with the system's settings before its first lookup.
pub(crate) fn bytes_per_resolver() -> u64 {
    let mut kept = None;
    let counted = allocation_counter::measure(|| kept = Some(Resolver::new()));
    drop(kept);
    counted
        .bytes_current
        .try_into()
        .expect("a resolver holds memory")
}

fn host(n: usize) -> String {
    format!("h{n:07}.example.test")
}

fn four() -> [IpAddr; 4] {
    [1, 2, 3, 4].map(|n| [192, 0, 2, n].into())
}

fn filled(hosts: usize) -> Resolver {
    let builder = Resolver::builder()
        .lookup(Fixed(four().into()))
        .max_hosts(hosts);
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
