//! The state of a race after its host was resolved, and the error of a race.

use std::io;
use std::time::{Duration, Instant};

use super::state::{RaceConfig, RaceState};
use super::times::RaceTimes;
use crate::attempt::Resolution;
use crate::connect::ConnectError;
use crate::error::BoxError;
use crate::health::Health;
use crate::host::Host;
use crate::{Outcome, Resolver, time};

pub(super) struct ResolvedRace {
    pub(super) state: RaceState,
    /// The resolution whose addresses are attempted.
    pub(super) resolution: Resolution,
}

impl ResolvedRace {
    /// Returns an error with the outcome of every attempt, whose source is the first failure.
    pub(super) fn explain(
        &self,
        resolver: &Resolver,
        first: BoxError,
        given_up_after: Option<Duration>,
    ) -> BoxError {
        let now = time::now();
        let unread = |(_, end)| end == Some(Outcome::Unknown);
        // No outcome is known, and a client may look for the first error itself.
        if self.state.ends(now).all(unread) {
            return first;
        }
        let shared = resolver.inner();
        let account = shared.report_of(&self.resolution, self.state.ends(now));
        let error = ConnectError::new(account, given_up_after, first);
        error.of_race().into()
    }
}

/// Returns the times of a race to a host that began at `began`.
pub(super) fn config(health: &Health, host: &Host, times: RaceTimes, began: Instant) -> RaceConfig {
    let slow_after = health.slow_after_in_race(host);
    let delay = times.attempt_delay;
    RaceConfig {
        delay: delay.unwrap_or_else(|| health.attempt_delay(host)),
        attempt_timeout: times.attempt_timeout.map(|it| it.max(slow_after)),
        slow_after,
        deadline: times.deadline(began),
    }
}

/// The error of an attempt or a connect that a timeout of this crate has ended, and not one of the client.
#[derive(Debug, thiserror::Error)]
#[error("{what} was given up after {after:?}, which is HappyEyeballsLayer::{setting}")]
pub(crate) struct OutOfTime {
    pub(super) what: String,
    pub(super) after: Duration,
    pub(super) setting: &'static str,
}

impl OutOfTime {
    pub(super) fn into_error(self) -> BoxError {
        io::Error::new(io::ErrorKind::TimedOut, self).into()
    }
}
