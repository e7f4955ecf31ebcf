//! Lookups: the one place that spawns.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::Shared;
use super::sleepers::Bed;
use crate::cache::{Brought, Cause, Flight, Joined, Known, Landing, Origin, Slot};
use crate::host::Host;
use crate::lookup::{Answer, Lookup};
use crate::observe::Event;
use crate::order::{self, Addrs, Order};
use crate::penalty::Failure;
use crate::{Error, Outcome, outcome, time, ttl};

impl Shared {
    /// Joins the lookup of a host that is in the air on this runtime, or sends one.
    ///
    /// The task that flies it belongs to the runtime of the caller and ends with it. It holds the
    /// resolver weakly: when the last one is dropped, its answer is thrown away.
    pub(super) fn ask(self: &Arc<Self>, host: &Host, cause: Cause) -> Result<Flight, Error> {
        let runtime = Handle::try_current().map_err(|_| Error::no_runtime(host.as_str()))?;
        let read = self.store.read(host.as_str(), |_, slot| {
            slot.boardable(runtime.id()).cloned()
        });
        if let Some(current) = read.flatten() {
            return Ok(current);
        }
        if !self.take_from_quota(cause) {
            let any = |slot: &Slot| {
                (
                    slot.in_the_air(runtime.id()).cloned(),
                    slot.known().is_some(),
                )
            };
            match self.store.peek(host.as_str(), any) {
                // The next best is a lookup that was sent before the invalidation.
                Some((Some(flight), _)) => return Ok(flight),
                Some((None, true)) => return Err(Error::too_many(host.as_str())),
                // Nothing is known: that is no second lookup.
                Some((None, false)) | None => {}
            }
        }
        Ok(self.send(&runtime, host, cause))
    }

    /// Sends a lookup, if none has been sent meanwhile.
    fn send(self: &Arc<Self>, runtime: &Handle, host: &Host, cause: Cause) -> Flight {
        let now = time::now();
        let (land, flight) = Flight::new(runtime.id(), now);
        let (current, generation) = self.store.edit(host, |slot| {
            (slot.board(&flight, cause, now), slot.generation())
        });
        if let Some(current) = current {
            return current;
        }
        let flight = flight.sent_at(generation);
        self.make_room();
        self.tell(&Event::Asked {
            host: host.as_str(),
            cause,
        });
        let pilot = Pilot {
            shared: Arc::downgrade(self),
            host: host.clone(),
            flight: flight.clone(),
            land: Some(land),
        };
        let (lookup, limit) = (self.lookups.current(), self.config.lookup_timeout);
        runtime.spawn(pilot.fly(lookup, limit));
        flight
    }

