//! What became of a connection that was made, and what a retry may hope for.

use std::error::Error as StdError;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use super::Shared;
use crate::attempt::Made;
#[cfg(feature = "__again")]
use crate::cache::{Known, Origin};
use crate::early::EarlyClose;
use crate::ends::Ends;
#[cfg(feature = "__again")]
use crate::health::Left;
use crate::host::Host;
#[cfg(feature = "__again")]
use crate::order::PER_FAMILY;
use crate::outcome::{self, Outcome};
use crate::penalty::Failure;
#[cfg(feature = "__again")]
use crate::penalty::Rank;
use crate::time;

impl Shared {
    /// Takes a response that counts against the address it came from.
    pub(crate) fn unavailable(self: &Arc<Self>, host: &str, addr: IpAddr, said: &str) {
        if let Some(host) = self.host(host) {
            let failure = Failure {
                error: Some(said.into()),
                ..Failure::unseen(Outcome::Unavailable)
            };
            self.report(&host, addr.to_canonical(), &failure);
        }
    }

    /// Takes the death of a connection before the first byte of a response. The local address names the
    /// connection. If the error has none, because no request was on the connection yet, the connection is the one
    /// that was made to the host a short while ago. A connection that has answered is not blamed. `retried` is
    /// when the request was sent again, if it was.
    ///
    /// A proxy that requests are forwarded to answers for itself. Through a tunnel, which nobody says
    /// but its other host, it may as well be the origin that broke off.
    ///
    /// Returns the addresses that were attempted until the connection was made, if it was made a
    /// short while ago.
    pub(crate) fn closed_early(
        self: &Arc<Self>,
        host: &str,
        early: EarlyClose,
        retried: Option<Instant>,
        error: &(dyn StdError + 'static),
    ) -> SmallVec<[IpAddr; 4]> {
        let now = time::now();
        let host = self.host(host);
        if let Some(addr) = early.silent {
            return self.went_silent(host.as_ref(), addr, early, error);
        }
        let made = match (early.ends, &host) {
            (Some(ends), _) => self.recent.take(ends, now),
            (None, Some(host)) => self.recent.take_unnamed(host.as_str(), retried, now),
            (None, None) => None,
        };
        let Some(made) = made else {
            return SmallVec::new();
        };
        let is_dialled = host.is_some_and(|host| host.as_str() == made.host.as_str());
        if early.forwarded || is_dialled {
            let closed = Failure {
                error: Some(outcome::text(error)),
                ..Failure::unseen(Outcome::ClosedEarly)
            };
            let is_news = self.penalise(&made.host, made.peer, &closed, made.at);
            self.suspect(&made.host, made.generation, is_news);
        }
        made.attempted
    }

    /// Takes the silence of a connection of any age. The silence of a proxy is attributed to no address, because
    /// the origin behind the proxy may be silent.
    fn went_silent(
        self: &Arc<Self>,
        host: Option<&Host>,
        addr: IpAddr,
        early: EarlyClose,
        error: &(dyn StdError + 'static),
    ) -> SmallVec<[IpAddr; 4]> {
        let addr = addr.to_canonical();
        if let Some(ends) = early.ends {
            self.recent.take(ends, time::now());
        }
        if let Some(host) = host {
            let silent = Failure {
                error: Some(outcome::text(error)),
                ..Failure::unseen(Outcome::Silent)
            };
            self.report(host, addr, &silent);
        }
        SmallVec::from_slice(&[addr])
    }

    /// Takes the end of a request that has waited for its response for so long that it counts, on a
    /// connection that was made for it.
    pub(crate) fn slow_response(self: &Arc<Self>, made: &Made) {
        if let Some(ends) = made.ends {
            self.recent.take(ends, time::now());
        }
        let slow = Failure::unseen(Outcome::Silent);
        let is_news = self.penalise(&made.host, made.peer, &slow, made.at);
        self.suspect(&made.host, made.generation, is_news);
    }

    /// Takes an answer on the connection with these ends: it works.
    pub(crate) fn answered_on(&self, ends: Ends) {
        let now = time::now();
        if !self.recent.is_empty(now) {
            self.recent.take(ends, now);
        }
    }

    /// Takes an answer: what the task has made to the host works.
    pub(crate) fn answered(&self, host: &str) {
        let now = time::now();
        if !self.recent.is_empty(now)
            && let Some(host) = self.host(host)
        {
            // Nobody has asked for a host behind a proxy: what was made is to the proxy.
            let asked = self.store.peek(host.as_str(), |_| ()).is_some();
            let dialled = asked.then_some(host.as_str());
            let task = tokio::task::try_id();
            self.recent.answered(dialled, task, now);
        }
    }

    /// What dialling this host again now may come to. `None` when the host is not known here, as
    /// behind a proxy.
    #[cfg(feature = "__again")]
    pub(crate) fn hope(&self, host: &str) -> Option<Hope> {
        let host = self.host(host)?;
        let now = time::now();
        let known = self.current(&host, now)?;
        let left = self.dealt_left(&host, &known, now);
        let news = self
            .store
            .peek(host.as_str(), |slot| slot.expects_news(now));
        let best = self.best_rank(&host, &known, now);
        Some(Hope {
            is_healthy: best.is_some_and(|rank| rank <= Rank::Healthy),
            may_connect: best.is_some_and(|rank| rank <= Rank::Doubtful),
            news: known.origin != Origin::Pin && news == Some(true),
            next: known.addrs.dealt(PER_FAMILY) + left.len(),
            left,
            known,
        })
    }
}

/// What connecting to a host again can come to.
#[cfg(feature = "__again")]
#[derive(Clone, Debug)]
pub(crate) struct Hope {
    pub(crate) known: Arc<Known>,
    /// Addresses that left, which the next connect may try as its last resort.
    pub(crate) left: Left,
    /// Whether a healthy address is left.
    pub(crate) is_healthy: bool,
    /// Whether an address is left that is healthy or in doubt.
    pub(crate) may_connect: bool,
    /// Whether a fresh answer is wanted and can be had.
    pub(crate) news: bool,
    /// How many addresses the next connect is dealt.
    pub(crate) next: usize,
}
