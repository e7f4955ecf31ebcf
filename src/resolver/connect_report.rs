//! The report of a failed connect, which lists its addresses and their outcomes.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Inner;
use super::report::{self, AttemptEnd};
use crate::attempt::attribution::{self, FamiliesUsed};
use crate::attempt::{AttemptContext, Resolution};
use crate::events::{AnswerSource, AttemptReport};
use crate::health::record::{AddressRecord, Rank};
use crate::host::Host;
use crate::{Outcome, time};

/// The addresses of a connect, where they came from, and the outcome of each.
#[derive(Debug)]
pub(crate) struct ConnectReport {
    pub(crate) host: Host,
    pub(crate) attempts: Vec<AttemptReport>,
    pub(crate) source: AnswerSource,
    pub(crate) age: Duration,
    /// Number of lanes in which the connector attempts the addresses side by side.
    pub(crate) lanes: usize,
}

impl Inner {
    /// Returns the report of a connect with the end `ending`, or `None` if there is nothing to report.
    ///
    /// There is nothing to report if the connect resolved no name or two names, or if the outcome of its error is
    /// unknown. The connect then fails with the error of the connector, because a client may look for the type of
    /// that error, as reqwest does for tower's `Elapsed`.
    pub(crate) fn connect_report(
        &self,
        context: &AttemptContext,
        families_used: FamiliesUsed,
        ending: &AttemptEnd,
    ) -> Option<ConnectReport> {
        let resolution = ending.note(context)?;
        let (failure, after_tcp) = ending.clone().failure()?;
        if failure.why == Outcome::Unknown {
            return None;
        }
        let selected = resolution.addrs.as_slice();
        let dialled = report::dialled(selected, families_used, failure.why, after_tcp);
        let end = |addr| (addr, dialled.contains(&addr).then_some(failure.why));
        Some(self.report_of(&resolution, attribution::every_address(selected).map(end)))
    }

    /// Returns the report of these addresses and their outcomes. The outcome `None` means that there was no attempt.
    pub(crate) fn report_of(
        &self,
        resolution: &Resolution,
        ends: impl Iterator<Item = (IpAddr, Option<Outcome>)>,
    ) -> ConnectReport {
        let now = time::now();
        let attempt = |(addr, outcome)| match outcome {
            None => self.earlier_failure(resolution, addr, now),
            Some(_) => AttemptReport {
                addr,
                outcome,
                ago: None,
            },
        };
        ConnectReport {
            attempts: ends.map(attempt).collect(),
            source: resolution.source,
            age: resolution.age,
            lanes: attribution::lanes(resolution.addrs.as_slice()),
            host: resolution.host.clone(),
        }
    }

    /// Returns the report of an address without an attempt, which holds an earlier failure if that still counts.
    fn earlier_failure(
        &self,
        resolution: &Resolution,
        addr: IpAddr,
        now: Instant,
    ) -> AttemptReport {
        let held = self.health.read(resolution.host.as_str(), now, |records| {
            let record = records.find(addr);
            let held = |record: &AddressRecord| {
                !matches!(record.rank(now), Rank::Healthy | Rank::Doubtful)
            };
            let record = record.filter(|it| held(it))?;
            Some((record.why(), now.saturating_duration_since(record.since())))
        });
        let (outcome, ago) = held.unzip();
        AttemptReport { addr, outcome, ago }
    }
}
