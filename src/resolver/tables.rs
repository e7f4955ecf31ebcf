//! Addresses that the program itself knows: pins before any lookup, fallbacks after it.

use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use crate::cache::{Brought, Fallback, Known, Origin};
use crate::host::Host;
use crate::observe::Event;
use crate::order::Addrs;
use crate::{time, ttl};

impl Shared {
    /// Returns what is pinned for a host. No filter is asked: who pins an address means it.
    pub(super) fn pinned(&self, host: &str, now: Instant) -> Option<Known> {
        let row = self.pins.find(host)?;
        Some(Known::pinned(Addrs::new(row.addrs.iter().copied()), 0, now))
    }

    /// The same for somebody who will dial.
    pub(super) fn deal_pinned(&self, host: &str, now: Instant) -> Option<Known> {
        let row = self.pins.find(host)?;
        let addrs = Addrs::new(row.addrs.iter().copied());
        Some(Known::pinned(addrs, row.turn(), now))
    }

    /// Returns what would be served of a host now, for those who judge it.
    pub(super) fn current(&self, host: &Host, now: Instant) -> Option<Arc<Known>> {
        let pinned = self.pinned(host.as_str(), now).map(Arc::new);
        pinned.or_else(|| self.kept(host))
    }

    /// Returns the answer that is kept of a host, good or not.
    pub(super) fn kept(&self, host: &Host) -> Option<Arc<Known>> {
        let known = self.store.peek(host.as_str(), |slot| slot.known().cloned());
        known.flatten()
    }

    /// Nobody answers in time: serves the host's fallbacks from now on, for as long as an answer
    /// without a TTL. `None` when there are none, or a lookup's answer may be served.
    pub(super) fn fall_back(&self, host: &Host) -> Option<Arc<Known>> {
        let (fallback, now) = (self.fallback(host)?, time::now());
        let known = self
            .store
            .edit(host, |slot| slot.fall_back(&fallback, None, now))?;
        self.make_room(host);
        self.tell_fallback(host, &known);
        Some(known)
    }

    pub(super) fn tell_fallback(&self, host: &Host, known: &Known) {
        if matches!(known.origin, Origin::Fallback(_)) {
            self.tell(&Event::FellBack {
                host: host.as_str(),
                addrs: known.addrs.as_slice(),
            });
        }
    }

    /// Brings what is served of an older edition of the fallbacks up to date.
    pub(super) fn refit(&self, host: &Host) {
        let is_outdated = |known: &Arc<Known>| known.is_outdated(|| self.fallbacks.edition());
        let outdated = self
            .store
            .peek(host.as_str(), |slot| slot.known().is_some_and(is_outdated));
        if outdated == Some(true) {
            let fallback = self.fallback(host);
            self.store
                .edit_present(host, |slot| slot.refit(fallback.as_ref()));
        }
    }

    /// Returns what the program itself knows of a host.
    pub(super) fn fallback(&self, host: &Host) -> Option<Fallback> {
        let edition = self.fallbacks.edition();
        let row = self.fallbacks.find(host.as_str())?;
        let addrs = self.sift(host.as_str(), &row.addrs).ok()?;
        let life = self.config.ttl.positive(None);
        let brought = Brought {
            addrs: self.sorted(addrs),
            is_partial: false,
            origin: Origin::Fallback(edition),
            life,
            refresh_after: ttl::refresh_after(life, &mut fastrand::Rng::new()),
        };
        Some(Fallback {
            brought,
            serve_stale: self.config.serve_stale,
        })
    }
}
