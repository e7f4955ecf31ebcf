//! Lookups: the one place that spawns.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::Shared;
use super::pilot::Pilot;
use super::sleepers::Bed;
use crate::cache::{Cause, Flight, Known, Landing, Origin, Slot};
use crate::host::Host;
use crate::observe::Event;
use crate::penalty::Failure;
use crate::{Error, Outcome, outcome, time};

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
        self.make_room(host);
        self.tell(&Event::Asked {
            host: host.as_str(),
            cause,
        });
        let pilot = Pilot::new(self, host, &flight, land);
        runtime.spawn(pilot.fly(self.lookups.current()));
        flight
    }

    /// Looks a host up again on whose answer a connect has failed: at once, or as soon as that is
    /// due and the quota allows. Nobody has to ask for it.
    ///
    /// The next caller does instead when it is due and a healthy address is left, for then nobody
    /// needs it sooner: the processes of a fleet that lose an edge together do not ask together. So
    /// it is outside of a runtime, and where too many wait already. A connect that hangs needs it at once.
    pub(super) fn look_again(self: &Arc<Self>, host: &Host, urgency: Urgency) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let now = time::now();
        let is_well_served = self.is_well_served(host, now);
        let due = self.store.edit_present(host, |slot| {
            slot.health_is_left(is_well_served);
            slot.recheck_at(now)
        });
        match due.flatten() {
            Some(due) if due > now => {
                self.sleep(&runtime, host, due, false);
            }
            Some(_) if is_well_served && urgency == Urgency::Usual => {}
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
        match self.sleepers.lie_down(host, due, time::now()) {
            Bed::Free => {
                let sleeper = Sleeper {
                    host: host.clone(),
                    due,
                    is_paid,
                    shared: Arc::downgrade(self),
                };
                let task = runtime.spawn(sleeper.sleep());
                self.sleepers.is_asleep(host, due, &task.abort_handle());
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
    /// One for each penalty or doubt of an address. The task belongs to the runtime of the caller and ends within
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

    pub(super) fn make_room(&self, host: &Host) {
        self.store.make_room(host, |host| self.book.holds(host));
    }

    /// Keeps what a lookup brought. `None`: it failed after it had been let go, and its waiters are
    /// to ask again.
    pub(super) fn land(
        &self,
        host: &Host,
        flight: &Flight,
        landing: &Landing,
    ) -> Option<Result<Arc<Known>, Error>> {
        let now = time::now();
        let landed = self
            .store
            .edit(host, |slot| slot.land(flight, landing, now));
        self.make_room(host);
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
        let is_denied = landing
            .outcome
            .as_ref()
            .is_err_and(Error::is_negative_answer);
        let is_overtaken = |known: &Arc<Known>| known.origin == Origin::Lookup;
        if is_denied
            && !landed
                .as_ref()
                .is_some_and(|it| it.as_ref().is_ok_and(is_overtaken))
        {
            self.connects.forget_addrs(host, now);
        }
        landed
    }
}

/// How soon an answer on which a connect has failed is looked up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// By the next caller, if a healthy address is left.
    Usual,
    /// At once: a connect is pending that a fresh answer may help.
    Now,
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
                shared.look_again(&host, Urgency::Usual);
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
