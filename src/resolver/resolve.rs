//! The path of one question.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::future::ResponseFuture;
use super::question::Question;
use super::{Resolved, Shared};
use crate::attempt::{AllAddrs, Note, Slip};
use crate::cache::{Cause, Known, Origin, Plan, Slot};
use crate::health::Trial;
use crate::host::{self, Host};
use crate::observe::{Event, Source};
use crate::order::{self, Dealt, Family, How, MAX_ADDRS, Order, PER_FAMILY};
use crate::penalty::{Rank, Record};
use crate::{Error, time};

impl Shared {
    /// Deals addresses to a connector and writes them on the slip that hangs around it. `None`:
    /// they are in `dealt` at once.
    #[inline(always)]
    pub(super) fn deal(self: &Arc<Self>, name: &str, dealt: &mut Dealt) -> Option<ResponseFuture> {
        let slip = Slip::hanging(self.id);
        if let Some(slip) = &slip
            && Self::deal_pin(slip, name, dealt)
        {
            return None;
        }
        if !self.deal_at_once(name, slip.as_ref(), dealt) {
            return Some(self.deal_slowly(name, slip));
        }
        if slip.is_none() {
            self.note_asked_outside(dealt);
        }
        None
    }

    /// A name in its one spelling that is known and good is the common case: no parsing, nothing
    /// to wait for. Returns false in every other.
    #[inline(always)]
    fn deal_at_once(self: &Arc<Self>, name: &str, slip: Option<&Slip>, dealt: &mut Dealt) -> bool {
        let now = time::now();
        let hit = self.store.read(name, |host, slot| match slot.good(now) {
            Some(known) if !self.is_overruled(name, known) => {
                self.note_use(host, known);
                self.deal_from(host, known, slip, now, dealt);
                true
            }
            _ => false,
        });
        hit == Some(true)
    }

    #[inline(never)]
    fn deal_slowly(self: &Arc<Self>, name: &str, slip: Option<Slip>) -> ResponseFuture {
        let host = match self.question(name) {
            Err(error) => return ResponseFuture::known(Err(error)),
            Ok(Question::Answered(dealt, _)) => return ResponseFuture::known(Ok(dealt)),
            Ok(Question::Open(host) | Question::Reserved(host)) => host,
        };
        let shared = Arc::clone(self);
        ResponseFuture::asking(async move {
            let known = shared.known(&host).await?;
            let mut dealt = Dealt::new();
            shared.deal_from(&host, &known, slip.as_ref(), time::now(), &mut dealt);
            if slip.is_none() {
                shared.note_asked_outside(&dealt);
            }
            Ok(dealt)
        })
    }

    /// Reads a name; what needs no lookup passes the filter here.
    fn question(&self, name: &str) -> Result<Question, Error> {
        match self.read_question(name)? {
            Question::Answered(dealt, source) if self.filter.is_some() => {
                let sifted = self.sift(&host::spelling(name), dealt.as_slice())?;
                Ok(Question::answered(&sifted, source))
            }
            Question::Reserved(host) if self.pins.find(host.as_str()).is_none() => {
                Err(Error::never_sent(host.as_str()))
            }
            question => Ok(question),
        }
    }

    /// Returns all addresses in dialling order.
    pub(super) async fn resolve(self: &Arc<Self>, name: &str) -> Result<Resolved, Error> {
        let host = match self.question(name)? {
            Question::Answered(dealt, source) => {
                return Ok(Resolved {
                    addrs: dealt.collect(),
                    source,
                    age: Duration::ZERO,
                });
            }
            Question::Open(host) | Question::Reserved(host) => host,
        };
        let known = self.known(&host).await?;
        let now = time::now();
        Ok(Resolved {
            addrs: self.all_in_order(&host, &known, now).into_vec(),
            source: self.source(&host, &known, now),
            age: known.age(now),
        })
    }

    fn source(&self, host: &Host, known: &Known, now: Instant) -> Source {
        let suspect = self.store.peek(host.as_str(), Slot::is_suspect);
        Source::of(known, suspect == Some(true), now)
    }