    /// Looks a host up again on whose answer a connect has failed: at once, or as soon as that is
    /// due and the quota allows. Nobody has to ask for it.
    ///
    /// The next caller does instead when it is due and a healthy address is left, for then nobody
    /// needs it sooner: the processes of a fleet that lose an edge together do not ask together. So
    /// it is outside of a runtime, and where too many wait already.
    pub(super) fn look_again(self: &Arc<Self>, host: &Host) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let now = time::now();
        let is_well_served = self.is_well_served(host, now);
        let due = self.store.edit_present(host.as_str(), |slot| {
            slot.health_is_left(is_well_served, now);
            slot.recheck_at(now)
        });
        match due.flatten() {
            Some(due) if due > now => {
                self.sleep(&runtime, host, due, false);
            }
            Some(_) if is_well_served => {}
            Some(_) => match self.book_from_quota(now) {
                Some(due) if due > now => {
                    self.sleep(&runtime, host, due, true);
                }
                Some(_) => drop(self.send(&runtime, host, Cause::ConnectFailed)),
                None => {}
            },
            None => {}
        }
    }

    pub(super) fn is_well_served(&self, host: &Host, now: Instant) -> bool {
        let known = self.kept(host);
        known.is_some_and(|known| self.health_left(host, &known, now))
    }

    /// Looks a host in use up again before its answer ends, so that no caller has to wait.
    ///
    /// The first use of an answer starts a task that sleeps until then; a host that nobody asks for
    /// has none.
    pub(super) fn refresh_ahead(self: &Arc<Self>, host: &Host, known: &Arc<Known>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let now = time::now();
        let next = self.store.peek(host.as_str(), |slot| slot.next_lookup(now));
        if let Some((due, _)) = next.flatten()
            && !self.sleep(&runtime, host, due, false)
        {
            known.forget_use();
        }
    }

    /// Starts a task that sleeps until a host is to be looked up though nobody asks. Returns false
    /// when there are too many.
    ///
    /// A host has one. It belongs to the runtime of the caller and holds the resolver weakly, and
    /// there are at most as many as hosts are kept.
    fn sleep(self: &Arc<Self>, runtime: &Handle, host: &Host, due: Instant, is_paid: bool) -> bool {
        match self
            .sleepers
            .lie_down(host, due, time::now(), self.config.capacity)
        {
            Bed::Free => {
                let sleeper = Sleeper {
                    host: host.clone(),
                    due,
                    is_paid,
                    shared: Arc::downgrade(self),
                };
                let task = runtime.spawn(sleeper.sleep());
                self.sleepers.is_asleep(host, due, task.abort_handle());
                true
            }
            // It sees at its waking that there is another answer.
            Bed::Taken => true,
            Bed::None => false,
        }
    }

    /// Finds out in the background whether an address accepts connections again, so that no request
    /// pays for it. Returns false outside of a runtime.
    ///
    /// One for each address and penalty. The task belongs to the runtime of the caller and ends within
    /// 5 s, or with the last resolver, which it holds weakly.
    pub(super) fn probe(self: &Arc<Self>, host: &Host, addr: IpAddr, port: u16) -> bool {
        let Ok(runtime) = Handle::try_current() else {
            return false;
        };
        self.tell(&Event::Probe {
            host: host.as_str(),
            addr,
            port,
        });
        let (host, shared) = (host.clone(), Arc::downgrade(self));
        let mut life = self.life.subscribe();
        runtime.spawn(async move {
            let began = time::now();
            let connecting = tokio::time::timeout(PROBE, TcpStream::connect((addr, port)));
            let gone = std::pin::pin!(life.changed());
            let Either::Left((ended, _)) = select(std::pin::pin!(connecting), gone).await else {
                return;
            };
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let (why, error) = match ended {
                Ok(Ok(_connected)) => (Outcome::Connected, None),
                Ok(Err(error)) => (Outcome::of(&error), Some(outcome::text(&error))),
                Err(_elapsed) => (Outcome::TimedOut, None),
            };
            let soft = false;
            shared.probed(&host, addr, &Failure { why, soft, error }, began);
        });
        true
    }

    pub(super) fn make_room(&self) {
        self.store.make_room(|host| self.book.holds(host));
    }

    /// Keeps what a lookup brought. `None`: it failed after it had been let go, and its waiters are
    /// to ask again.
    fn land(
        &self,
        host: &Host,
        flight: &Flight,
        landing: &Landing,
    ) -> Option<Result<Arc<Known>, Error>> {
        let now = time::now();
        let landed = self
            .store
            .edit(host, |slot| slot.land(flight, landing, now));
        self.store.landed();
        self.make_room();
        match &landing.outcome {
            Ok(brought) => {
                self.tell(&Event::Answered {
                    host: host.as_str(),
                    addrs: brought.addrs.as_slice(),
                    life: brought.life,
                });
            }
            Err(error) => self.tell(&Event::LookupFailed {
                host: host.as_str(),
                error,
            }),
        }
        if let Some(Ok(known)) = &landed {
            self.tell_fallback(host, known);
        }
        landed
    }
}

/// How long a connect of our own may take: a SYN sent three times, at 0, 1 and 3 s.
const PROBE: Duration = Duration::from_secs(5);

/// Sleeps until a host is to be looked up though nobody asks.
struct Sleeper {
    host: Host,
    due: Instant,
    /// Whether its lookup is taken from the quota already.
    is_paid: bool,
    shared: Weak<Shared>,
}

