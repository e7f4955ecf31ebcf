//! The state of the local network: whether it is down, and when it has changed.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::outage::{OutageDetector, Verdict};
use crate::host::Host;

/// The state of the local network.
#[derive(Debug, Default)]
pub(super) struct Network {
    state: Mutex<State>,
    /// Whether a failure was recorded since the last success. If not, a success takes no lock.
    in_doubt: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    outage: OutageDetector,
    changed_at: Option<Instant>,
}

impl Network {
    /// Records a failed connect, and returns what it says about the network.
    pub(super) fn record_failure(&self, host: &Host, addr: IpAddr, now: Instant) -> Verdict {
        self.edit(|state| state.outage.record_failure(host, addr, now))
    }

    /// Records a successful connect, and returns whether the success ends an outage.
    pub(super) fn record_success(&self) -> bool {
        self.in_doubt.load(Ordering::Relaxed) && self.edit(|state| state.outage.record_success())
    }

    /// Records that the network has changed at `now`.
    pub(super) fn changed(&self, now: Instant) {
        self.edit(|state| {
            *state = State {
                changed_at: Some(now),
                ..State::default()
            };
        });
    }

    /// Returns whether a lookup or an attempt that began at `began` began on another network.
    pub(super) fn was_elsewhere(&self, began: Instant) -> bool {
        let changed_at = self.edit(|state| state.changed_at);
        changed_at.is_some_and(|changed_at| began <= changed_at)
    }

    fn edit<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut state);
        self.in_doubt
            .store(state.outage.is_in_doubt(), Ordering::Relaxed);
        result
    }
}
