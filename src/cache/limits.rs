//! Limits the lookups of all hosts together: how many run at once, and how many start after failures.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;

use super::reresolve::RateLimiter;
use crate::events::LookupReason;

/// The limits on the lookups of all hosts together.
#[derive(Debug)]
pub(super) struct LookupLimits {
    pub(super) lookups: Semaphore,
    /// Limits the waits for late halves, whose answers are already served.
    pub(super) late: Semaphore,
}

/// Number of lookup timeouts that a lookup may wait for its turn before it fails.
pub(super) const QUEUE: u32 = 4;

impl LookupLimits {
    pub(super) fn new(lookups: usize) -> Self {
        let lookups = lookups.min(Semaphore::MAX_PERMITS);
        Self {
            lookups: Semaphore::new(lookups),
            late: Semaphore::new(lookups.div_ceil(2)),
        }
    }
}

/// The rate limits of lookups.
///
/// | reason | rate limit |
/// |---|---|
/// | a connect has failed | one for all hosts |
/// | the program has invalidated the answer | another one for all hosts, which failures do not use up |
/// | any other | none |
#[derive(Debug, Default)]
pub(super) struct RateLimits {
    after_failures: Mutex<RateLimiter>,
    after_invalidations: Mutex<RateLimiter>,
}

impl RateLimits {
    /// Takes one lookup from the rate limit of its reason, and returns false if that limit is reached.
    pub(super) fn try_acquire(&self, reason: LookupReason, now: Instant) -> bool {
        let limiter = match reason {
            LookupReason::ConnectFailed => &self.after_failures,
            LookupReason::Invalidated => &self.after_invalidations,
            LookupReason::Refresh | LookupReason::Expired | LookupReason::Miss => return true,
        };
        edit(limiter, |limiter| limiter.try_acquire(now))
    }

    /// Reserves one lookup after a failed connect, and returns when the lookup may start.
    ///
    /// Returns `None` if too many lookups wait already.
    pub(super) fn reserve(&self, now: Instant) -> Option<Instant> {
        edit(&self.after_failures, |limiter| limiter.reserve(now))
    }
}

fn edit<T>(limiter: &Mutex<RateLimiter>, change: impl FnOnce(&mut RateLimiter) -> T) -> T {
    change(&mut limiter.lock().unwrap_or_else(PoisonError::into_inner))
}
