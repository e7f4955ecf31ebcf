//! Looks hosts up without a caller: before an answer in use expires, and after a connect has failed.

use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::runtime::Handle;

use super::Cache;
use super::answer::{CachedAnswer, Generation};
use super::entry::{HostEntry, ServePlan};
use super::refresh_timers::Reservation;
use crate::events::LookupReason;
use crate::host::Host;
use crate::time;

impl Cache {
    /// Marks the answer of generation `seen` suspect after a failed connect, and re-resolves the host.
    ///
    /// A newer answer stays as it is. `has_failed` is true if an address has changed its place in the order: the answer
    /// may have been suspect before, and its last healthy address may have failed now.
    pub(crate) fn suspect(self: &Arc<Self>, host: &Host, seen: Generation, has_failed: bool) {
        let mark = |entry: &mut HostEntry| entry.invalidate(seen);
        let is_marked = self.hosts.edit_present(host, mark) == Some(true);
        if is_marked {
            self.tell_invalidated(host, LookupReason::ConnectFailed);
        }
        if is_marked || has_failed {
            self.reresolve(host, Urgency::Usual);
        }
    }

    /// Marks the answer of generation `seen` suspect while a connect is slow, and re-resolves the host at once.
    pub(crate) fn replace_now(self: &Arc<Self>, host: &Host, seen: Generation) {
        self.suspect(host, seen, false);
        self.reresolve(host, Urgency::Now);
    }

    /// Invalidates a partial answer whose only family has no route, and looks the host up again at once.
    ///
    /// That lookup waits for the other family.
    pub(crate) fn look_up_missing_family(self: &Arc<Self>, host: &Host, seen: Generation) {
        let now = time::now();
        let invalidate = |entry: &mut HostEntry| entry.invalidate_partial(seen, now);
        if self.hosts.edit_present(host, invalidate) == Some(true) {
            let cause = LookupReason::ConnectFailed;
            self.tell_invalidated(host, cause);
            // If no lookup can start now, the next caller starts one.
            let _ = self.join_or_start_lookup(host, cause);
        }
    }

