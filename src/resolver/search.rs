//! A slow connect: which address is suspect, and whether there is something better to connect to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::Shared;
use super::refresh::Urgency;
use super::resolve::rank;
use crate::attempt::{AllAddrs, Note, Slip};
use crate::cache::{Known, Origin};
use crate::host::Host;
use crate::observe::Event;
use crate::order::{Family, MAX_ADDRS};
use crate::outcome::Outcome;
use crate::penalty::{Failure, Rank, Record};
use crate::{blame, slow, time};

impl Shared {
    /// Returns after what time a connect to a host is slow.
    pub(crate) fn slow_after(&self, host: &Host) -> Duration {
        let recent = || slow::after(self.connects.took(host));
        self.config.stalled_after.unwrap_or_else(recent)
    }

    /// The same for an attempt of a race.
    pub(crate) fn slow_after_in_race(&self, host: &Host) -> Duration {
        let recent = || slow::after_in_race(self.connects.took(host));
        self.config.stalled_after.unwrap_or_else(recent)
    }

    /// Returns how long a race to a host waits for an attempt before it starts the next one.
    pub(crate) fn attempt_delay(&self, host: &Host) -> Duration {
        let recent = || slow::attempt_delay(self.connects.took(host));
        self.config.attempt_delay.unwrap_or_else(recent)
    }

    /// Returns which of the waiting addresses of a race may be connected to because of time, while its attempts are
    /// pending since `since`.
    ///
    /// | which | if |
    /// |---|---|
    /// | one that has connected meanwhile | the attempts are slow |
    /// | the first by rank | the budget of the host allows |
    pub(crate) fn start_in_time(
        &self,
        host: &Host,
        waiting: &[IpAddr],
        since: Instant,
        now: Instant,
    ) -> Option<IpAddr> {
        let is_slow = now >= since + self.slow_after_in_race(host);
        let connects = |addr: &&IpAddr| self.connects.has_connected_to(**addr, host, since);
        let known = waiting.iter().find(connects).filter(|_| is_slow);
        let by_budget = || {
            let first = self.book.read(host.as_str(), now, |page| {
                waiting.iter().min_by_key(|addr| rank(page, **addr, now))
            })?;
            self.connects.take_from_budget(host, now).then_some(first)
        };
        known.or_else(by_budget).copied()
    }

    /// Takes a connect that is slow at an address: the address is suspect, and the host is looked up again at
    /// once.
    ///
    /// While no other address that a connect may go to is healthy, a second slow connect adds no strike: all
    /// addresses of the host are slow together, so the network or the host is.
    ///
    /// If a later connect to the address has succeeded, the address is not slow. What is slow lies behind the address,
    /// or is the TLS of this one connect.
    pub(super) fn slow(self: &Arc<Self>, note: &Note, addr: IpAddr) {
        if self.connects_for_others(note, addr) {
            return;
        }
        let now = time::now();
        let known = self.current(&note.host, now);
        let targets = known.map(|known| self.targets(note, &known, now));
        let targets = targets.unwrap_or_default();
        let counts = self.book.read(note.host.as_str(), now, |page| {
            let is_healthy = |other: &IpAddr| rank(page, *other, now) <= Rank::Healthy;
            let mut others = targets.iter().filter(|other| **other != addr);
            is_healthy(&addr) || others.any(is_healthy)
        });
        if counts {
            self.hold_against(note, addr, &Failure::unseen(Outcome::Stalled));
        }
        self.search(note);
    }

    /// Has the host of a slow connect looked up again at once.
    pub(crate) fn search(self: &Arc<Self>, note: &Note) {
        self.suspect(&note.host, note.generation, false);
        self.look_again(&note.host, Urgency::Now);
    }