    /// Returns what is pinned for a host or known of it, or asks and waits as far as its plan says.
    pub(super) async fn known(self: &Arc<Self>, host: &Host) -> Result<Arc<Known>, Error> {
        let now = time::now();
        if let Some(pinned) = self.deal_pinned(host.as_str(), now) {
            return Ok(Arc::new(pinned));
        }
        self.refit(host);
        let known = self.known_by_plan(host, now).await;
        known.or_else(|error| self.after_failed_lookup(host).ok_or(error))
    }

    /// What may be served though the lookup that a caller waited for failed: another one may have
    /// brought an answer meanwhile, and there may be fallbacks.
    fn after_failed_lookup(&self, host: &Host) -> Option<Arc<Known>> {
        let now = time::now();
        let known = self
            .store
            .peek(host.as_str(), |slot| self.servable(slot, now));
        known.flatten().or_else(|| self.fall_back(host))
    }

    async fn known_by_plan(
        self: &Arc<Self>,
        host: &Host,
        now: Instant,
    ) -> Result<Arc<Known>, Error> {
        let planned = self.store.read(host.as_str(), |host, slot| {
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
                Ok(self.served(host, known))
            }
            (Plan::Fail(error), _) => Err(error),
            (Plan::Ask(cause), None) => self.ask_or_fall_back(host, cause).await,
            (Plan::Ask(cause), Some(known)) => self.ask_or_serve(host, cause, known).await,
            (Plan::Serve | Plan::ServeAndAsk(_), None) => {
                self.ask_or_fall_back(host, Cause::Unknown).await
            }
        }
    }

    /// Waits for an answer; not long where there are fallbacks.
    async fn ask_or_fall_back(
        self: &Arc<Self>,
        host: &Host,
        cause: Cause,
    ) -> Result<Arc<Known>, Error> {
        if self.fallbacks.find(host.as_str()).is_none() {
            return self.ask_and_wait(host, cause).await;
        }
        let mut asking = std::pin::pin!(self.ask_and_wait(host, cause));
        match within(self.patience(host), &mut asking).await {
            Some(landed) => landed,
            None => match self.fall_back(host) {
                Some(known) => Ok(known),
                // The filter refuses them, or they were taken out meanwhile.
                None => asking.await,
            },
        }
    }

    /// Waits for a fresh answer, but not long, and serves what is known if none comes.
    ///
    /// A host in use is looked up again before its answer ends, so that no caller waits. If that lookup is slow, the
    /// answer is served past its end, as long as a healthy address is left.
    pub(super) async fn ask_or_serve(
        self: &Arc<Self>,
        host: &Host,
        cause: Cause,
        old: Arc<Known>,
    ) -> Result<Arc<Known>, Error> {
        if cause == Cause::Expired && self.is_asked_in_time(host, &old) {
            // The lookup may have been sent before a connect failed. Then the host is looked up once more.
            let _ = self.ask(host, cause);
            return Ok(self.served(host, old));
        }
        match within(self.patience(host), self.ask_and_wait(host, cause)).await {
            Some(Ok(known)) => Ok(known),
            Some(Err(error)) if error.is_negative_answer() => Err(error),
            Some(Err(_)) | None => Ok(self.served(host, old)),
        }
    }

    /// How long to wait for the lookup that is in the air, or is to be sent: counted from its
    /// sending, or each caller would wait anew for one that is slow.
    fn patience(&self, host: &Host) -> Duration {
        let waited = self.asked_at(host).map_or(Duration::ZERO, |sent| {
            time::now().saturating_duration_since(sent)
        });
        self.config.stale_after.saturating_sub(waited)
    }

    /// Returns whether a pending lookup was sent before the answer ended, and a healthy address of the answer is left.
    fn is_asked_in_time(&self, host: &Host, known: &Known) -> bool {
        let asked = |slot: &Slot| {
            let runtime = tokio::runtime::Handle::try_current().ok()?;
            Some(slot.was_asked_before(known.expires_at, runtime.id()))
        };
        self.store.peek(host.as_str(), asked).flatten() == Some(true)
            && self.health_left(host, known, time::now())
    }

