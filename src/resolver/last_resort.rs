//! The last resort of a connect: addresses that connected a short while ago and have left since.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use super::resolve::rank;
use crate::attempt::AllAddrs;
use crate::cache::{Known, Origin};
use crate::health::Left;
use crate::host::{self, Host};
use crate::order::{self, Dealt, Family, PER_FAMILY};
use crate::penalty::{Rank, Record};

impl Shared {
    /// Returns the addresses that a connect may try after all addresses of an answer, best first, and those that are
    /// as good as others in random order: callers that come at once try several, so that few wait for the dead ones.
    ///
    /// They connected within the last 60 s and left with this answer or one before. They have no penalty, and they
    /// pass the filter as it is now.
    pub(super) fn left(&self, host: &Host, known: &Known, now: Instant) -> Left {
        let may_have_left = known.origin == Origin::Lookup && known.addrs.replaces_others();
        if !self.config.last_resort || !may_have_left {
            return Left::new();
        }
        let is_listed = |addr| known.addrs.contains(addr);
        let mut left = self.connects.left(host, is_listed, now);
        if let Some(filter) = &self.filter {
            left.retain(|addr| filter(host::bare(host.as_str()), *addr));
        }
        self.book.read(host.as_str(), now, |page| {
            let rank = |addr: &IpAddr| rank(page, *addr, now);
            left.retain(|addr| rank(addr) <= Rank::Recovering);
            fastrand::shuffle(&mut left);
            left.sort_by_key(|addr| rank(addr));
        });
        left
    }

    /// Adds them to what a connect is dealt, if that is the whole answer. An address whose trial the connect has goes
    /// first all the same. Returns how many addresses the second lane turns.
    #[inline(never)]
    pub(super) fn add_last_resort(
        &self,
        host: &Host,
        known: &Known,
        dealt: &mut Dealt,
        trial: Option<IpAddr>,
        now: Instant,
    ) -> usize {
        let count = dealt.as_slice().len();
        if count < known.addrs.as_slice().len() {
            return count;
        }
        let left = self.left(host, known, now);
        if left.is_empty() {
            return count;
        }
        let goes_last = self.those(host, |record| record.goes_behind_last_resort(now), now);
        order::add_last_resort(dealt, &left, |addr| {
            goes_last.contains(&addr) && trial != Some(addr)
        })
    }

    /// Returns those that a connect is dealt, at most.
    pub(super) fn dealt_left(&self, host: &Host, known: &Known, now: Instant) -> Left {
        let leads = self.leads(known, now);
        let (first, second): (Vec<IpAddr>, Vec<IpAddr>) = known
            .addrs
            .as_slice()
            .iter()
            .partition(|addr| Family::of(**addr) == leads);
        let mut dealt = Dealt::new();
        if known.addrs.dealt(PER_FAMILY) == first.len() + second.len() {
            first
                .into_iter()
                .chain(second)
                .for_each(|addr| dealt.push(addr));
            self.add_last_resort(host, known, &mut dealt, None, now);
        }
        let dealt = dealt.as_slice().iter().copied();
        dealt.filter(|addr| !known.addrs.contains(*addr)).collect()
    }

    /// Returns the addresses of a host whose record is such.
    fn those(&self, host: &Host, is_such: impl Fn(&Record) -> bool, now: Instant) -> AllAddrs {
        self.book.read(host.as_str(), now, |page| {
            let such = page.iter().filter(|(_, record)| is_such(record));
            such.map(|(addr, _)| *addr).collect()
        })
    }

    /// Returns the addresses that a race begins with, in their order: those of the answer, then the last resort. If all
    /// addresses of the answer hang, the first one follows one that left.
    pub(super) fn all_for_race(
        self: &Arc<Self>,
        host: &Host,
        known: &Known,
        now: Instant,
    ) -> AllAddrs {
        let trial = self.take_trial(host, known, now);
        let mut addrs = self.all_with_trial(host, known, trial, now);
        let left = self.left(host, known, now);
        if let Some(first) = left.first() {
            let hanging = self.those(host, |record| record.hangs(now), now);
            let hangs = |addr: &IpAddr| hanging.contains(addr) && trial != Some(*addr);
            let leads = !hangs(first) && addrs.iter().all(hangs);
            if leads {
                addrs.insert(0, *first);
            }
            addrs.extend_from_slice(&left[usize::from(leads)..]);
        }
        addrs
    }
}
