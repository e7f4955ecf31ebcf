//! The path of one question.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::future::ResponseFuture;
use super::{Resolved, Shared, Source};
use crate::attempt::{Note, Slip};
use crate::cache::{Cause, Known, Plan, Slot};
use crate::host::{self, Host, LOOPBACK, Parsed};
use crate::observe::Event;
use crate::order::{self, Dealt, MAX_ADDRS, PER_FAMILY};
use crate::penalty::{Rank, Record};
use crate::{Error, time};

impl Shared {
    /// Deals addresses to a connector and writes them on the slip that hangs around it.
    pub(super) fn deal(self: &Arc<Self>, name: &str) -> ResponseFuture {
        let slip = Slip::hanging(self.id);
        if slip.is_none() && self.layered.load(Ordering::Relaxed) {
            self.unslipped.fetch_add(1, Ordering::Relaxed);
        }
        let now = time::now();
        // A name in its one spelling that is known and good is the common case: no parsing.
        let hit = self.store.read(name, now, |host, slot| {
            match (self.plan(host, slot, now), slot.known()) {
                (Plan::Serve, Some(known)) => {
                    self.note_use(host, known);
                    Some(self.deal_from(host, known, slip.as_ref(), now))
                }
                _ => None,
            }
        });
        match hit.flatten() {
            Some(dealt) => ResponseFuture::known(Ok(dealt)),
            None => self.deal_slowly(name, slip),
        }
    }

    fn deal_slowly(self: &Arc<Self>, name: &str, slip: Option<Slip>) -> ResponseFuture {
        let host = match Question::read(name) {
            Err(error) => return ResponseFuture::known(Err(error)),
            Ok(Question::Answered(dealt, _)) => return ResponseFuture::known(Ok(dealt)),
            Ok(Question::Open(host)) => host,
        };
        let shared = Arc::clone(self);
        ResponseFuture::asking(async move {
            let known = shared.known(&host).await?;
            Ok(shared.deal_from(&host, &known, slip.as_ref(), time::now()))
        })
    }

    /// Returns all addresses in dialling order.
    pub(super) async fn resolve(self: &Arc<Self>, name: &str) -> Result<Resolved, Error> {
        let host = match Question::read(name)? {
            Question::Answered(dealt, source) => {
                return Ok(Resolved {
                    addrs: dealt.collect(),
                    source,
                    age: Duration::ZERO,
                });
            }
            Question::Open(host) => host,
        };
        let known = self.known(&host).await?;
        let now = time::now();
        let mut addrs = Vec::with_capacity(known.addrs.as_slice().len());
        self.in_order(&host, &known, MAX_ADDRS, now, |addr| addrs.push(addr));
        let suspect = self
            .store
            .read(host.as_str(), now, |_, slot| slot.is_suspect());
        let source = match () {
            () if now >= known.expires_at => Source::Stale,
            () if suspect == Some(true) => Source::Suspect,
            () => Source::Fresh,
        };
        Ok(Resolved {
            addrs,
            source,
            age: now.saturating_duration_since(known.asked_at),
        })
    }

    /// Returns what is known of a host, or asks and waits as far as its plan says.
    async fn known(self: &Arc<Self>, host: &Host) -> Result<Arc<Known>, Error> {
        let now = time::now();
        let planned = self.store.read(host.as_str(), now, |host, slot| {
            (self.plan(host, slot, now), self.servable(slot, now))
        });
        match planned.unwrap_or((Plan::Ask(Cause::Unknown), None)) {
            (Plan::Serve, Some(known)) => {
                self.note_use(host, &known);
                Ok(self.served(host, known))
            }
            (Plan::ServeAndAsk(cause), Some(known)) => {
                // Without a lookup behind it the mark stays, and a later caller asks.
                let _ = self.ask(host, cause);
                Ok(known)
            }
            (Plan::Fail(error), _) => Err(error),
            (Plan::Ask(cause), None) => self.ask_and_wait(host, cause).await,
            (Plan::Ask(cause), Some(known)) => self.ask_or_serve(host, cause, known).await,
            (Plan::Serve | Plan::ServeAndAsk(_), None) => {
                self.ask_and_wait(host, Cause::Unknown).await
            }
        }
    }

    /// Waits for a fresh answer, but not long, and serves what is known if none comes.
    async fn ask_or_serve(
        self: &Arc<Self>,
        host: &Host,
        cause: Cause,
        last_resort: Arc<Known>,
    ) -> Result<Arc<Known>, Error> {
        let wait = self.config.stale_after;
        match tokio::time::timeout(wait, self.ask_and_wait(host, cause)).await {
            Ok(Ok(known)) => Ok(known),
            Ok(Err(error)) if error.is_negative_answer() => Err(error),
            Ok(Err(_)) | Err(_) => Ok(self.served(host, last_resort)),
        }
    }

