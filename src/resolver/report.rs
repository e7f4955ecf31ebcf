//! What a connect came to, and what follows for its addresses and its answer.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Shared;
use crate::attempt::{Note, Slip};
use crate::cache::{Cause, Generation};
use crate::host::Host;
#[cfg(feature = "reqwest")]
use crate::host::{self, Parsed};
use crate::observe::Event;
use crate::order::Family;
use crate::outcome::{Blame, Outcome};
use crate::penalty::Transition;
use crate::{blame, time};

/// How a connect ended, as far as a connector layer sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// Connected to this address, as the socket names it.
    Connected(IpAddr),
    /// Failed, or pending for so long that it counts.
    Failed(Outcome),
    /// The layer itself gave it up; the addresses after the first may never have been dialled.
    GivenUp,
}

impl Shared {
    /// Takes the end of a connect with what its slip says.
    pub(crate) fn ended(&self, slip: &Slip, ending: Ending) {
        match ending {
            Ending::Connected(winner) => self.connected(slip, winner),
            Ending::Failed(outcome) => self.failed(slip, outcome, outcome.is_after_tcp()),
            Ending::GivenUp => self.failed(slip, Outcome::TimedOut, true),
        }
    }

    fn connected(&self, slip: &Slip, winner: IpAddr) {
        let Some(note) = slip.note_with(winner) else {
            return;
        };
        let dealt = note.dealt.as_slice();
        for loser in blame::losers(dealt, winner) {
            self.hold_against(&note, loser, Outcome::Failed);
        }
        let late = time::now() >= note.at + blame::HEAD_START;
        if let Some(head) = blame::stuck(dealt, winner, late) {
            self.hold_against(&note, head, Outcome::Stalled);
        }
        self.clear(&note.host, winner.to_canonical());
    }

    fn failed(&self, slip: &Slip, outcome: Outcome, only_the_first: bool) {
        // Of two names, as SOCKS asks for, neither can be blamed.
        let Some(note) = slip.only_note() else {
            return;
        };
        let dealt = note.dealt.as_slice();
        if outcome.blame() == Blame::Family {
            return self.no_route(dealt);
        }
        for addr in blame::failed(dealt, only_the_first) {
            self.hold_against(&note, addr, outcome);
        }
    }

    /// Which family had no route can be told only where one was dealt.
    fn no_route(&self, dealt: &[IpAddr]) {
        let mut families = dealt.iter().map(|addr| Family::of(addr.to_canonical()));
        let Some(family) = families
            .next()
            .filter(|first| families.all(|other| other == *first))
        else {
            return;
        };
        self.family_has_no_route(family);
    }

    fn family_has_no_route(&self, family: Family) {
        let penalty = self.book.no_route(family, time::now());
        self.tell(&Event::NoRoute {
            ipv6: family == Family::V6,
            penalty,
        });
    }

    fn hold_against(&self, note: &Note, addr: IpAddr, outcome: Outcome) {
        self.penalise(&note.host, addr, outcome, note.at);
        self.suspect(&note.host, outcome, note.generation);
    }

    /// Takes a report of a caller that dials for itself: about what is known now.
    pub(super) fn report_by_hand(&self, host: &Host, addr: IpAddr, outcome: Outcome) {
        let now = time::now();
        let generation = self.store.read(host.as_str(), now, |_, slot| {
            slot.known()
                .filter(|known| known.addrs.contains(addr))
                .map(|known| known.generation)
        });
        let Some(generation) = generation.flatten() else {
            return;
        };
        match outcome.blame() {
            Blame::None if outcome == Outcome::Connected => self.clear(host, addr),
            Blame::None => {}
            Blame::Family => self.family_has_no_route(Family::of(addr)),
            Blame::Soft | Blame::Hard => {
                self.penalise(host, addr, outcome, now);
                self.suspect(host, outcome, generation);
            }
        }
    }

    fn penalise(&self, host: &Host, addr: IpAddr, outcome: Outcome, began: Instant) {
        if outcome.blame() == Blame::None {
            return;
        }
        let now = time::now();
        let rng = fastrand::Rng::new();
        let (hard, penalty) = match self.book.fail(host, addr, outcome, began, now, &rng) {
            Transition::Suspected(penalty) => (false, penalty),
            Transition::Penalised(penalty) => (true, penalty),
            Transition::None | Transition::Recovered => return,
        };
        let host = host.as_str();
        self.tell(&Event::AddressFailed {
            host,
            addr,
            outcome,
            penalty,
            hard,
        });
    }

    /// Marks the answer that was dealt; a newer one is left alone.
    fn suspect(&self, host: &Host, outcome: Outcome, seen: Generation) {
        if !outcome.looks_up_again() {
            return;
        }
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
    }

    fn clear(&self, host: &Host, addr: IpAddr) {
        if self.book.succeed(host, addr, time::now()) == Transition::Recovered {
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

    /// Whether dialling this host again now may end otherwise: an address is left that nothing is
    /// held against, or a fresh answer is to be had. `None` when the host is not known here, as
    /// behind a proxy.
    #[cfg(feature = "reqwest")]
    pub(crate) fn has_hope(&self, host: &str) -> Option<bool> {
        let Ok(Parsed::Name(host)) = host::parse(host) else {
            return None;
        };
        let now = time::now();
        self.store
            .read(host.as_str(), now, |host, slot| {
                let known = slot.known()?;
                Some(self.health_left(host, known, now) || slot.expects_news(now))
            })
            .flatten()
    }
}