    /// Has the host of a connect that is slow for long looked up again, as soon as that is due. The current answer is
    /// suspect too if it names the address that the connect hangs at.
    pub(crate) fn search_again(self: &Arc<Self>, note: &Note, now: Instant) {
        if let Some(known) = self.current(&note.host, now)
            && !has_moved(&known, note)
        {
            self.suspect(&note.host, known.generation, false);
            self.look_again(&note.host, Urgency::Now);
        }
    }

    /// Takes a connect that was pending at `addr` while another address of the host connected that was tried a
    /// whole delay later. If it was slow by the recent connects, the address is suspect. If not, the network may
    /// be slow, and a probe decides.
    pub(super) fn beaten(self: &Arc<Self>, note: &Note, addr: IpAddr, now: Instant) {
        if self.connects_for_others(note, addr) {
            return;
        }
        let pending = now.saturating_duration_since(note.at);
        let is_slow = match self.config.stalled_after {
            Some(after) => pending >= after,
            None => slow::is_beaten(pending, self.connects.took(&note.host)),
        };
        match is_slow {
            true => self.hold_against(note, addr, &Failure::unseen(Outcome::Stalled)),
            false => self.doubt(&note.host, addr, now),
        }
        self.deprioritize_if_dark(note, addr, now);
    }

    /// Puts the family of an address that was slow second as a whole, if it is dark while the other family connects.
    fn deprioritize_if_dark(&self, note: &Note, addr: IpAddr, now: Instant) {
        let (host, family) = (&note.host, Family::of(addr));
        let other_connects = self
            .connects
            .has_connected_in(family.other(), host, note.at);
        let penalty = other_connects.then(|| self.book.deprioritize_if_dark(addr, now));
        if let Some(penalty) = penalty.flatten() {
            self.tell(&Event::FamilyDark {
                host: host.as_str(),
                family,
                penalty,
            });
        }
    }

    /// Doubts an address until a probe has decided.
    fn doubt(self: &Arc<Self>, host: &Host, addr: IpAddr, now: Instant) {
        if self.book.doubt(host, addr, self.config.probe, now) {
            self.probe_doubted(host, now);
        }
    }

    /// Starts the probes of a host's addresses in doubt. Without a known port nothing starts: a connect notes the port
    /// first and calls this method then, so that no doubt is missed.
    pub(super) fn probe_doubted(self: &Arc<Self>, host: &Host, now: Instant) {
        if let Some(port) = self.connects.port(host)
            && Handle::try_current().is_ok()
        {
            for addr in self.book.take_probes(host, now) {
                self.probe(host, addr, port);
            }
        }
    }

    /// Takes an attempt that lost a race by a whole delay; see [`beaten`](Self::beaten).
    pub(crate) fn lost(self: &Arc<Self>, slip: &Slip) {
        if let Some(note) = slip.only_note()
            && let Some(addr) = head(&note)
        {
            self.beaten(&note, addr, time::now());
        }
    }

    /// Takes the give-up of a slow connect, and doubts the first address of its second lane. That lane is slow, too, or
    /// has not started because the first lane hangs after TCP. If TCP is known to be up, nothing is doubted.
    pub(crate) fn doubt_second_lane(self: &Arc<Self>, note: &Note, is_up: bool) {
        if let Some(addr) = second_head(note).filter(|_| !is_up)
            && !self.connects_for_others(note, addr)
        {
            self.doubt(&note.host, addr, time::now());
        }
    }

