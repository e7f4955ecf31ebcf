//! What a connect came to, and what follows for its addresses and its answer.

use std::error::Error as StdError;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::refresh::Urgency;
use super::{Shared, route};
use crate::attempt::{Fresh, Made, Note, Slip};
use crate::blame::Reach;
use crate::cache::{Cause, Generation, Slot};
use crate::ends::Ends;
use crate::health::Connect;
use crate::host::Host;
use crate::observe::Event;
use crate::order::Family;
use crate::outcome::{Blame, Outcome};
use crate::penalty::{Failure, Transition};
use crate::{blame, outcome, time};

/// How a connect ended, as far as a connector layer sees it.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// Connected, as the socket names its ends.
    Connected(Ends),
    /// Connected, and the socket no longer names its peer: mostly the peer is gone already.
    Nameless,
    /// Failed, with what the error said.
    Failed(Outcome, Arc<str>),
    /// Failed in TCP, at this address after those that were dealt with it.
    FailedAt(IpAddr, Outcome, Arc<str>),
    /// Pending for so long that it counts.
    Stalled,
    /// The layer itself gave it up; the addresses after the first may never have been dialled.
    GivenUp,
}

impl Ending {
    /// Returns what it says of the connect.
    pub(crate) fn outcome(&self) -> Outcome {
        self.clone()
            .failure()
            .map_or(Outcome::Connected, |(failure, _)| failure.why)
    }

    /// As a failure, and whether that came after TCP was up.
    pub(super) fn failure(self) -> Option<(Failure, bool)> {
        let (why, error, after_tcp) = match self {
            Self::Connected(_) | Self::Nameless => return None,
            Self::Failed(why, error) => (why, Some(error), why.is_after_tcp()),
            Self::FailedAt(_, why, error) => (why, Some(error), false),
            Self::Stalled => (Outcome::Stalled, None, true),
            Self::GivenUp => (Outcome::TimedOut, None, true),
        };
        let soft = why.blame() == Blame::Soft;
        Some((Failure { why, soft, error }, after_tcp))
    }

    /// The note that it is about. Of two names, as SOCKS asks for, neither can be blamed, unless the
    /// error names an address.
    pub(super) fn note(&self, slip: &Slip) -> Option<Note> {
        match self {
            Self::FailedAt(addr, ..) => slip.note_with(*addr),
            _ => slip.only_note(),
        }
    }
}

impl Shared {
    /// Takes the end of a connect with what its slip says.
    pub(crate) fn ended(self: &Arc<Self>, slip: &Slip, reach: Reach, ending: &Ending) {
        match ending {
            &Ending::Connected(ends) => {
                self.network_works();
                self.connected(slip, reach, ends);
            }
            Ending::Nameless => {
                self.network_works();
                self.nameless(slip, reach);
            }
            failed => {
                if let Some(note) = failed.note(slip)
                    && let Some((failure, after_tcp)) = failed.clone().failure()
                {
                    self.failed(&note, reach, &failure, after_tcp);
                }
            }
        }
    }

