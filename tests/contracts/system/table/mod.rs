//! The table of configurations: rows from bug reports of glibc, musl, Go, c-ares and systemd.

mod changes;
mod faults;
mod files;
mod hosts;
mod names;
mod replies;
mod search;
mod servers;

use crate::system::scenario::Scenario;

/// Returns all scenarios, those that the environment names if it names any.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let parts = [
        search::scenarios(),
        faults::scenarios(),
        servers::scenarios(),
        replies::scenarios(),
        hosts::scenarios(),
        files::scenarios(),
        names::scenarios(),
        changes::scenarios(),
    ];
    let mut all: Vec<_> = parts.into_iter().flatten().collect();
    for scenario in &mut all {
        scenario.rerun = format!(
            "SIDESTEP_SYSTEM_ONLY={:?} cargo test --test contracts system",
            scenario.title
        );
    }
    all
}
