//! Handles a change of the network.

use super::Inner;
use crate::events::Event;
use crate::time;

impl Inner {
    pub(super) fn network_changed(&self) {
        // The lookup is notified first. Otherwise a lookup that counts as sent on the new network could use name
        // servers of the old one.
        self.cache.notify_lookup();
        self.forget();
        self.emit(&Event::NetworkChanged);
    }

    /// Forgets all hosts. What was sent before counts as sent on another network.
    pub(super) fn forget(&self) {
        self.health.clear(time::now());
        self.cache.clear();
    }
}
