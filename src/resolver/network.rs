//! Detects outages of the local network, and handles a change of the network.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Inner;
use super::network_state::State;
use crate::events::Event;
use crate::health::outage::Verdict;
use crate::host::Host;
use crate::time;

impl Inner {
    /// Records a failure, and returns whether the failure counts against its address.
    ///
    /// While many unrelated hosts fail together, the local network is down, and no failure counts.
    pub(super) fn is_about_the_address(&self, host: &Host, addr: IpAddr, now: Instant) -> bool {
        match self
            .network
            .edit(|state| state.outage.record_failure(host, addr, now))
        {
            Verdict::Normal => true,
            Verdict::Down => false,
            Verdict::Began(since) => {
                self.health.clear_since(since);
                self.emit(&Event::NetworkDown);
                false
            }
        }
    }

    /// Records that a connect has succeeded, so that the local network is up.
    pub(super) fn network_works(&self) {
        if self.network.in_doubt.load(Ordering::Relaxed)
            && self.network.edit(|state| state.outage.record_success())
        {
            self.emit(&Event::NetworkUp);
        }
    }

    pub(super) fn network_changed(&self) {
        // The lookup is notified first. Otherwise a lookup that counts as sent on the new network could use name
        // servers of the old one.
        self.lookup.get().network_changed();
        self.forget();
        self.emit(&Event::NetworkChanged);
    }

    /// Forgets all hosts. What was sent before counts as sent on another network.
    pub(super) fn forget(&self) {
        self.network.edit(|state| {
            *state = State {
                changed_at: Some(time::now()),
                ..State::default()
            };
        });
        self.routes.clear();
        self.store.clear();
        self.health.clear();
        self.connects.clear(time::now());
    }

    /// Returns whether a lookup or an attempt that began at `asked_at` began on another network.
    pub(super) fn was_elsewhere(&self, asked_at: Instant) -> bool {
        let changed_at = self.network.edit(|state| state.changed_at);
        changed_at.is_some_and(|changed_at| asked_at <= changed_at)
    }
}