    /// Waits for the lookup in the air. One that is lost, as when its runtime was shut down, is
    /// asked again, once.
    async fn ask_and_wait(
        self: &Arc<Self>,
        host: &Host,
        cause: Cause,
    ) -> Result<Arc<Known>, Error> {
        for _ in 0..2 {
            if let Some(landed) = self.ask(host, cause)?.landed().await {
                return landed;
            }
        }
        Err(Error::panicked(host.as_str()))
    }

    fn note_use(self: &Arc<Self>, host: &Host, known: &Arc<Known>) {
        if known.is_first_use() {
            self.refresh_ahead(host, known);
        }
    }

    fn plan(&self, host: &Host, slot: &Slot, now: Instant) -> Plan {
        slot.plan(now, self.config.serve_stale, |known| {
            self.health_left(host, known, now)
        })
    }

    fn servable(&self, slot: &Slot, now: Instant) -> Option<Arc<Known>> {
        slot.servable(now, self.config.serve_stale).cloned()
    }

    fn served(&self, host: &Host, known: Arc<Known>) -> Arc<Known> {
        let now = time::now();
        if now >= known.expires_at {
            let age = now.saturating_duration_since(known.asked_at);
            self.tell(&Event::ServedStale {
                host: host.as_str(),
                age,
            });
        }
        known
    }

    /// Whether an address is left that nothing is held against.
    pub(super) fn health_left(&self, host: &Host, known: &Known, now: Instant) -> bool {
        self.book.read(host.as_str(), now, |page| {
            known
                .addrs
                .as_slice()
                .iter()
                .any(|&addr| rank(page, addr, now) <= Rank::Healthy)
        })
    }

    fn deal_from(&self, host: &Host, known: &Known, slip: Option<&Slip>, now: Instant) -> Dealt {
        let mut dealt = Dealt::new();
        self.in_order(host, known, PER_FAMILY, now, |addr| dealt.push(addr));
        if let Some(slip) = slip {
            if self.config.lanes {
                dealt.add_lane();
            }
            let (host, generation) = (host.clone(), known.generation);
            slip.write(Note {
                host,
                generation,
                dealt: dealt.clone(),
                at: now,
            });
        }
        dealt
    }

    fn in_order(
        &self,
        host: &Host,
        known: &Known,
        per_family: usize,
        now: Instant,
        hand_out: impl FnMut(IpAddr),
    ) {
        let prefer = self
            .config
            .prefer
            .unwrap_or_else(|| self.book.preferred(now));
        let (addrs, mut rng) = (&known.addrs, fastrand::Rng::new());
        // Nothing is held against anyone: by far the most common case, and the cheapest.
        if self.book.is_empty() {
            return order::deal(addrs, None, prefer, per_family, &mut rng, hand_out);
        }
        let trial = self.take_trial(host, known, now);
        self.book.read(host.as_str(), now, |page| {
            let rank = |addr| {
                if trial == Some(addr) {
                    Rank::Trial
                } else {
                    rank(page, addr, now)
                }
            };
            order::deal(addrs, Some(&rank), prefer, per_family, &mut rng, hand_out);
        });
    }

    fn take_trial(&self, host: &Host, known: &Known, now: Instant) -> Option<IpAddr> {
        let addr = self.book.take_trial(host, known.addrs.as_slice(), now)?;
        self.tell(&Event::Trial {
            host: host.as_str(),
            addr,
        });
        Some(addr)
    }
}

fn rank(page: &[(IpAddr, Record)], addr: IpAddr, now: Instant) -> Rank {
    let found = page.iter().find(|(other, _)| *other == addr);
    found.map_or(Rank::Healthy, |(_, record)| record.rank(now))
}

/// A name as it was asked.
enum Question {
    /// Needs no lookup.
    Answered(Dealt, Source),
    Open(Host),
}

impl Question {
    fn read(name: &str) -> Result<Self, Error> {
        let answered = |addrs: &[IpAddr], source| {
            let mut dealt = Dealt::new();
            addrs.iter().for_each(|&addr| dealt.push(addr));
            Ok(Self::Answered(dealt, source))
        };
        match host::parse(name).map_err(|why| Error::invalid_name(name, why))? {
            Parsed::Literal(addr) => answered(&[addr], Source::Literal),
            Parsed::Loopback => answered(&LOOPBACK, Source::Loopback),
            Parsed::NeverSent(host) => Err(Error::never_sent(host.as_str())),
            Parsed::Name(host) => Ok(Self::Open(host)),
        }
    }
}
