//! Resolves one name, from the cache or by a lookup, and selects the addresses for the caller.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::future::ResolveFuture;
use super::query::Query;
use super::{Inner, Resolved};
use crate::addrs::{
    self, AddressList, AddressOrder, Family, MAX_ADDRS, MAX_PER_FAMILY, SelectParams,
};
use crate::attempt::attribution;
use crate::attempt::{AllAddrs, AttemptContext, Resolution};
use crate::cache::CachedAnswer;
use crate::events::Event;
use crate::health::record::Rank;
use crate::host::{self, Host};
use crate::{ResolveError, time};

impl Inner {
    /// Selects addresses for a connector, and records them in the attempt context of the caller.
    ///
    /// Returns `None` if `selected` holds the addresses already, and otherwise a future of the addresses.
    #[inline(always)]
    pub(super) fn resolve_into(
        self: &Arc<Self>,
        name: &str,
        selected: &mut AddressList,
    ) -> Option<ResolveFuture> {
        let context = AttemptContext::current(self.id);
        if let Some(context) = &context
            && Self::assigned_address(context, name, selected)
        {
            return None;
        }
        if !self.resolve_cached(name, context.as_ref(), selected) {
            return Some(self.resolve_uncached(name, context));
        }
        if context.is_none() {
            self.context_loss.resolved_outside(selected);
        }
        None
    }

    /// Selects addresses from a fresh answer, and returns false if no fresh answer may be served.
    #[inline(always)]
    fn resolve_cached(
        &self,
        name: &str,
        context: Option<&AttemptContext>,
        selected: &mut AddressList,
    ) -> bool {
        let hit = self.cache.read_fresh(name, |host, known, now| {
            self.select_into(host, known, context, now, selected);
        });
        hit.is_some()
    }

    #[inline(never)]
    fn resolve_uncached(
        self: &Arc<Self>,
        name: &str,
        context: Option<AttemptContext>,
    ) -> ResolveFuture {
        let host = match self.query(name) {
            Err(error) => return ResolveFuture::known(Err(error)),
            Ok(Query::Immediate(selected, _)) => return ResolveFuture::known(Ok(selected)),
            Ok(Query::Lookup(host) | Query::Reserved(host)) => host,
        };
        let shared = Arc::clone(self);
        ResolveFuture::asking(async move {
            let known = shared.cache.answer(&host).await?;
            let mut selected = AddressList::new();
            shared.select_into(&host, &known, context.as_ref(), time::now(), &mut selected);
            if context.is_none() {
                shared.context_loss.resolved_outside(&selected);
            }
            Ok(selected)
        })
    }

    /// Parses a name, and filters its addresses if the name needs no lookup.
    fn query(&self, name: &str) -> Result<Query, ResolveError> {
        match self.read_query(name)? {
            Query::Immediate(selected, source) if self.cache.has_filter() => {
                let sifted = self
                    .cache
                    .apply_filter(&host::normalized(name), selected.as_slice())?;
                Ok(Query::answered(&sifted, source))
            }
            Query::Reserved(host) if !self.cache.has_override(host.as_str()) => {
                Err(ResolveError::never_sent(host.as_str()))
            }
            question => Ok(question),
        }
    }

    /// Returns all addresses of a host in the order in which to connect to them.
    pub(super) async fn resolve(&self, name: &str) -> Result<Resolved, ResolveError> {
        let host = match self.query(name)? {
            Query::Immediate(selected, source) => {
                return Ok(Resolved {
                    addrs: selected.collect(),
                    source,
                    age: Duration::ZERO,
                    expires_in: None,
                });
            }
            Query::Lookup(host) | Query::Reserved(host) => host,
        };
        let known = self.cache.answer(&host).await?;
        let now = time::now();
        Ok(Resolved {
            addrs: self.all_in_order(&host, &known, now).into_vec(),
            source: self.cache.source(&host, &known, now),
            age: known.age(now),
            expires_in: known.expires_in(now),
        })
    }

