//! Selects the last resort of a connect, which are addresses that connected recently and have left.

use std::net::IpAddr;
use std::time::Instant;

use super::Inner;
use crate::addrs::{self, AddressList, Family, MAX_PER_FAMILY};
use crate::attempt::AllAddrs;
use crate::cache::{CachedAnswer, Origin};
use crate::health::Left;
use crate::health::record::AddressRecord;
use crate::host::Host;

impl Inner {
    /// Returns the addresses that a connect may attempt after all addresses of an answer, in order of their rank.
    ///
    /// The addresses connected within the last 60 s and left with this answer or an earlier one. They have no
    /// penalty, and the current filter accepts them.
    pub(super) fn left(&self, host: &Host, known: &CachedAnswer, now: Instant) -> Left {
        let may_have_left = known.origin == Origin::Lookup && known.addrs.omits_earlier_addresses();
        if !self.config.last_resort || !may_have_left {
            return Left::new();
        }
        let is_listed = |addr| known.addrs.contains(addr);
        let may_pass = |addr| self.cache.may_pass(host.as_str(), addr);
        self.health.left(host, is_listed, may_pass, now)
    }

    /// Adds the last resort to the addresses of a connect, if these are the whole answer.
    ///
    /// The address of the `trial` is not ordered behind the last resort. Returns how many addresses
    /// [`AddressList::add_lane`] rotates in the second lane.
    fn add_last_resort(
        &self,
        host: &Host,
        known: &CachedAnswer,
        selected: &mut AddressList,
        trial: Option<IpAddr>,
        now: Instant,
    ) -> usize {
        let count = selected.as_slice().len();
        if count < known.addrs.as_slice().len() {
            return count;
        }
        let left = self.left(host, known, now);
        if left.is_empty() {
            return count;
        }
        let goes_last = self.those(host, |record| record.goes_behind_last_resort(now), now);
        addrs::add_last_resort(selected, &left, |addr| {
            goes_last.contains(&addr) && trial != Some(addr)
        })
    }

    /// Adds the last resort to the addresses of a connect; see [`add_last_resort`](Self::add_last_resort).
    ///
    /// If an address of the last resort goes first, the penalized addresses of the answer are probed.
    #[inline(never)]
    pub(super) fn select_last_resort(
        &self,
        host: &Host,
        known: &CachedAnswer,
        selected: &mut AddressList,
        trial: Option<IpAddr>,
        now: Instant,
    ) -> usize {
        let turned = self.add_last_resort(host, known, selected, trial, now);
        let first = selected.as_slice().first();
        if first.is_some_and(|first| !known.addrs.contains(*first)) {
            self.cache.probe_penalized(host, now);
        }
        turned
    }

    /// Returns the addresses of the last resort that a connect is given at most.
    pub(super) fn selected_left(&self, host: &Host, known: &CachedAnswer, now: Instant) -> Left {
        let leads = self.preferred_family(known, now);
        let (first, second): (Vec<IpAddr>, Vec<IpAddr>) = known
            .addrs
            .as_slice()
            .iter()
            .partition(|addr| Family::of(**addr) == leads);
        let mut selected = AddressList::new();
        if known.addrs.selected(MAX_PER_FAMILY) == first.len() + second.len() {
            first
                .into_iter()
                .chain(second)
                .for_each(|addr| selected.push(addr));
            self.add_last_resort(host, known, &mut selected, None, now);
        }
        let selected = selected.as_slice().iter().copied();
        selected
            .filter(|addr| !known.addrs.contains(*addr))
            .collect()
    }

    /// Returns the addresses of a host for whose record `is_such` returns true.
    fn those(
        &self,
        host: &Host,
        is_such: impl Fn(&AddressRecord) -> bool,
        now: Instant,
    ) -> AllAddrs {
        self.health.read(host.as_str(), now, |records| {
            records.those(is_such).collect()
        })
    }

    /// Returns the addresses that a race begins with, in order: those of the answer, then the last resort.
    ///
    /// If connects to all addresses of the answer were slow, and no probe has connected since, one address that left
    /// goes first, and the addresses of the answer are probed.
    pub(super) fn all_for_race(&self, host: &Host, known: &CachedAnswer, now: Instant) -> AllAddrs {
        let trial = self.take_trial(host, known, now);
        let mut addrs = self.all_with_trial(host, known, trial, now);
        let left = self.left(host, known, now);
        if left.is_empty() {
            return addrs;
        }
        let hanging = self.those(host, |record| record.hangs(now), now);
        let hangs = |addr| hanging.contains(&addr) && trial != Some(addr);
        let leader = addrs::last_resort_leader(&addrs, &left, hangs);
        if let Some(leader) = leader {
            addrs.insert(0, leader);
            self.cache.probe_penalized(host, now);
        }
        addrs.extend_from_slice(&left[usize::from(leader.is_some())..]);
        addrs
    }
}
