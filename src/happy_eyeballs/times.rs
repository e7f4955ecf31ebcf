//! The times that the program sets on a race.

use std::time::{Duration, Instant};

/// The times that the program sets on a race.
#[derive(Clone, Copy, Debug)]
pub(super) struct RaceTimes {
    /// If `None`, the recent connects to the host decide.
    pub(super) attempt_delay: Option<Duration>,
    pub(super) attempt_timeout: Option<Duration>,
    /// The time that the race may take in all.
    pub(super) timeout: Option<Duration>,
}

impl RaceTimes {
    /// Returns the deadline of a race that began at `began`.
    pub(super) fn deadline(self, began: Instant) -> Option<Instant> {
        self.timeout.map(|timeout| began + timeout)
    }
}
