//! The figures of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use testkit::Mode;
use testkit::soak::limits;
use testkit::soak::scenes::Kind;
use testkit::soak::schedule::{Act, At, Schedule};

use crate::callers::{Built, Caller};
use crate::ledger::Ledger;
use crate::load::{Class, Tally};
use crate::stage::Stage;
use crate::watch::Watch;

/// The figures of one run, which are the fields of the JSON output.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) client: &'static str,
    pub(crate) faults: usize,
    pub(crate) seconds: f64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Requests without a response 30 s after the last start.
    pub(crate) hung: usize,
    pub(crate) hung_oldest_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) worst_ms: f64,
    /// Times of the requests of each class.
    pub(crate) classes: Vec<OfClass>,
    pub(crate) dials: usize,
    pub(crate) dead_dials: usize,
    pub(crate) dead_dials_percent: f64,
    /// Attempts to dead addresses as a share of all requests.
    pub(crate) dead_dials_of_requests_percent: f64,
    /// Attempts by the mode of the edge.
    pub(crate) dials_by_mode: Vec<(String, usize)>,
    /// Probes of the resolver, which do not count as attempts.
    pub(crate) probes: Option<u64>,
    pub(crate) lookups: Option<u64>,
    pub(crate) queries: usize,
    pub(crate) most_queries: f64,
    pub(crate) most_queries_in_a_second: usize,
    /// Mean of the resident set in each quarter of the run, in MiB.
    pub(crate) memory_mib: Option<[f64; 4]>,
    /// Requests slower than the bar for p99.9, or than `bars::SLOWER` in a run without faults.
    pub(crate) slow: Vec<Slow>,
    /// The first kinds of failures, and the number of each.
    pub(crate) failures: BTreeMap<String, u64>,
}

/// Requests of one class.
#[derive(Debug, Serialize)]
pub(crate) struct OfClass {
    #[serde(skip)]
    pub(crate) class: Class,
    pub(crate) words: String,
    pub(crate) requests: u64,
    pub(crate) p999_ms: f64,
    pub(crate) worst_ms: f64,
}

/// Requests over the bar that had the same events.
#[derive(Debug, Serialize)]
pub(crate) struct Slow {
    pub(crate) met: String,
    pub(crate) requests: u64,
    pub(crate) worst_ms: f64,
    /// Starts of the first and the last of these requests, in seconds.
    pub(crate) began_s: [f64; 2],
}

/// The results of a run.
pub(crate) struct Run<'a> {
    pub(crate) caller: Caller,
    pub(crate) schedule: &'a Schedule,
    pub(crate) stage: Stage,
    pub(crate) built: Built,
    pub(crate) ledger: &'a Ledger,
    pub(crate) tally: Tally,
    pub(crate) watch: Watch,
}

impl Figures {
    pub(crate) fn of(run: &Run<'_>) -> Self {
        let (tally, seconds) = (&run.tally, run.tally.lasted.as_secs_f64());
        let took = |quantile| tally.took.value_at_quantile(quantile) as f64 / 1000.0;
        let modes = run.ledger.dials();
        let sum = |of: fn(Mode) -> bool| -> usize {
            let chosen = modes.iter().filter(|(mode, _)| of(*mode));
            chosen.map(|(_, dials)| dials).sum()
        };
        let (dials, dead_dials) = (sum(|_| true), sum(|mode| mode != Mode::Serve));
        let snapshot = run.built.resolver.as_ref().map(|it| it.snapshot());
        Self {
            client: run.caller.title(),
            faults: faults(run.schedule, tally.lasted),
            seconds,
            answered: tally.answered,
            failed: tally.failed,
            hung: tally.hung.len(),
            hung_oldest_s: tally.hung.iter().max().map_or(0.0, Duration::as_secs_f64),
            p50_ms: took(0.5),
            p99_ms: took(0.99),
            p999_ms: took(0.999),
            worst_ms: took(1.0),
            classes: classes(tally),
            dials,
            dead_dials,
            dead_dials_percent: 100.0 * dead_dials as f64 / dials.max(1) as f64,
            dead_dials_of_requests_percent: 100.0 * dead_dials as f64 / tally.took.len() as f64,
            dials_by_mode: modes
                .map(|(mode, dials)| (format!("{mode:?}"), dials))
                .into(),
            probes: snapshot.as_ref().map(|it| it.probes),
            lookups: snapshot.as_ref().map(|it| it.lookups),
            queries: run.stage.queries(),
            most_queries: limits::most_queries(run.schedule, seconds),
            most_queries_in_a_second: run.watch.most_queries_in_a_second(),
            memory_mib: run.watch.quarters().map(|all| all.map(mib)),
            slow: slow(tally),
            failures: tally.failures.clone(),
        }
    }

    /// Returns the growth of the resident set from the third quarter to the last one, in percent.
    pub(crate) fn growth_percent(&self) -> Option<f64> {
        self.memory_mib
            .map(|[_, _, third, last]| 100.0 * (last / third - 1.0))
    }
}

fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

fn classes(tally: &Tally) -> Vec<OfClass> {
    let classes = tally.classes.iter().map(|(&class, took)| OfClass {
        class,
        words: words(class),
        requests: took.len(),
        p999_ms: took.value_at_quantile(0.999) as f64 / 1000.0,
        worst_ms: took.max() as f64 / 1000.0,
    });
    classes.collect()
}

fn words(class: Class) -> String {
    let scene = match class.scene {
        None => "outside of scenes",
        Some(Kind::SeveralHang) => "several edges hang",
        Some(Kind::OneAddress) => "the only address dies",
        Some(Kind::Moved) => "all addresses die and DNS has moved",
    };
    let silence = if class.silence {
        ", a silent connection"
    } else {
        ""
    };
    format!("{scene}{silence}")
}

fn slow(tally: &Tally) -> Vec<Slow> {
    let slow = tally.slow.iter().map(|(met, slow)| Slow {
        met: met.clone(),
        requests: slow.requests,
        worst_ms: slow.worst.as_secs_f64() * 1000.0,
        began_s: slow.began.map(|at| at.as_secs_f64()),
    });
    let mut slow: Vec<_> = slow.collect();
    slow.sort_by_key(|slow| std::cmp::Reverse(slow.requests));
    slow
}

/// Counts how often an edge or the name server died.
fn faults(schedule: &Schedule, lasted: Duration) -> usize {
    let end: At = lasted.as_millis().try_into().expect("a soak ends");
    let deaths = |&(at, act): &(At, Act)| match act {
        _ if at >= end => 0,
        Act::Edge(_, mode) => usize::from(mode != Mode::Serve),
        Act::Edges(edges, _) => edges.into_iter().filter(|&dies| dies).count(),
        Act::Dns(_) | Act::NameServer(_) => 0,
    };
    let outages = schedule.outages.iter().filter(|outage| outage.from < end);
    schedule.steps.iter().map(deaths).sum::<usize>() + outages.count()
}
