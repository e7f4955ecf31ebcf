//! Resolves names for a race, which gets one address per attempt, and a fresh answer later.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Inner;
use crate::addrs::AddressList;
use crate::attempt::{AttemptContext, Resolution};
use crate::cache::{CachedAnswer, HostEntry, LookupReason, Origin};
use crate::host::Host;
use crate::time;

impl Inner {
    /// Selects one address for the first attempt of a race, and stores all addresses in its attempt context.
    ///
    /// Returns false if the attempt context does not begin a race.
    #[inline(never)]
    pub(super) fn start_race(
        self: &Arc<Self>,
        host: &Host,
        known: &CachedAnswer,
        context: &AttemptContext,
        now: Instant,
        selected: &mut AddressList,
    ) -> bool {
        let first = context.start_race(|| self.all_for_race(host, known, now));
        if let Some(first) = first {
            selected.push(first);
            context.record(self.resolution(host, known, selected.clone(), now));
        }
        first.is_some()
    }

    /// Selects the address that an attempt of a race is for, and returns false if there is none.
    ///
    /// The address was selected when the race began, so nothing is looked up.
    #[inline(never)]
    pub(super) fn assigned_address(
        context: &AttemptContext,
        name: &str,
        selected: &mut AddressList,
    ) -> bool {
        let Some(resolution) = context.assigned(name) else {
            return false;
        };
        *selected = resolution.addrs.clone();
        let at = time::now();
        context.record(Resolution {
            resolved_at: at,
            ..resolution
        });
        true
    }

    /// Returns the addresses of a host in order, for a race whose attempts are slow or have failed.
    ///
    /// If the answer is suspect, the method waits for a fresh answer, at most for
    /// [`serve_stale_after`](crate::ResolverBuilder::serve_stale_after). If the backoff defers the lookup, the method
    /// first waits for the start of the lookup, at most for the same time. Returns `None` if there is no answer.
    ///
    /// The race has its last resort from the start, so the method adds none. The method waits even if an address
    /// still counts as healthy, for example because its family has no route.
    pub(crate) async fn reresolved(
        self: Arc<Self>,
        host: Host,
    ) -> Option<(Resolution, Vec<IpAddr>)> {
        if let Some(due) = self.deferred_until(&host) {
            tokio::time::sleep_until(due.into()).await;
        }
        let mut known = self.answer(&host).await.ok()?;
        if known.origin == Origin::Lookup && self.may_be_replaced(&host) {
            let fresh = self.look_up_or_serve(&host, LookupReason::ConnectFailed, known);
            known = fresh.await.ok()?;
        }
        let now = time::now();
        let addrs = self.all_in_order(&host, &known, now);
        let resolution = self.resolution(&host, &known, AddressList::new(), now);
        Some((resolution, addrs.into_vec()))
    }

    /// Returns the addresses of the current answer in order. No trial starts.
    pub(crate) fn current_in_order(&self, host: &Host, now: Instant) -> Vec<IpAddr> {
        let known = self.current(host, now);
        let in_order = known.map(|known| self.all_with_trial(host, &known, None, now));
        in_order.unwrap_or_default().into_vec()
    }

    /// Returns the addresses of the current answer in order, if `resolution` is of another answer.
    pub(crate) fn newer_answer(
        self: &Arc<Self>,
        resolution: &Resolution,
    ) -> Option<(Resolution, Vec<IpAddr>)> {
        let now = time::now();
        let known = self.current(&resolution.host, now)?;
        if known.generation == resolution.generation {
            return None;
        }
        let addrs = self.all_in_order(&resolution.host, &known, now);
        let resolution = self.resolution(&resolution.host, &known, AddressList::new(), now);
        Some((resolution, addrs.into_vec()))
    }

    /// Returns when the host may be re-resolved, if that is later than now and within `serve_stale_after`.
    fn deferred_until(&self, host: &Host) -> Option<Instant> {
        let now = time::now();
        let due = self
            .store
            .peek(host.as_str(), |slot| slot.reresolve_at(now));
        let is_soon = |due: &Instant| *due > now && *due <= now + self.config.serve_stale_after;
        due.flatten().filter(is_soon)
    }

    /// Returns whether the answer is suspect, and a lookup that replaces it is in flight or may start.
    fn may_be_replaced(&self, host: &Host) -> bool {
        let now = time::now();
        let open = |slot: &HostEntry| match slot.reresolve_at(now) {
            Some(due) => due <= now,
            None => slot.is_suspect(),
        };
        self.store.peek(host.as_str(), open) == Some(true)
    }
}
