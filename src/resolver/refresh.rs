//! Starts lookups and their timers.

use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::runtime::Handle;

use super::Inner;
use super::lookup_task::LookupTask;
use super::query::Query;
use super::refresh_timers::Reservation;
use crate::cache::{CachedAnswer, CompletedLookup, HostEntry, InFlightLookup, LookupReason};
use crate::events::Event;
use crate::host::Host;
use crate::{ResolveError, time};

impl Inner {
    /// Joins the in-flight lookup of a host on this runtime, or starts a lookup.
    ///
    /// The task of the lookup runs on the runtime of the caller and ends with that runtime. The task holds the
    /// resolver weakly. If the last resolver is dropped, the answer of the lookup is dropped, too.
    pub(super) fn join_or_start_lookup(
        self: &Arc<Self>,
        host: &Host,
        cause: LookupReason,
    ) -> Result<InFlightLookup, ResolveError> {
        let runtime = Handle::try_current().map_err(|_| ResolveError::no_runtime(host.as_str()))?;
        let read = self.store.read(host.as_str(), |_, slot| {
            slot.joinable(runtime.id()).cloned()
        });
        if let Some(current) = read.flatten() {
            return Ok(current);
        }
        if !self.try_acquire_lookup(cause) {
            let any = |slot: &HostEntry| {
                (
                    slot.in_flight(runtime.id()).cloned(),
                    slot.answer().is_some(),
                )
            };
            match self.store.peek(host.as_str(), any) {
                // The second choice is a lookup that was sent before the invalidation.
                Some((Some(in_flight), _)) => return Ok(in_flight),
                Some((None, true)) => return Err(ResolveError::too_many(host.as_str())),
                // The host has no answer, so this lookup is not a repeated one.
                Some((None, false)) | None => {}
            }
        }
        Ok(self.start_lookup(&runtime, host, cause))
    }

    /// Starts a lookup, unless another caller has started one meanwhile.
    fn start_lookup(
        self: &Arc<Self>,
        runtime: &Handle,
        host: &Host,
        cause: LookupReason,
    ) -> InFlightLookup {
        let now = time::now();
        let (sender, in_flight) = InFlightLookup::new(runtime.id(), now);
        let (current, generation) = self.store.edit(host, |slot| {
            (
                slot.join_or_start(&in_flight, cause, now),
                slot.generation(),
            )
        });
        if let Some(current) = current {
            return current;
        }
        let in_flight = in_flight.sent_at(generation);
        self.make_room(host);
        self.emit(&Event::LookupStarted {
            host: host.as_str(),
            cause,
        });
        let task = LookupTask::new(self, host, &in_flight, sender);
        runtime.spawn(task.run(self.lookup.get()));
        in_flight
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
    pub(super) fn reresolve(self: &Arc<Self>, host: &Host, urgency: Urgency) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let now = time::now();
        let is_well_served = self.is_well_served(host, now);
        if !is_well_served {
            self.probe_penalized(host, now);
        }
        let due = self.store.edit_present(host, |slot| {
            slot.set_has_healthy(is_well_served);
            slot.reresolve_at(now)
        });
        match due.flatten() {
            Some(due) if due > now => {
                self.sleep(&runtime, host, due, false);
            }
            Some(_) if is_well_served && urgency == Urgency::Usual => {}
            Some(_) => match self.reserve_lookup(now) {
                Some(due) if due > now => {
                    self.sleep(&runtime, host, due, true);
                }
                Some(_) => drop(self.start_lookup(&runtime, host, LookupReason::ConnectFailed)),
                None => {}
            },
            None => {}
        }
    }

    /// Looks a host up in the background, unless its cached answer may be served without a lookup.
    pub(super) fn prefetch(self: &Arc<Self>, name: &str) {
        if let (Ok(runtime), Ok(Query::Lookup(host))) =
            (Handle::try_current(), self.read_query(name))
        {
            let shared = Arc::clone(self);
            runtime.spawn(async move { shared.answer(&host).await });
        }
    }

    /// Returns whether a healthy address of a host is left, and connects to the host are not slow.
    fn is_well_served(&self, host: &Host, now: Instant) -> bool {
        let known = self.current(host, now);
        known.is_some_and(|known| self.has_healthy(host, &known, now))
            && !self.health.are_slow(host)
    }

    /// Schedules the refresh of a host in use before its answer expires, so that no caller has to wait.
    ///
    /// The first use of an answer starts a timer. A host without callers has no timer.
    pub(super) fn schedule_refresh(self: &Arc<Self>, host: &Host, known: &Arc<CachedAnswer>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let now = time::now();
        let next = self.store.peek(host.as_str(), |slot| slot.next_lookup(now));
        if let Some((due, _)) = next.flatten()
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
                    shared: Arc::downgrade(self),
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

    pub(super) fn make_room(&self, host: &Host) {
        self.store
            .make_room(host, |host| self.health.has_records(host));
    }

    /// Stores the result of a lookup, and returns the result for its waiters.
    ///
    /// Returns `None` if the lookup was detached before it failed; see [`HostEntry::detach_lookups`]. The waiters
    /// then look the host up again.
    pub(super) fn complete_lookup(
        &self,
        host: &Host,
        in_flight: &InFlightLookup,
        completed: &CompletedLookup,
    ) -> Option<Result<Arc<CachedAnswer>, ResolveError>> {
        let now = time::now();
        let landed = self
            .store
            .edit(host, |slot| slot.complete(in_flight, completed, now));
        self.make_room(host);
        match &completed.outcome {
            Ok(fresh_addrs) => {
                self.emit(&Event::LookupSucceeded {
                    host: host.as_str(),
                    addrs: fresh_addrs.addrs.as_slice(),
                    life: fresh_addrs.life,
                });
            }
            Err(error) => self.emit(&Event::LookupFailed {
                host: host.as_str(),
                error,
            }),
        }
        if let Some(Err(_)) = &landed {
            self.tell_fallback(host);
        }
        let is_denied = completed
            .outcome
            .as_ref()
            .is_err_and(ResolveError::is_negative_answer);
        let is_overtaken = landed.as_ref().is_some_and(Result::is_ok);
        if is_denied && !is_overtaken {
            self.health.forget_left(host, now);
        }
        landed
    }
}

/// How urgent the lookup after a failed connect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
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
    shared: Weak<Inner>,
}

impl RefreshTimer {
    async fn sleep(self) {
        tokio::time::sleep_until(self.due.into()).await;
        let (Some(shared), host, is_paid) =
            (self.shared.upgrade(), self.host.clone(), self.is_paid)
        else {
            return;
        };
        // The timer is removed before the lookup starts, so that the first use of the new answer can start a timer.
        drop(self);
        let now = time::now();
        let next = shared
            .store
            .peek(host.as_str(), |slot| slot.next_lookup(now));
        match next.flatten() {
            Some((due, LookupReason::ConnectFailed)) if due <= now && !is_paid => {
                shared.reresolve(&host, Urgency::Usual);
            }
            // Callers find the lookup in flight and join it, so the handle is not needed.
            Some((due, cause)) if due <= now => {
                drop(shared.start_lookup(&Handle::current(), &host, cause))
            }
            Some(_) => {
                let known = shared.kept(&host);
                known.inspect(|known| shared.schedule_refresh(&host, known));
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
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        if shared.timers.remove(&self.host, self.due) && time::now() < self.due {
            shared.kept(&self.host).inspect(|known| known.clear_used());
        }
    }
}
