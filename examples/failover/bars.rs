//! What sidestep promises, held against what was measured.

use crate::Outcome;
use crate::callers::Caller;
use crate::clients::Client;
use crate::hyper_clients::Hyper;
use crate::report::summaries;
use crate::scenario::Scenario;
use crate::summary::Summary;

/// Through reqwest the worst request may be this much slower than the same client's worst before the
/// death.
const SLOWER_MS: f64 = 350.0;
/// Through a race no request may take longer, whatever dies.
const WORST_MS: f64 = 300.0;
/// Share of dials that may go to the dead address, over a minute or more.
const DEAD_PERCENT: f64 = 1.0;
/// From so many seconds of death on the share is judged: a minute, less the half period.
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
            Caller::Reqwest(Client::Sidestep) => [lost(&it), slower(&it), dialled(&it, dead_for)],
            Caller::Hyper(Hyper::Race(_)) => [lost(&it), slow(&it), dialled(&it, dead_for)],
            Caller::Reqwest(Client::Plain | Client::Hickory) | Caller::Hyper(Hyper::Stock) => {
                [const { None }; 3]
            }
        };
        let name = it.scenario.words().0;
        let words = words.into_iter().flatten();
        words.map(move |words| format!("{name}, {}: {words}", it.client))
    })
}

fn lost(row: &Summary) -> Option<String> {
    let (failed, hung) = (row.failed, row.hung);
    let words = || format!("{failed} requests failed and {hung} hang");
    (failed + hung > 0).then(words)
}

fn slower(row: &Summary) -> Option<String> {
    let slower = row.worst_ms - row.worst_before_ms;
    let words = || format!("the worst request took {slower:.0} ms more than before");
    (one_edge_dies(row.scenario) && slower > SLOWER_MS).then(words)
}

fn slow(row: &Summary) -> Option<String> {
    let worst = row.worst_ms;
    let words = || format!("the worst request took {worst:.0} ms");
    (worst > WORST_MS).then(words)
}

fn dialled(row: &Summary, dead_for: f64) -> Option<String> {
    let percent = row.dead_dials_percent;
    let words = || format!("{percent} % of dials went to the dead edge");
    let is_judged = one_edge_dies(row.scenario) && dead_for >= MINUTE;
    (is_judged && percent > DEAD_PERCENT).then(words)
}

fn one_edge_dies(scenario: Scenario) -> bool {
    !matches!(scenario, Scenario::Moved | Scenario::ComesBack)
}
