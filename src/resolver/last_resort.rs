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
use crate::order::{self, Dealt};
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

    /// Adds them to what a connect is dealt, if that is the whole answer. Returns how many addresses the second
    /// lane turns.
    #[inline(never)]
    pub(super) fn add_last_resort(
        &self,
        host: &Host,
        known: &Known,
        dealt: &mut Dealt,
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
        let goes_last = self.those_behind_last_resort(host, now);
        order::add_last_resort(dealt, &left, |addr| goes_last.contains(&addr))
    }

    /// Returns the addresses of a host that go behind its last resort.
    fn those_behind_last_resort(&self, host: &Host, now: Instant) -> AllAddrs {
        self.book.read(host.as_str(), now, |page| {
            let all = page.iter();
            let goes_last = |record: &Record| record.goes_behind_last_resort(now);
            all.filter(|(_, record)| goes_last(record))
                .map(|(addr, _)| *addr)
                .collect()
        })
    }

    /// Returns the addresses that a race begins with, in their order: those of the answer, and the last resort where
    /// a connect would have it.
    pub(super) fn all_for_race(
        self: &Arc<Self>,
        host: &Host,
        known: &Known,
        now: Instant,
    ) -> AllAddrs {
        let mut addrs = self.all_in_order(host, known, now);
        let left = self.left(host, known, now);
        if !left.is_empty() {
            let goes_last = self.those_behind_last_resort(host, now);
            let (last, first): (AllAddrs, _) =
                addrs.drain(..).partition(|addr| goes_last.contains(addr));
            addrs = first;
            addrs.extend(left);
            addrs.extend(last);
        }
        addrs
    }
}