    /// Tells the two meanings of EADDRNOTAVAIL apart. Where every address that was dealt has a source
    /// address here, the local ports to one of them are used up, and no address is to blame. IPv6 without
    /// an address of this machine has no source address: there is no route.
    pub(crate) fn without_ports(
        &self,
        slip: &Slip,
        outcome: Outcome,
        error: &(dyn StdError + 'static),
    ) -> Outcome {
        if outcome != Outcome::NoRoute || !outcome::is_addr_not_available(error) {
            return outcome;
        }
        let has_source = |addr| route::source_of(addr).is_some();
        let have_sources = |note: Note| blame::all(note.dealt.as_slice()).all(has_source);
        match slip.only_note().is_some_and(have_sources) {
            true => Outcome::Local,
            false => outcome,
        }
    }

    fn connected(self: &Arc<Self>, slip: &Slip, reach: Reach, ends: Ends) {
        let winner = ends.remote.ip();
        let now = time::now();
        let Some(note) = slip.note_with(winner) else {
            return;
        };
        if (1..BLANK_SLIPS).contains(&self.blank.load(Ordering::Relaxed)) {
            self.blank.store(0, Ordering::Relaxed);
        }
        let dealt = note.dealt.as_slice();
        let losers: SmallVec<[IpAddr; 4]> = blame::losers(dealt, winner).collect();
        for &loser in &losers {
            self.hold_against(&note, loser, &Failure::unseen(Outcome::Failed));
        }
        let late = now >= note.at + blame::HEAD_START;
        let overtaken: SmallVec<[_; 4]> = blame::overtaken(dealt, winner, late, reach).collect();
        let is_second = late && !overtaken.is_empty();
        let head_start = if is_second {
            blame::HEAD_START
        } else {
            Duration::ZERO
        };
        let began = note.at + head_start;
        let took = now.saturating_duration_since(began);
        let (port, peer) = (ends.remote.port(), ends.addr());
        let is_remembered = self.config.last_resort && note.source.is_of_lookup();
        let connect = Connect {
            addr: peer,
            port,
            began,
            took,
            is_remembered,
        };
        self.connects.connected(&note.host, &connect);
        self.book.connects(Family::of(peer));
        self.clear(&note.host, peer, note.at, now);
        if self.book.holds(&note.host) {
            self.probe_doubted(&note.host, now);
        }
        for (loser, why) in overtaken {
            match why {
                Outcome::Stalled if late => self.beaten(&note, loser, now),
                _ => self.hold_against(&note, loser, &Failure::softly(why)),
            }
        }
        self.made(note, peer, losers, Some(ends));
    }

    /// Nothing is known of the connection; should it die without an answer, the head of the list
    /// is the likeliest peer.
    ///
    /// hyper-util's connector names every peer but one that is gone already. One that never names any
    /// is of another kind, and it works: so does the address, if it was dealt no other.
    fn nameless(&self, slip: &Slip, reach: Reach) {
        let Some(note) = slip.only_note() else {
            return;
        };
        let (head, is_alone) = {
            let mut dealt = blame::all(note.dealt.as_slice());
            (dealt.next(), dealt.next().is_none())
        };
        if let Some(head) = head {
            if is_alone && !reach.is_any() {
                self.clear(&note.host, head, note.at, time::now());
            }
            self.made(note, head, SmallVec::new(), None);
        }
    }

    /// Notes a connection to `peer`, which was attempted after `losers`.
    fn made(&self, note: Note, peer: IpAddr, losers: SmallVec<[IpAddr; 4]>, ends: Option<Ends>) {
        let mut attempted = losers;
        attempted.push(peer);
        let made = Made {
            host: note.host,
            generation: note.generation,
            peer,
            ends,
            task: tokio::task::try_id(),
            attempted,
            at: time::now(),
            died: None,
        };
        Fresh::note(&made);
        self.recent.note(made);
    }

    fn failed(self: &Arc<Self>, note: &Note, reach: Reach, failure: &Failure, after_tcp: bool) {
        let dealt = note.dealt.as_slice();
        match failure.why.blame() {
            Blame::None => {}
            Blame::Family => self.no_route(note),
            Blame::Soft if failure.why == Outcome::Stalled => {
                for addr in dialled(dealt, reach, failure.why, after_tcp) {
                    self.slow(note, addr);
                }
            }
            Blame::Soft | Blame::Hard => {
                for addr in dialled(dealt, reach, failure.why, after_tcp) {
                    let certain = match after_tcp {
                        true => !blame::has_two_families(dealt),
                        false => blame::is_certain(dealt, addr, reach),
                    };
                    let soft = failure.soft || !certain;
                    let failure = failure.clone();
                    self.hold_against(note, addr, &Failure { soft, ..failure });
                }
            }
        }
    }

    /// Where one family was dealt it has no route. Where both were, both have failed and the error
    /// is one's: all may be gone, so they are looked up again, and none is blamed for certain.
    fn no_route(self: &Arc<Self>, note: &Note) {
        let dealt = note.dealt.as_slice();
        if blame::has_two_families(dealt) {
            let failure = Failure::softly(Outcome::Failed);
            return blame::all(dealt).for_each(|addr| self.hold_against(note, addr, &failure));
        }
        if let Some(first) = blame::all(dealt).next() {
            self.family_has_no_route(Family::of(first));
            self.complete(note);
        }
    }

    /// A partial answer whose only family has no route is looked up again at once: this time the
    /// lookup waits for the other family.
    fn complete(self: &Arc<Self>, note: &Note) {
        let (host, now) = (&note.host, time::now());
        let invalidate = |slot: &mut Slot| slot.invalidate_partial(note.generation, now);
        if self.store.edit_present(host, invalidate) == Some(true) {
            let cause = Cause::ConnectFailed;
            self.tell(&Event::Invalidated {
                host: host.as_str(),
                cause,
            });
            // Without a lookup behind it the next caller asks.
            let _ = self.ask(host, cause);
        }
    }

    fn family_has_no_route(&self, family: Family) {
        let penalty = self.book.no_route(family, time::now());
        self.tell(&Event::NoRoute { family, penalty });
    }

    pub(super) fn hold_against(self: &Arc<Self>, note: &Note, addr: IpAddr, failure: &Failure) {
        let is_news = self.penalise(&note.host, addr, failure, note.at);
        self.suspect(&note.host, note.generation, is_news);
    }

    /// Takes a report of a caller that dials for itself: about what is known now.
    pub(super) fn report_by_hand(self: &Arc<Self>, host: &Host, addr: IpAddr, outcome: Outcome) {
        self.report(host, addr, &Failure::unseen(outcome));
    }

    pub(super) fn report(self: &Arc<Self>, host: &Host, addr: IpAddr, report: &Failure) {
        let now = time::now();
        let Some(known) = self.current(host, now) else {
            return;
        };
        if !known.addrs.contains(addr) {
            return;
        }
        let generation = known.generation;
        match report.why.blame() {
            Blame::None if report.why == Outcome::Connected => {
                self.network_works();
                self.book.connects(Family::of(addr));
                self.clear(host, addr, now, now);
            }
            Blame::None => {}
            Blame::Family => self.family_has_no_route(Family::of(addr)),
            Blame::Soft | Blame::Hard => {
                let is_news = self.penalise(host, addr, report, now);
                self.suspect(host, generation, is_news);
            }
        }
    }

    /// Takes the end of a connect of our own to an address whose penalty was over. What says nothing
    /// about the address leaves it to the next trial.
    pub(super) fn probed(&self, host: &Host, addr: IpAddr, probed: &Failure, began: Instant) {
        match probed.why.blame() {
            Blame::None if probed.why == Outcome::Connected => {
                self.network_works();
                self.book.connects(Family::of(addr));
                let now = time::now();
                let change = self.book.accepts(host, addr, began, now);
                self.tell_recovered(host, addr, change);
            }
            Blame::None | Blame::Family => {}
            Blame::Soft | Blame::Hard => {
                self.penalise(host, addr, probed, began);
            }
        }
    }

    /// Returns whether the address stands elsewhere now.
    pub(super) fn penalise(
        &self,
        host: &Host,
        addr: IpAddr,
        failure: &Failure,
        began: Instant,
    ) -> bool {
        let now = time::now();
        if self.was_elsewhere(began) {
            return false;
        }
        // A connection that was made and failed later says that the network is there.
        if !failure.why.is_after_connect() && !self.is_about_the_address(host, addr, now) {
            return false;
        }
        let rng = fastrand::Rng::new();
        let (hard, penalty) = match self.book.fail(host, addr, failure, began, now, &rng) {
            Transition::Suspected(penalty) => (false, penalty),
            Transition::Penalised(penalty) => (true, penalty),
            Transition::None | Transition::Recovered => return false,
        };
        self.tell(&Event::AddressFailed {
            host: host.as_str(),
            addr,
            outcome: failure.why,
            error: failure.error.as_deref(),
            penalty,
            hard,
        });
        true
    }

    /// Marks the answer that was dealt and has the host looked up again; a newer one is left alone.
    pub(super) fn suspect(self: &Arc<Self>, host: &Host, seen: Generation, is_news: bool) {
        let marked = self.store.edit_present(host, |slot| slot.invalidate(seen));
        if marked == Some(true) {
            let cause = Cause::ConnectFailed;
            self.tell(&Event::Invalidated {
                host: host.as_str(),
                cause,
            });
        }
        // Though it was marked before, this may have been its last healthy address.
        if marked == Some(true) || is_news {
            self.look_again(host, Urgency::Usual);
        }
    }

    fn clear(&self, host: &Host, addr: IpAddr, began: Instant, now: Instant) {
        let change = self.book.succeed(host, addr, began, now);
        self.tell_recovered(host, addr, change);
    }

    fn tell_recovered(&self, host: &Host, addr: IpAddr, change: Transition) {
        if change == Transition::Recovered {
            let healthy = |slot: &mut Slot| slot.health_is_left(true);
            self.store.edit_present(host, healthy);
            self.tell(&Event::AddressRecovered {
                host: host.as_str(),
                addr,
            });
        }
    }

    /// Warns once when a connect ended with a blank slip at an address of ours, and the resolver
    /// was asked outside of any slip meanwhile. A blank slip alone means nothing: an address in
    /// the URL or an override asks nobody.
    pub(crate) fn check_blank_slip(&self, asked_before: u64, winner: IpAddr) {
        let winner = winner.to_canonical();
        let asked_outside = self.unslipped() != asked_before;
        self.count_blank_slip(asked_outside, winner);
        if !asked_outside || self.warned.load(Ordering::Relaxed) {
            return;
        }
        let is_ours = self.was_dealt_outside(winner);
        if is_ours && !self.warned.swap(true, Ordering::Relaxed) {
            self.tell(&Event::SlipLost { addr: winner });
        }
    }

    /// Warns once when so many connects in a row asked for no name. A few mean nothing: an address in the
    /// URL needs no name.
    fn count_blank_slip(&self, asked_outside: bool, winner: IpAddr) {
        if asked_outside || self.blank.load(Ordering::Relaxed) >= BLANK_SLIPS {
            return;
        }
        let connects = self.blank.fetch_add(1, Ordering::Relaxed) + 1;
        if connects == BLANK_SLIPS {
            let addr = winner;
            self.tell(&Event::NeverAsked { addr, connects });
        }
    }
}

/// Connects in a row without a name that the log warns of.
const BLANK_SLIPS: u32 = 20;

/// The addresses that a connect which ended so has dialled, as far as can be told.
pub(super) fn dialled(
    dealt: &[IpAddr],
    reach: Reach,
    why: Outcome,
    after_tcp: bool,
) -> Vec<IpAddr> {
    match why.blame() {
        Blame::None => Vec::new(),
        Blame::Family | Blame::Soft | Blame::Hard if after_tcp => {
            blame::head(dealt, reach).into_iter().collect()
        }
        Blame::Family | Blame::Soft | Blame::Hard => blame::all(dealt).collect(),
    }
}
