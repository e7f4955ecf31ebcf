//! A race whose addresses are known, and what is told of it in the end.

use std::io;
use std::time::{Duration, Instant};

use super::plan::{Pace, Plan};
use crate::attempt::Note;
use crate::connect::ConnectError;
use crate::error::BoxError;
use crate::host::Host;
use crate::{Outcome, Resolver, time};

pub(super) struct Track {
    pub(super) plan: Plan,
    /// Of the answer whose addresses are dialled.
    pub(super) note: Note,
}

impl Track {
    /// Tells of every attempt beside the error of the first.
    pub(super) fn explain(
        &self,
        resolver: &Resolver,
        first: BoxError,
        given_up_after: Option<Duration>,
    ) -> BoxError {
        let now = time::now();
        let unread = |(_, end)| end == Some(Outcome::Unknown);
        // Nothing is known of these addresses, and a client may look for the error itself.
        if self.plan.ends(now).all(unread) {
            return first;
        }
        let shared = resolver.inner();
        let account = shared.account_of(&self.note, self.plan.ends(now));
        let error = ConnectError::new(account, given_up_after, first);
        error.of_race().into()
    }
}

/// The times of a race to a host.
pub(super) fn pace(resolver: &Resolver, host: &Host, deadline: Option<Instant>) -> Pace {
    let shared = resolver.inner();
    Pace {
        delay: shared.attempt_delay(host),
        attempt_timeout: shared.config().attempt_timeout,
        slow_after: shared.slow_after_in_race(host),
        deadline,
    }
}

/// A limit of ours has ended it, and none of the client's.
#[derive(Debug, thiserror::Error)]
#[error("{what} was given up after {after:?}, which is Builder::{setting}")]
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