    /// Returns whether a slow connect is better given up and made again: none of the addresses that it may be
    /// pending at is in the current answer, or, once all lanes are slow, a healthy address is left.
    ///
    /// While nothing has connected since the connect began, the whole host may be slow. So a give-up for another
    /// address takes one attempt from the host's budget, and is allowed for one round only; see [`slow::round`].
    /// If each answer differs from the last, two give-ups find out whether DNS has moved; see [`slow::moved`].
    pub(crate) fn is_better_given_up(&self, note: &Note, is_up: bool, now: Instant) -> bool {
        let Some(known) = self.current(&note.host, now) else {
            return false;
        };
        if has_moved(&known, note) {
            return self.connects.has_connected_since(&note.host, note.at)
                || self.connects.take_move(&note.host, now);
        }
        let is_alive = head(note).is_some_and(|head| self.connects_for_others(note, head));
        !is_alive
            && now >= self.all_slow_at(note, is_up)
            && self.has_other(
                note,
                &known,
                |record| record.rank(now) <= Rank::Healthy,
                now,
            )
            && (self.connects.has_connected_since(&note.host, note.at)
                || self.connects.take_give_up(&note.host, now))
    }

    /// Returns when all lanes of a connect are slow. Once TCP is up, there is one lane. A second lane whose first
    /// address connects for other requests is slow soon after its start.
    pub(crate) fn all_slow_at(&self, note: &Note, is_up: bool) -> Instant {
        let slow_at = note.at + self.slow_after(&note.host);
        match second_head(note).filter(|_| !is_up) {
            None => slow_at,
            Some(addr) if self.connects_for_others(note, addr) => {
                let soon = slow::lane(self.connects.took(&note.host));
                slow_at.max(note.at + blame::HEAD_START) + soon
            }
            Some(_) => slow_at + blame::HEAD_START,
        }
    }

    /// Whether a connect to this address that began after this one has succeeded.
    fn connects_for_others(&self, note: &Note, addr: IpAddr) -> bool {
        self.connects.has_connected_to(addr, &note.host, note.at)
    }

    /// Returns whether there is another address to connect to than the one that a connect hangs at: one that has no
    /// penalty and does not hang itself.
    pub(crate) fn may_connect_elsewhere(&self, note: &Note, now: Instant) -> bool {
        self.current(&note.host, now).is_some_and(|known| {
            let is_open = |record: &Record| {
                !matches!(record.rank(now), Rank::Penalised(_)) && !record.hangs(now)
            };
            self.has_other(note, &known, is_open, now)
        })
    }

    /// Returns the addresses that a connect to a host can go to: those of the answer, and what it is dealt of the last
    /// resort.
    fn targets(&self, note: &Note, known: &Known, now: Instant) -> AllAddrs {
        let mut targets = AllAddrs::from_slice(known.addrs.as_slice());
        targets.extend(self.dealt_left(&note.host, known, now));
        targets
    }

    /// Returns whether another address than the one that a connect hangs at has no record or such a one.
    fn has_other(
        &self,
        note: &Note,
        known: &Known,
        is_such: impl Fn(&Record) -> bool,
        now: Instant,
    ) -> bool {
        let head = head(note);
        let targets = self.targets(note, known, now);
        self.book.read(note.host.as_str(), now, |page| {
            let mut others = targets.iter();
            let record = |addr| page.iter().find(|(other, _)| *other == addr);
            let is_such = |addr| record(addr).is_none_or(|(_, record)| is_such(record));
            others.any(|addr| Some(*addr) != head && is_such(*addr))
        })
    }
}

/// Whether DNS has other addresses now than when the connect began. An answer with so many addresses that some are left
/// out does not tell.
fn has_moved(known: &Known, note: &Note) -> bool {
    let mut pending = head(note).into_iter().chain(second_head(note));
    known.generation != note.generation
        && matches!(known.origin, Origin::Lookup | Origin::Pin)
        && (1..MAX_ADDRS).contains(&known.addrs.as_slice().len())
        && !pending.any(|addr| known.addrs.contains(addr))
}

/// The address that a connect hangs at, as far as can be told.
fn head(note: &Note) -> Option<IpAddr> {
    note.dealt.as_slice().first().map(IpAddr::to_canonical)
}

/// The first address of the second lane, which the connector tries beside the first.
fn second_head(note: &Note) -> Option<IpAddr> {
    blame::second_head(note.dealt.as_slice()).map(|addr| addr.to_canonical())
}