    /// Re-resolves a host after a connect to one of its addresses has failed. The lookup needs no caller.
    ///
    /// The first row that applies decides when the lookup starts:
    ///
    /// | if | the lookup starts |
    /// |---|---|
    /// | there is no runtime | with the next caller |
    /// | the backoff has not passed | from a timer, when the backoff has passed |
    /// | a healthy address is left, and the urgency is [`Urgency::Usual`] | with the next caller |
    /// | the rate limit is used up | from a timer in turn, or with the next caller if too many lookups wait |
    /// | otherwise | now |
    ///
    /// While a healthy address is left, no request needs the lookup sooner. If many processes lose an address at the
    /// same time, their lookups then do not start at the same time. A slow connect needs the lookup at once.
    ///
    /// If a connect is slow and no later one has succeeded, the backoff is as short as for a host without a healthy
    /// address. All addresses may hang, and an attempt of a race adds no strike while all of them are slow.
    fn reresolve(self: &Arc<Self>, host: &Host, urgency: Urgency) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let now = time::now();
        let is_well_served = self.is_well_served(host, now);
        if !is_well_served {
            self.probe_penalized(host, now);
        }
        let due = self.hosts.edit_present(host, |entry| {
            entry.set_has_healthy(is_well_served);
            entry.reresolve_at(now)
        });
        match due.flatten() {
            Some(due) if due > now => {
                self.sleep(&runtime, host, due, false);
            }
            Some(_) if is_well_served && urgency == Urgency::Usual => {}
            Some(_) => match self.rate_limits.reserve(now) {
                Some(due) if due > now => {
                    self.sleep(&runtime, host, due, true);
                }
                Some(_) => drop(self.start_lookup(&runtime, host, LookupReason::ConnectFailed)),
                None => {}
            },
            None => {}
        }
    }

    /// Returns whether a healthy address of a host is left, and connects to the host are not slow.
    fn is_well_served(&self, host: &Host, now: Instant) -> bool {
        let known = self.current(host, now);
        known.is_some_and(|known| self.has_healthy(host, &known, now))
            && !self.health.are_slow(host)
    }

    /// Probes the penalized addresses of a host before their penalties end.
    pub(crate) fn probe_penalized(&self, host: &Host, now: Instant) {
        if let Some(known) = self.current(host, now) {
            let addrs = known.addrs.as_slice();
            self.health.probe_penalized(host, addrs, now);
        }
    }

    /// Looks a host up in the background, unless its cached answer may be served without a lookup.
    pub(crate) fn prefetch(self: &Arc<Self>, host: Host) {
        if let Ok(runtime) = Handle::try_current() {
            let cache = Arc::clone(self);
            runtime.spawn(async move { cache.answer(&host).await });
        }
    }

    /// Keeps the answer of a host fresh while pooled connections to it are in use.
    ///
    /// Without new connects no caller resolves the host, and a change of its addresses would go unnoticed. No caller
    /// waits for the lookup.
    pub(crate) fn keep_refreshed(self: &Arc<Self>, host: &Host, now: Instant) {
        let planned = self.hosts.read(host.as_str(), |host, entry| {
            (self.plan(host, entry, now).0, entry.fresh(now).cloned())
        });
        match planned.unwrap_or((ServePlan::Wait(LookupReason::Miss), None)) {
            (ServePlan::Serve, Some(known)) => self.note_use(host, &known),
            (ServePlan::Wait(cause) | ServePlan::ServeAndRefresh(cause), _)
                if !self.has_override(host.as_str()) =>
            {
                // Outside of a runtime, or beyond the rate limit, a later request starts the lookup.
                let _ = self.join_or_start_lookup(host, cause);
            }
            _ => {}
        }
    }

    fn next_lookup(&self, host: &Host, now: Instant) -> Option<(Instant, LookupReason)> {
        let next = self
            .hosts
            .peek(host.as_str(), |entry| entry.next_lookup(now));
        next.flatten()
    }

    /// Schedules the refresh of a host in use before its answer expires, so that no caller has to wait.
    ///
    /// The first use of an answer starts a timer. A host without callers has no timer.
    pub(super) fn schedule_refresh(self: &Arc<Self>, host: &Host, known: &Arc<CachedAnswer>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let now = time::now();
        if let Some((due, _)) = self.next_lookup(host, now)
            && !self.sleep(&runtime, host, due, false)
        {
            known.clear_used();
        }
    }

    /// Starts a timer that looks a host up at `due`, and returns false if there are too many timers.
    ///
    /// A host has at most one timer, and there are at most as many timers as hosts that the resolver may keep. The
    /// timer runs on the runtime of the caller and holds the resolver weakly.
    fn sleep(self: &Arc<Self>, runtime: &Handle, host: &Host, due: Instant, is_paid: bool) -> bool {
        match self.timers.reserve(host, due, time::now()) {
            Reservation::Free => {
                let timer = RefreshTimer {
                    host: host.clone(),
                    due,
                    is_paid,
                    cache: Arc::downgrade(self),
                };
                let task = runtime.spawn(timer.sleep());
                self.timers.start(host, due, &task.abort_handle());
                true
            }
            // The timer reads the current answer when it fires.
            Reservation::Taken => true,
            Reservation::None => false,
        }
    }
}

/// How urgent the lookup after a failed connect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Urgency {
    /// If a healthy address is left, the next caller starts the lookup.
    Usual,
    /// The lookup starts at once, because a fresh answer may help a pending connect.
    Now,
}

/// A timer that looks a host up without a caller.
struct RefreshTimer {
    host: Host,
    due: Instant,
    /// Whether the lookup is already taken from the rate limit.
    is_paid: bool,
    cache: Weak<Cache>,
}

impl RefreshTimer {
    async fn sleep(self) {
        tokio::time::sleep_until(self.due.into()).await;
        let (Some(cache), host, is_paid) = (self.cache.upgrade(), self.host.clone(), self.is_paid)
        else {
            return;
        };
        // The timer is removed before the lookup starts, so that the first use of the new answer can start a timer.
        drop(self);
        let now = time::now();
        match cache.next_lookup(&host, now) {
            Some((due, LookupReason::ConnectFailed)) if due <= now && !is_paid => {
                cache.reresolve(&host, Urgency::Usual);
            }
            // Callers find the lookup in flight and join it, so the handle is not needed.
            Some((due, cause)) if due <= now => {
                drop(cache.start_lookup(&Handle::current(), &host, cause))
            }
            Some(_) => {
                let known = cache.cached(&host);
                known.inspect(|known| cache.schedule_refresh(&host, known));
            }
            None => {}
        }
    }
}

impl Drop for RefreshTimer {
    /// Removes the timer, whose runtime may have been shut down before `due`.
    ///
    /// The next use of the answer then starts another timer.
    fn drop(&mut self) {
        let Some(cache) = self.cache.upgrade() else {
            return;
        };
        if cache.timers.remove(&self.host, self.due) && time::now() < self.due {
            cache.cached(&self.host).inspect(|known| known.clear_used());
        }
    }
}
