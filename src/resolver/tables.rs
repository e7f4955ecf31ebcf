//! Addresses that the program itself knows: pins before any lookup, fallbacks after it.

use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use crate::cache::{Brought, Known, Origin};
use crate::host::Host;
use crate::observe::Event;
use crate::order::Addrs;
use crate::{time, ttl};

impl Shared {
    /// Returns what is pinned for a host. No filter is asked: who pins an address means it.
    pub(super) fn pinned(&self, host: &str, now: Instant) -> Option<Known> {
        let addrs = self.pins.find(host)?;
        let addrs = Addrs::new(addrs.iter().copied());
        Some(Known::pinned(addrs, self.turn(), now))
    }

    /// Returns what would be served of a host now, for those who judge it.
    pub(super) fn current(&self, host: &Host, now: Instant) -> Option<Arc<Known>> {
        let pinned = self.pinned(host.as_str(), now).map(Arc::new);
        let known = || self.store.peek(host.as_str(), |slot| slot.known().cloned());
        pinned.or_else(|| known().flatten())
    }

    /// A lookup has failed, or takes too long: serves the host's fallbacks from now on, for as long
    /// as an answer without a TTL. `None` when there are none, or a lookup's answer may be served.
    pub(super) fn fall_back(&self, host: &Host) -> Option<Arc<Known>> {
        let fallback = self.fallback(host)?;
        let (now, serve_stale) = (time::now(), self.config.serve_stale);
        let known = self
            .store
            .edit(host, |slot| slot.fall_back(&fallback, serve_stale, now))?;
        self.make_room();
        self.tell(&Event::FellBack {
            host: host.as_str(),
            addrs: known.addrs.as_slice(),
        });
        Some(known)
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
                .edit_present(host.as_str(), |slot| slot.refit(fallback.as_ref()));
        }
    }

    fn fallback(&self, host: &Host) -> Option<Brought> {
        let edition = self.fallbacks.edition();
        let addrs = self.fallbacks.find(host.as_str())?;
        let addrs = self.sift(host.as_str(), &addrs).ok()?;
        let life = self.config.ttl.positive(None);
        Some(Brought {
            addrs: self.sorted(addrs),
            origin: Origin::Fallback(edition),
            life,
            refresh_after: ttl::refresh_after(life, &mut fastrand::Rng::new()),
        })
    }
}
