//! Lookups: the one place that spawns.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::{Handle, Id};

use super::Shared;
use crate::cache::{Brought, Cause, Flight, Joined, Known, Landing, Origin, Slot};
use crate::host::Host;
use crate::lookup::{Answer, Lookup};
use crate::observe::Event;
use crate::order::{self, Addrs, Order};
use crate::{Error, time, ttl};

impl Shared {
    /// Joins the lookup of a host that is in the air on this runtime, or sends one.
    ///
    /// The task that flies it belongs to the runtime of the caller and ends with it. It holds the
    /// resolver weakly: when the last one is dropped, its answer is thrown away.
    pub(super) fn ask(self: &Arc<Self>, host: &Host, cause: Cause) -> Result<Flight, Error> {
        let runtime = Handle::try_current().map_err(|_| Error::no_runtime(host.as_str()))?;
        let now = time::now();
        let read = self.store.read(host.as_str(), |_, slot| {
            slot.boardable(runtime.id()).cloned()
        });
        if let Some(current) = read.flatten() {
            return Ok(current);
        }
        let limited = matches!(cause, Cause::ConnectFailed | Cause::Invalidated);
        if limited && !self.take_from_quota() {
            return self.join_any(host, runtime.id());
        }
        let (land, flight) = Flight::new(runtime.id());
        if let Some(current) = self
            .store
            .edit(host, |slot| slot.board(&flight, cause, now))
        {
            return Ok(current);
        }
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
        Ok(flight)
    }

    /// Looks a host in use up again before its answer ends, so that no caller has to wait.
    ///
    /// The first use of an answer starts a task that sleeps until then; a host that nobody asks for
    /// has none. It belongs to the runtime of the caller, holds the resolver weakly, and there are
    /// at most as many as hosts are kept.
    pub(super) fn refresh_ahead(self: &Arc<Self>, host: &Host, known: &Arc<Known>) {
        let (Ok(runtime), Some(place)) = (Handle::try_current(), Sleeper::lie_down(self)) else {
            return;
        };
        let (host, known) = (host.clone(), Arc::clone(known));
        let read = self.store.peek(host.as_str(), Slot::refresh_at);
        let Some(refresh_at) = read.flatten() else {
            return;
        };
        let shared = Arc::downgrade(self);
        runtime.spawn(async move {
            tokio::time::sleep_until(refresh_at.into()).await;
            drop(place);
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let still = |slot: &Slot| slot.still_knows(&known);
            if shared.store.peek(host.as_str(), still) == Some(true) {
                // Whoever waits for it finds it in the air.
                let _ = shared.ask(&host, Cause::Ageing);
            }
        });
    }

    /// Over the quota the next best is a lookup that was sent before the invalidation.
    fn join_any(&self, host: &Host, runtime: Id) -> Result<Flight, Error> {
        let any = self
            .store
            .peek(host.as_str(), |slot| slot.in_the_air(runtime).cloned());
        let too_many =
            || Error::failed(host.as_str(), "too many hosts are looked up again at once");
        any.flatten().ok_or_else(too_many)
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

/// A place among those that wait to look up ahead.
struct Sleeper(Arc<AtomicUsize>);

impl Sleeper {
    fn lie_down(shared: &Shared) -> Option<Self> {
        let place = Self(Arc::clone(&shared.sleepers));
        let before = place.0.fetch_add(1, Ordering::Relaxed);
        (before < shared.config.capacity).then_some(place)
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
        let asked_at = match &brought {
            Ok(answer) => answer.asked_at.unwrap_or(asked_at),
            Err(_) => asked_at,
        };
        let outcome = brought.and_then(|answer| shared.read(host, answer));
        let fallback = outcome
            .is_err()
            .then(|| shared.fallback(&self.host))
            .flatten();
        let landing = Landing {
            asked_at,
            outcome,
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