    /// When the lookup was sent that a caller may join.
    fn asked_at(&self, host: &Host) -> Option<Instant> {
        let sent = |slot: &Slot| {
            let runtime = tokio::runtime::Handle::try_current().ok()?;
            slot.boardable(runtime.id()).map(|flight| flight.sent)
        };
        self.store.peek(host.as_str(), sent).flatten()
    }

    /// Waits for the lookup in the air. One that is lost, as when its runtime was shut down or
    /// another lookup is to be asked, or whose answer came too late to be served, is asked again.
    async fn ask_and_wait(
        self: &Arc<Self>,
        host: &Host,
        cause: Cause,
    ) -> Result<Arc<Known>, Error> {
        let mut last = Err(Error::lost(host.as_str()));
        for _ in 0..TRIES {
            match self.ask(host, cause)?.landed().await {
                Some(Ok(known)) if !known.may_be_served(time::now(), self.config.serve_stale) => {
                    last = Ok(known);
                }
                Some(landed) => return landed,
                None => {}
            }
        }
        last
    }

    /// Whether a good answer is not to be served: the host was pinned since, or it is what another
    /// edition of the fallbacks said.
    #[inline]
    fn is_overruled(&self, host: &str, known: &Known) -> bool {
        (!self.pins.is_empty() && self.pins.find(host).is_some())
            || known.is_outdated(|| self.fallbacks.edition())
    }

    #[inline]
    pub(super) fn note_use(self: &Arc<Self>, host: &Host, known: &Arc<Known>) {
        if known.is_first_use() {
            self.refresh_ahead(host, known);
        }
    }

    pub(super) fn plan(&self, host: &Host, slot: &Slot, now: Instant) -> Plan {
        slot.plan(now, self.config.serve_stale, |known| {
            self.health_left(host, known, now)
        })
    }

    fn servable(&self, slot: &Slot, now: Instant) -> Option<Arc<Known>> {
        slot.servable(now, self.config.serve_stale).cloned()
    }

    fn served(&self, host: &Host, known: Arc<Known>) -> Arc<Known> {
        let now = time::now();
        if now >= known.expires_at && known.origin == Origin::Lookup {
            let age = now.saturating_duration_since(known.asked_at);
            self.tell(&Event::ServedStale {
                host: host.as_str(),
                age,
                is_first: known.is_first_stale(),
            });
        }
        known
    }

    /// Whether a healthy address is left.
    pub(super) fn health_left(&self, host: &Host, known: &Known, now: Instant) -> bool {
        let best = self.best_rank(host, known, now);
        best.is_some_and(|rank| rank <= Rank::Healthy)
    }

    /// Returns the rank of the address that a connect goes to first. `None`: the answer has no address.
    pub(super) fn best_rank(&self, host: &Host, known: &Known, now: Instant) -> Option<Rank> {
        self.book.read(host.as_str(), now, |page| {
            let addrs = known.addrs.as_slice().iter();
            addrs.map(|&addr| rank(page, addr, now)).min()
        })
    }

    #[inline]
    fn deal_from(
        self: &Arc<Self>,
        host: &Host,
        known: &Known,
        slip: Option<&Slip>,
        now: Instant,
        dealt: &mut Dealt,
    ) {
        if let Some(slip) = slip
            && self.deal_first(host, known, slip, now, dealt)
        {
            return;
        }
        let trial = self.take_trial(host, known, now);
        dealt.fill(|out| self.in_order(host, known, PER_FAMILY, trial, now, out));
        if let Some(slip) = slip {
            let turned = match known.addrs.replaces_others() {
                true => self.add_last_resort(host, known, dealt, trial, now),
                false => dealt.as_slice().len(),
            };
            if self.config.lanes {
                dealt.add_lane(turned);
            }
            slip.write(self.note(host, known, dealt.clone(), now));
        }
    }

    #[inline(never)]
    pub(super) fn note(&self, host: &Host, known: &Known, dealt: Dealt, now: Instant) -> Note {
        Note {
            host: host.clone(),
            generation: known.generation,
            dealt,
            at: now,
            source: self.source(host, known, now),
            age: known.age(now),
        }
    }

