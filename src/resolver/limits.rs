//! Limits the in-flight lookups of all hosts together.

use tokio::sync::Semaphore;

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
