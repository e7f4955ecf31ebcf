//! Whether the network here is there, and when it was changed for another.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::Shared;
use crate::host::Host;
use crate::observe::Event;
use crate::outage::{Outage, Verdict};
use crate::time;

/// The network that everything else is reached by.
#[derive(Debug, Default)]
pub(super) struct Network {
    state: Mutex<State>,
    /// So that a success costs nothing while nothing has failed.
    in_doubt: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    outage: Outage,
    changed_at: Option<Instant>,
}

impl Network {
    fn edit<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let told = change(&mut state);
        self.in_doubt
            .store(state.outage.is_in_doubt(), Ordering::Relaxed);
        told
    }
}

impl Shared {
    /// Whether a failure says something about its address. While many unrelated hosts fail
    /// together it says that the network here is down.
    pub(super) fn is_about_the_address(&self, host: &Host, addr: IpAddr, now: Instant) -> bool {
        match self
            .network
            .edit(|state| state.outage.fail(host, addr, now))
        {
            Verdict::Normal => true,
            Verdict::Down => false,
            Verdict::Began(since) => {
                self.book.forgive(since);
                self.tell(&Event::NetworkDown);
                false
            }
        }
    }

    /// Something has connected: the network is there.
    pub(super) fn network_works(&self) {
        if self.network.in_doubt.load(Ordering::Relaxed)
            && self.network.edit(|state| state.outage.succeed())
        {
            self.tell(&Event::NetworkUp);
        }
    }

    pub(super) fn network_changed(&self) {
        // First, so that no lookup that counts as sent on this network asks as on the one before.
        self.lookups.network_changed();
        self.network.edit(|state| {
            *state = State {
                changed_at: Some(time::now()),
                ..State::default()
            };
        });
        self.routes.clear();
        self.store.clear();
        self.book.clear();
        self.connects.clear(time::now());
        self.tell(&Event::NetworkChanged);
    }

    /// Whether a lookup that was sent then was sent on another network.
    pub(super) fn was_elsewhere(&self, asked_at: Instant) -> bool {
        let changed_at = self.network.edit(|state| state.changed_at);
        changed_at.is_some_and(|changed_at| asked_at <= changed_at)
    }
}