impl Sleeper {
    async fn sleep(self) {
        tokio::time::sleep_until(self.due.into()).await;
        let (Some(shared), host, is_paid) =
            (self.shared.upgrade(), self.host.clone(), self.is_paid)
        else {
            return;
        };
        // Up before it asks: who uses the new answer first starts the next.
        drop(self);
        let now = time::now();
        let next = shared
            .store
            .peek(host.as_str(), |slot| slot.next_lookup(now));
        match next.flatten() {
            Some((due, Cause::ConnectFailed)) if due <= now && !is_paid => {
                shared.look_again(&host);
            }
            // Whoever waits for it finds it in the air.
            Some((due, cause)) if due <= now => drop(shared.send(&Handle::current(), &host, cause)),
            Some(_) => {
                let known = shared.kept(&host);
                known.inspect(|known| shared.refresh_ahead(&host, known));
            }
            None => {}
        }
    }
}

impl Drop for Sleeper {
    /// Its runtime may have been shut down: the next one who uses the answer starts another.
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        if shared.sleepers.get_up(&self.host, self.due) && time::now() < self.due {
            shared.kept(&self.host).inspect(|known| known.forget_use());
        }
    }
}

/// Flies one lookup and sends the waiters away however it ends.
struct Pilot {
    shared: Weak<Shared>,
    host: Host,
    flight: Flight,
    land: Option<Joined>,
}

impl Pilot {
    async fn fly(mut self, lookup: Arc<dyn Lookup>, limit: Duration) {
        let asked_at = time::now();
        let host = self.host.as_str();
        let asking = async { tokio::time::timeout(limit, lookup.lookup(host)).await };
        let brought = match AssertUnwindSafe(asking).catch_unwind().await {
            Ok(Ok(brought)) => brought,
            Ok(Err(_elapsed)) => Err(Error::timed_out(host)),
            Err(_panic) => Err(Error::panicked(host)),
        };
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        if shared.was_elsewhere(asked_at) {
            return;
        }
        let asked_at = match &brought {
            Ok(answer) => answer.asked_at.unwrap_or(asked_at),
            Err(_) => asked_at,
        };
        // A filter or a source_address of the user may panic as a lookup may.
        let read = || brought.and_then(|answer| shared.read(host, answer));
        let outcome = catch_unwind(AssertUnwindSafe(read));
        let outcome = outcome.unwrap_or_else(|_panic| Err(Error::panicked(host)));
        let fallback = outcome
            .is_err()
            .then(|| shared.fallback(&self.host))
            .flatten();
        let landing = Landing {
            asked_at,
            outcome,
            share: ttl::share(&mut fastrand::Rng::new()),
            serve_stale: shared.config.serve_stale,
            fallback,
        };
        let landed = shared.land(&self.host, &self.flight, &landing);
        // Stored before the waiters wake: one that wakes first would ask again.
        if let Some(land) = self.land.take() {
            land.send_replace(landed);
        }
    }
}

impl Drop for Pilot {
    /// Its runtime was shut down, or the resolver is gone: the waiters find the flight ended, and
    /// ask on their own runtime.
    fn drop(&mut self) {
        if self.land.is_some()
            && let Some(shared) = self.shared.upgrade()
        {
            let forget = |slot: &mut Slot| slot.remove(&self.flight);
            shared.store.edit_present(self.host.as_str(), forget);
        }
    }
}

impl Shared {
    fn read(&self, host: &str, answer: Answer) -> Result<Brought, Error> {
        let Answer {
            addrs,
            ttl,
            is_partial,
            asked_at: _,
        } = answer;
        if addrs.is_empty() {
            return Err(Error::no_records(host));
        }
        let sifted = self.sift(host, &order::distinct(addrs));
        let addrs = self.sorted(sifted.map_err(|error| match ttl {
            Some(ttl) => error.with_negative_ttl(ttl),
            None => error,
        })?);
        let life = self.config.ttl.positive(ttl);
        let refresh_after = ttl::refresh_after(life, &mut fastrand::Rng::new());
        Ok(Brought {
            addrs,
            is_partial,
            origin: Origin::Lookup,
            life,
            refresh_after,
        })
    }

    /// By RFC 6724, unless the given order is wanted.
    pub(super) fn sorted(&self, addrs: Vec<IpAddr>) -> Addrs {
        let addrs = Addrs::new(addrs);
        match self.config.order {
            Order::AsGiven => addrs,
            Order::Shuffle | Order::RoundRobin => addrs.classed(&*self.config.source_address),
        }
    }
}
