//! Compares the figures with what sidestep promises.
//!
//! No request fails. How much slower than without faults the slowest of a thousand requests may be depends on the
//! events during the request:
//!
//! | requests | `.sidestep()` | race | why |
//! |---|---|---|---|
//! | outside of scenes | 350 ms | 350 ms | an edge that hangs delays a connect by 300 ms or 250 ms |
//! | while `k` edges hang at once | 350 ms × k + 300 ms | 250 ms × k + 50 ms | a connect may attempt all of them, one after the other or two at once |
//! | after the only address died | 1 s | 600 ms | the address is slow, and then a last resort or DNS provides another one |
//! | after all addresses died and DNS named new ones | 1 s | 600 ms | two addresses are slow, and a lookup follows |
//! | on a connection that goes silent (pooled only) | | 4 s more | a ping is sent after 2 s of silence and is lost after 2 s more; only a ping distinguishes a silent edge from a slow response |
//!
//! If each request has its own connection, at most 2 % of the connects go to dead addresses. A client with a pool
//! connects when an edge has died, and then knows nothing of the other edges that have died since its last connect. So
//! dead addresses are a large part of its few connects, however good the client is. An edge notices how many connects
//! the requests cost, so the bar of a pool is 2 % of the requests: the same number of connects for the same load.

use std::time::Duration;

use testkit::soak::limits::IN_A_SECOND;
use testkit::soak::scenes::Kind;
use testkit::soak::schedule::{Connects, Schedule};

use crate::callers::{Caller, PING};
use crate::figures::Figures;
use crate::load::Class;

/// The slowest of a thousand requests may be this much slower than without faults.
pub(crate) const SLOWER: Duration = Duration::from_millis(350);
/// Share of attempts that may go to dead addresses.
const DEAD_PERCENT: f64 = 2.0;
/// Growth of the resident set that still counts as constant.
const GROWTH_PERCENT: f64 = 5.0;
/// Below this number of requests only failures count, because a few seconds show no trend.
const LONG: u64 = 200_000;

/// One promise, and whether the figures keep the promise.
pub(crate) struct Bar {
    pub(crate) kept: bool,
    pub(crate) words: String,
}

impl Bar {
    fn new(measured: f64, most: f64, words: impl FnOnce(String) -> String) -> Self {
        let kept = measured <= most;
        let sign = if kept { "≤" } else { ">" };
        let words = words(format!("{measured:.1} {sign} {most:.1}"));
        Self { kept, words }
    }
}

/// Returns each bar of the run with faults. `calm` is the same run without faults.
pub(crate) fn bars(
    caller: Caller,
    calm: &Figures,
    storm: &Figures,
    schedule: &Schedule,
) -> Vec<Bar> {
    let lost = storm.failed + storm.hung as u64;
    let all = lost + storm.answered;
    let mut bars = vec![Bar::new(lost as f64, 0.0, |it| {
        format!("requests failed or hung of {all}: {it}")
    })];
    if all < LONG {
        return bars;
    }
    for of_class in &storm.classes {
        let slower = slower(of_class.class, schedule).as_secs_f64() * 1000.0;
        bars.push(Bar::new(of_class.p999_ms, calm.p999_ms + slower, |it| {
            let words = &of_class.words;
            format!("{words}, p99.9 in ms against that without faults and {slower}: {it}")
        }));
    }
    let (dead, of) = match caller.connects() {
        Connects::ForEachRequest => (storm.dead_dials_percent, "connects"),
        Connects::Pooled => (storm.dead_dials_of_requests_percent, "requests"),
    };
    bars.push(Bar::new(dead, DEAD_PERCENT, |it| {
        format!("connects to dead addresses in percent of {of}: {it}")
    }));
    bars.push(Bar::new(storm.queries as f64, storm.most_queries, |it| {
        format!("queries to the name server: {it}")
    }));
    let in_a_second = storm.most_queries_in_a_second as f64;
    bars.push(Bar::new(in_a_second, IN_A_SECOND as f64, |it| {
        format!("queries in any second: {it}")
    }));
    if let Some(growth) = storm.growth_percent() {
        bars.push(Bar::new(growth, GROWTH_PERCENT, |it| {
            format!("percent that memory grew from the third quarter to the last: {it}")
        }));
    }
    bars
}

/// Returns how much slower than without faults a request may be.
fn slower(class: Class, schedule: &Schedule) -> Duration {
    let millis = Duration::from_millis;
    let is_race = schedule.connects == Connects::Pooled;
    let all_at_once = match is_race {
        true => millis(600),
        false => millis(1_000),
    };
    let of_scene = match class.scene {
        None => SLOWER,
        Some(Kind::SeveralHang) => {
            let scenes = schedule.scenes.iter();
            let several = scenes.filter(|scene| scene.kind == Kind::SeveralHang);
            let count = several.map(|scene| scene.victims.iter().filter(|&&dies| dies).count());
            let most = count
                .max()
                .unwrap_or_default()
                .try_into()
                .unwrap_or(u32::MAX);
            match is_race {
                true => millis(250) * most + millis(50),
                false => millis(350) * most + millis(300),
            }
        }
        Some(Kind::OneAddress | Kind::Moved) => all_at_once,
    };
    of_scene + if class.silence { PING } else { Duration::ZERO }
}