    pub(super) fn all_in_order(
        self: &Arc<Self>,
        host: &Host,
        known: &Known,
        now: Instant,
    ) -> AllAddrs {
        let trial = self.take_trial(host, known, now);
        self.all_with_trial(host, known, trial, now)
    }

    /// Returns the same for a caller that has the trial of an address.
    pub(super) fn all_with_trial(
        &self,
        host: &Host,
        known: &Known,
        trial: Option<IpAddr>,
        now: Instant,
    ) -> AllAddrs {
        let mut addrs = AllAddrs::from_slice(known.addrs.as_slice());
        self.in_order(host, known, MAX_ADDRS, trial, now, &mut addrs);
        addrs
    }

    /// Returns the family that a connect begins with.
    #[inline]
    pub(super) fn leads(&self, known: &Known, now: Instant) -> Family {
        let wanted = self.config.prefer.unwrap_or_else(|| known.addrs.leads());
        self.book.leads(wanted, now)
    }

    #[inline(always)]
    fn in_order(
        &self,
        host: &Host,
        known: &Known,
        per_family: usize,
        trial: Option<IpAddr>,
        now: Instant,
        out: &mut [IpAddr],
    ) -> usize {
        let (addrs, order) = (&known.addrs, self.config.order);
        let how = How {
            order,
            prefer: self.leads(known, now),
            per_family,
            turn: if order == Order::RoundRobin {
                known.turn()
            } else {
                0
            },
        };
        let mut rng = fastrand::Rng::new();
        // Nothing is held against anyone: by far the most common case, and the cheapest.
        if self.book.is_empty() {
            return order::deal(addrs, None, how, &mut rng, out);
        }
        self.book.read(host.as_str(), now, |page| {
            let rank = |addr| {
                if trial == Some(addr) {
                    Rank::Trial
                } else {
                    let found = page.iter().find(|(other, _)| *other == addr);
                    found.map_or(Rank::Healthy, |(_, record)| record.rank_to_deal(now))
                }
            };
            order::deal(addrs, Some(&rank), how, &mut rng, out)
        })
    }

    /// Has an address tried whose penalty is over: by a connect of our own, or by this caller, which is told the
    /// address.
    #[inline]
    pub(super) fn take_trial(
        self: &Arc<Self>,
        host: &Host,
        known: &Known,
        now: Instant,
    ) -> Option<IpAddr> {
        match self.book.is_empty() {
            true => None,
            false => self.take_due_trial(host, known, now),
        }
    }

    fn take_due_trial(
        self: &Arc<Self>,
        host: &Host,
        known: &Known,
        now: Instant,
    ) -> Option<IpAddr> {
        let port = self.config.probe.then(|| self.connects.port(host));
        let addrs = known.addrs.as_slice();
        let Trial { addr, port } = self.book.take_trial(host, addrs, port.flatten(), now)?;
        let is_probed = |port| self.probe(host, addr, port);
        if port.is_some_and(is_probed) {
            return None;
        }
        self.tell(&Event::Trial {
            host: host.as_str(),
            addr,
        });
        Some(addr)
    }
}

/// A lookup that is lost so often is not asked again.
const TRIES: usize = 4;

/// Waits so long at most. Where no timer can be had, not at all: whoever calls has something to
/// serve.
async fn within<T>(wait: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    if let Some(ready) = future.as_mut().now_or_never() {
        return Some(ready);
    }
    let timer = || tokio::time::timeout(wait, future);
    // A runtime without its timer panics, and does not tell before.
    let has_runtime = tokio::runtime::Handle::try_current().is_ok();
    let timer = has_runtime.then(|| catch_unwind(AssertUnwindSafe(timer)).ok());
    timer.flatten()?.await.ok()
}

pub(super) fn rank(page: &[(IpAddr, Record)], addr: IpAddr, now: Instant) -> Rank {
    let found = page.iter().find(|(other, _)| *other == addr);
    found.map_or(Rank::Healthy, |(_, record)| record.rank(now))
}

#[cfg(all(test, feature = "__again"))]
mod tests;
