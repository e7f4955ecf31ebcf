//! Counts the calls of callers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use testkit::lab::clock;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    calls: usize,
    pub(crate) again: usize,
    slowest: Duration,
    /// Number of responses of each edge.
    answered: BTreeMap<String, usize>,
    failed: Vec<String>,
}

impl Tally {
    /// Counts a call that began at `begin`, with the edge that responded or the failure.
    pub(crate) fn note(&mut self, begin: Instant, result: Result<String, String>) {
        self.calls += 1;
        self.slowest = self.slowest.max(clock::now() - begin);
        match result {
            Ok(edge) => *self.answered.entry(edge).or_default() += 1,
            Err(error) => self.failed.push(error),
        }
    }

    /// Adds the calls of another caller.
    pub(crate) fn join(mut self, other: Self) -> Self {
        self.calls += other.calls;
        self.again += other.again;
        self.slowest = self.slowest.max(other.slowest);
        for (edge, times) in other.answered {
            *self.answered.entry(edge).or_default() += times;
        }
        self.failed.extend(other.failed);
        self
    }

    pub(crate) fn failed(&self) -> usize {
        self.failed.len()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (calls, failed, again) = (self.calls, self.failed.len(), self.again);
        let slowest = self.slowest.as_millis();
        write!(
            f,
            "{calls:5} calls, {failed} failed, {again:3} sent again, slowest {slowest:4} ms; answered by"
        )?;
        for (edge, times) in &self.answered {
            write!(f, " {edge} ({} %)", 100 * times / calls)?;
        }
        match self.failed.first() {
            None => Ok(()),
            Some(error) => write!(f, "\n    the first that failed: {error}"),
        }
    }
}
