//! Counts the queries, attempts and failures of a fleet, second by second.

use std::ops::AddAssign;

/// The counts of one second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Second {
    pub(crate) queries: u64,
    pub(crate) requests: u64,
    /// Attempts of requests.
    pub(crate) dials: u64,
    /// Attempts of requests to dead addresses.
    pub(crate) dead: u64,
    /// Number of probes.
    pub(crate) probes: u64,
    /// Requests that found no address that connects.
    pub(crate) failed: u64,
    /// Failed requests that got no address.
    pub(crate) unanswered: u64,
}

impl AddAssign for Second {
    fn add_assign(&mut self, other: Self) {
        self.queries += other.queries;
        self.requests += other.requests;
        self.dials += other.dials;
        self.dead += other.dead;
        self.probes += other.probes;
        self.failed += other.failed;
        self.unanswered += other.unanswered;
    }
}

/// The counts of all seconds of a run.
#[derive(Clone, Debug)]
pub(crate) struct Tally(Vec<Second>);

impl Tally {
    pub(crate) fn new(seconds: u64) -> Self {
        Self(vec![Second::default(); seconds as usize])
    }

    /// Returns the counts of a second. Later events count for the last second.
    pub(crate) fn at(&mut self, second: u64) -> &mut Second {
        let last = self.0.len() - 1;
        &mut self.0[last.min(second as usize)]
    }

    pub(crate) fn seconds(&self) -> &[Second] {
        &self.0
    }
}

impl AddAssign<&Self> for Tally {
    fn add_assign(&mut self, other: &Self) {
        for (second, &more) in self.0.iter_mut().zip(&other.0) {
            *second += more;
        }
    }
}
