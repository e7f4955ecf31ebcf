//! Compares the results with what sidestep promises.

use std::time::Duration;

use testkit::lab::clients::{Client, PING};

use crate::Outcome;
use crate::callers::Caller;
use crate::hyper_clients::Hyper;
use crate::report::summaries;
use crate::scenario::Scenario;
use crate::summary::Summary;

/// How much slower the worst request may be than the worst one of the same client before the death, through reqwest and
/// through a race. Each black hole may cost 350 ms or 250 ms, and its detection a second lane or a lookup.
fn slower_by_ms(scenario: Scenario) -> Option<(f64, f64)> {
    Some(match scenario {
        Scenario::Refuses
        | Scenario::BlackHoled
        | Scenario::TlsReset
        | Scenario::WrongCertificate
        | Scenario::AcceptsAndCloses
        | Scenario::Gslb => (350.0, 300.0),
        Scenario::TlsHangs => (650.0, 300.0),
        Scenario::ThreeBlackHoled => (1_350.0, 800.0),
        Scenario::Moved => (350.0, 300.0),
        Scenario::MovedBlackHoled | Scenario::OneAddressFailsOver => (1_000.0, 600.0),
        Scenario::SilentPooled | Scenario::ComesBack => return None,
    })
}

/// How long the worst request may take if edges go silent: a ping is sent and lost, and the request is sent again on
/// another connection.
fn longest_ms(scenario: Scenario) -> Option<f64> {
    let longest = 2 * PING + Duration::from_millis(500);
    (scenario == Scenario::SilentPooled).then_some(longest.as_secs_f64() * 1000.0)
}

/// Share of attempts that may go to the dead address, over a minute or more.
const DEAD_PERCENT: f64 = 1.0;
/// The share counts if the edge is dead for at least this many seconds: a minute, minus half a period.
const MINUTE: f64 = 59.9;

/// Returns a line for each bar that sidestep did not meet.
pub(crate) fn missed(outcomes: &[Outcome]) -> Vec<String> {
    outcomes.iter().flat_map(missed_in).collect()
}

fn missed_in(outcome: &Outcome) -> impl Iterator<Item = String> {
    let dead_for = outcome.plan.dead_for().as_secs_f64();
    let rows = outcome.rows.iter().zip(summaries(outcome));
    rows.flat_map(move |(row, it)| {
        let words = match row.caller {
            Caller::Reqwest(Client::Sidestep) => {
                let most = slower_by_ms(it.scenario).map(|(reqwest, _)| reqwest);
                judge(&it, most, dead_for)
            }
            Caller::Hyper(Hyper::Race(_)) => {
                let most = slower_by_ms(it.scenario).map(|(_, race)| race);
                judge(&it, most, dead_for)
            }
            Caller::Reqwest(Client::Plain | Client::Hickory) | Caller::Hyper(Hyper::Stock) => {
                [const { None }; 4]
            }
        };
        let name = it.scenario.words().0;
        let words = words.into_iter().flatten();
        words.map(move |words| format!("{name}, {}: {words}", it.client))
    })
}

fn judge(row: &Summary, most: Option<f64>, dead_for: f64) -> [Option<String>; 4] {
    [
        lost(row),
        slower(row, most),
        longer(row),
        dialled(row, dead_for),
    ]
}

fn lost(row: &Summary) -> Option<String> {
    let (failed, hung) = (row.failed, row.hung);
    let words = || format!("{failed} requests failed and {hung} hang");
    (failed + hung > 0).then(words)
}

fn slower(row: &Summary, most: Option<f64>) -> Option<String> {
    let slower = row.worst_ms - row.worst_before_ms;
    let words = || format!("the worst request took {slower:.0} ms more than before");
    (slower > most?).then(words)
}

fn longer(row: &Summary) -> Option<String> {
    let words = || format!("the worst request took {:.0} ms", row.worst_ms);
    (row.worst_ms > longest_ms(row.scenario)?).then(words)
}

fn dialled(row: &Summary, dead_for: f64) -> Option<String> {
    let percent = row.dead_dials_percent;
    let words = || format!("{percent} % of dials went to the dead edge");
    let is_judged = one_edge_dies(row.scenario) && dead_for >= MINUTE;
    (is_judged && percent > DEAD_PERCENT).then(words)
}

fn one_edge_dies(scenario: Scenario) -> bool {
    !matches!(
        scenario,
        Scenario::Moved
            | Scenario::MovedBlackHoled
            | Scenario::OneAddressFailsOver
            | Scenario::ThreeBlackHoled
            | Scenario::ComesBack
            // With few connects or few addresses, one connect to the dead edge is a large share.
            | Scenario::SilentPooled
            | Scenario::Gslb
    )
}