    #[inline]
    fn select_into(
        &self,
        host: &Host,
        known: &CachedAnswer,
        context: Option<&AttemptContext>,
        now: Instant,
        selected: &mut AddressList,
    ) {
        if let Some(context) = context
            && self.start_race(host, known, context, now, selected)
        {
            return;
        }
        let trial = self.take_trial(host, known, now);
        selected.fill(|out| self.in_order(host, known, MAX_PER_FAMILY, trial, now, out));
        if let Some(context) = context {
            let turned = match known.addrs.omits_earlier_addresses() {
                true => self.select_last_resort(host, known, selected, trial, now),
                false => selected.as_slice().len(),
            };
            if self.config.lanes && self.may_add_lane(host, selected, now) {
                selected.add_lane(turned);
            }
            context.record(self.resolution(host, known, selected.clone(), now));
        }
    }

    /// Returns whether a second lane may start with the second of the selected addresses.
    ///
    /// The second lane starts 300 ms after the first lane, and TCP of either ends the other. So if recent connects took
    /// longer, a second address that hangs in TLS would keep the connect from a healthy first address.
    fn may_add_lane(&self, host: &Host, selected: &AddressList, now: Instant) -> bool {
        let &[first, second, ..] = selected.as_slice() else {
            return true;
        };
        let takes_over = self.health.read(host.as_str(), now, |records| {
            let second = records.find(second);
            records.rank(first) <= Rank::Healthy
                && second.is_some_and(|record| record.may_hang_after_tcp(now))
        });
        !(takes_over && self.health.took_at_least(host, attribution::HEAD_START))
    }

    #[inline(never)]
    pub(super) fn resolution(
        &self,
        host: &Host,
        known: &CachedAnswer,
        selected: AddressList,
        now: Instant,
    ) -> Resolution {
        Resolution {
            host: host.clone(),
            generation: known.generation,
            addrs: selected,
            resolved_at: now,
            source: self.cache.source(host, known, now),
            age: known.age(now),
        }
    }

    pub(super) fn all_in_order(&self, host: &Host, known: &CachedAnswer, now: Instant) -> AllAddrs {
        let trial = self.take_trial(host, known, now);
        self.all_with_trial(host, known, trial, now)
    }

    /// Returns all addresses of a host in order, with the address of the caller's `trial` first.
    pub(super) fn all_with_trial(
        &self,
        host: &Host,
        known: &CachedAnswer,
        trial: Option<IpAddr>,
        now: Instant,
    ) -> AllAddrs {
        let mut addrs = AllAddrs::from_slice(known.addrs.as_slice());
        self.in_order(host, known, MAX_ADDRS, trial, now, &mut addrs);
        addrs
    }

    /// Returns the family that a connect attempts first.
    #[inline]
    pub(super) fn preferred_family(&self, known: &CachedAnswer, now: Instant) -> Family {
        let wanted = self.config.prefer.unwrap_or_else(|| known.addrs.leads());
        self.health.preferred_family(wanted, now)
    }

    #[inline(always)]
    fn in_order(
        &self,
        host: &Host,
        known: &CachedAnswer,
        per_family: usize,
        trial: Option<IpAddr>,
        now: Instant,
        out: &mut [IpAddr],
    ) -> usize {
        let (addrs, order) = (&known.addrs, self.config.order);
        let how = SelectParams {
            order,
            prefer: self.preferred_family(known, now),
            per_family,
            turn: if order == AddressOrder::RoundRobin {
                known.turn()
            } else {
                0
            },
        };
        let mut rng = fastrand::Rng::new();
        if self.health.has_no_records() {
            return addrs::select(addrs, None, how, &mut rng, out);
        }
        self.health.read(host.as_str(), now, |records| {
            let rank = |addr| {
                if trial == Some(addr) {
                    Rank::Trial
                } else {
                    records.rank_to_select(addr)
                }
            };
            addrs::select(addrs, Some(&rank), how, &mut rng, out)
        })
    }

    /// Starts the trial of an address whose penalty is over, if a trial is due.
    ///
    /// A probe tries the address if possible. Otherwise the caller tries the address that the method returns.
    #[inline]
    pub(super) fn take_trial(
        &self,
        host: &Host,
        known: &CachedAnswer,
        now: Instant,
    ) -> Option<IpAddr> {
        let addr = self.health.take_trial(host, known.addrs.as_slice(), now)?;
        self.emit(&Event::TrialStarted {
            host: host.as_str(),
            addr,
        });
        Some(addr)
    }
}

#[cfg(test)]
mod tests;
