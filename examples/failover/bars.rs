//! What sidestep promises, held against what was measured.

use crate::Outcome;
use crate::clients::Client;
use crate::report::summaries;
use crate::scenario::Scenario;
use crate::summary::Summary;

/// The worst request may be this much slower than the same client's worst before the death.
const SLOWER_MS: f64 = 350.0;
/// Share of dials that may go to the dead address, over a minute or more.
const DEAD_PERCENT: f64 = 1.0;
/// From so many seconds of death on the share is judged: a minute, less the half period.
const MINUTE: f64 = 59.9;

/// Returns a line for each bar that sidestep did not meet.
pub(crate) fn missed(outcomes: &[Outcome]) -> Vec<String> {
    let ours = |row: &Summary| row.client == Client::Sidestep.title();
    let rows = outcomes.iter().flat_map(|outcome| {
        let dead_for = outcome.plan.dead_for().as_secs_f64();
        summaries(outcome)
            .filter(ours)
            .map(move |row| (row, dead_for))
    });
    rows.flat_map(|(row, dead_for)| missed_by(&row, dead_for))
        .collect()
}

fn missed_by(row: &Summary, dead_for: f64) -> Vec<String> {
    let name = row.scenario.words().0;
    let mut missed = Vec::new();
    if row.failed + row.hung > 0 {
        let (failed, hung) = (row.failed, row.hung);
        missed.push(format!("{name}: {failed} requests failed and {hung} hang"));
    }
    let slower = row.worst_ms - row.worst_before_ms;
    if one_edge_dies(row.scenario) && slower > SLOWER_MS {
        missed.push(format!(
            "{name}: the worst request took {slower:.0} ms more than before"
        ));
    }
    if one_edge_dies(row.scenario) && dead_for >= MINUTE && row.dead_dials_percent > DEAD_PERCENT {
        let percent = row.dead_dials_percent;
        missed.push(format!(
            "{name}: {percent} % of dials went to the dead edge"
        ));
    }
    missed
}

fn one_edge_dies(scenario: Scenario) -> bool {
    !matches!(scenario, Scenario::Moved | Scenario::ComesBack)
}
