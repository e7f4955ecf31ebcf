//! The state of the local network: whether it is down, and when it has changed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::health::outage::OutageDetector;

/// The state of the local network.
#[derive(Debug, Default)]
pub(super) struct Network {
    state: Mutex<State>,
    /// Whether a failure was recorded since the last success. If not, a success takes no lock.
    pub(super) in_doubt: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) outage: OutageDetector,
    pub(super) changed_at: Option<Instant>,
}

impl Network {
    pub(super) fn edit<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut state);
        self.in_doubt
            .store(state.outage.is_in_doubt(), Ordering::Relaxed);
        result
    }
}
