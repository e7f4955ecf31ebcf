//! What a connect came to, and what follows for its addresses and its answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Shared;
use crate::attempt::{Made, Note, Slip};
use crate::blame::Reach;
use crate::cache::{Cause, Generation, Slot};
use crate::host::Host;
use crate::observe::Event;
use crate::order::Family;
use crate::outcome::{Blame, Outcome};
use crate::penalty::{Failure, Transition};
use crate::{blame, time};

/// How a connect ended, as far as a connector layer sees it.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// Connected.
    Connected {
        /// To this address, as the socket names it.
        peer: SocketAddr,
        /// From this one.
        local: SocketAddr,
    },
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
            Self::Connected { .. } | Self::Nameless => return None,
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
            &Ending::Connected { peer, local } => {
                self.network_works();
                self.connected(slip, reach, peer, local);
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

    fn connected(self: &Arc<Self>, slip: &Slip, reach: Reach, peer: SocketAddr, local: SocketAddr) {
        let winner = peer.ip();
        let now = time::now();
        let Some(note) = slip.note_with(winner) else {
            // Of an address in the URL: a retry has to tell it from an older one.
            return self.recent.note_dealt(local, now);
        };
        let dealt = note.dealt.as_slice();
        for loser in blame::losers(dealt, winner) {
            self.hold_against(&note, loser, &Failure::unseen(Outcome::Failed));
        }
        let late = now >= note.at + blame::HEAD_START;
        for (loser, why) in blame::overtaken(dealt, winner, late, reach) {
            self.hold_against(&note, loser, &Failure::softly(why));
        }
        // Of the losers too: where to ask whether they are back.
        self.book.learn_port(&note.host, peer.port());
        let peer = winner.to_canonical();
        self.book.has_route(Family::of(peer));
        self.clear(&note.host, peer, note.at, now);
        self.lately.note(&note.host, peer, note.at, now);
        self.made(note, peer, Some(local));
    }

    /// Whether a pending connect hangs at the head of its list while the host's other addresses
    /// connect.
    pub(crate) fn is_overtaken(&self, slip: &Slip) -> bool {
        let now = time::now();
        pending_at(slip)
            .is_some_and(|(note, head)| self.lately.has_overtaken(&note.host, head, note.at, now))
    }

    /// Whether a pending connect takes longer than its host's do.
    pub(crate) fn is_unusual(&self, slip: &Slip) -> bool {
        let pending = |note: &Note| time::now().saturating_duration_since(note.at);
        slip.only_note()
            .is_some_and(|note| self.lately.is_unusual(&note.host, pending(&note)))
    }

    /// Whether so do several, and there is somebody better to dial: it is no use to wait longer.
    pub(crate) fn is_hopeless(&self, slip: &Slip) -> bool {
        let now = time::now();
        pending_at(slip).is_some_and(|(note, head)| {
            self.lately.is_hanging(&note.host, head, now) && self.is_well_served(&note.host, now)
        })
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
            self.made(note, head, None);
        }
    }

    fn made(&self, note: Note, peer: IpAddr, local: Option<SocketAddr>) {
        self.recent.note(Made {
            host: note.host,
            generation: note.generation,
            peer,
            local,
            task: tokio::task::try_id(),
            dealt: note.at,
            at: time::now(),
        });
    }

    fn failed(self: &Arc<Self>, note: &Note, reach: Reach, failure: &Failure, after_tcp: bool) {
        let dealt = note.dealt.as_slice();
        match failure.why.blame() {
            Blame::None => {}
            Blame::Family => self.no_route(note),
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
        }
    }

    fn family_has_no_route(&self, family: Family) {
        let penalty = self.book.no_route(family, time::now());
        self.tell(&Event::NoRoute { family, penalty });
    }

    fn hold_against(self: &Arc<Self>, note: &Note, addr: IpAddr, failure: &Failure) {
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
                self.book.has_route(Family::of(addr));
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
                self.clear(host, addr, began, time::now());
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
        let marked = self
            .store
            .edit_present(host.as_str(), |slot| slot.invalidate(seen));
        if marked == Some(true) {
            let cause = Cause::ConnectFailed;
            self.tell(&Event::Invalidated {
                host: host.as_str(),
                cause,
            });
        }
        // Though it was marked before, this may have been its last healthy address.
        if marked == Some(true) || is_news {
            self.look_again(host);
        }
    }

    fn clear(&self, host: &Host, addr: IpAddr, began: Instant, now: Instant) {
        if self.book.succeed(host, addr, began, now) == Transition::Recovered {
            let healthy = |slot: &mut Slot| slot.health_is_left(true, now);
            self.store.edit_present(host.as_str(), healthy);
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
        if !asked_outside || self.warned.load(Ordering::Relaxed) {
            return;
        }
        let is_ours = self.store.any(|slot| {
            slot.known()
                .is_some_and(|known| known.addrs.contains(winner))
        });
        if is_ours && !self.warned.swap(true, Ordering::Relaxed) {
            self.tell(&Event::SlipLost { addr: winner });
        }
    }
}

/// The address that a pending connect is at, as far as can be told.
fn pending_at(slip: &Slip) -> Option<(Note, IpAddr)> {
    let note = slip.only_note()?;
    let head = note.dealt.as_slice().first()?.to_canonical();
    Some((note, head))
}

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
