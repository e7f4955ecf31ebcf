//! What became of a connection that was made, and what a retry may hope for.

use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::Shared;
#[cfg(feature = "__again")]
use crate::cache::Origin;
use crate::early::EarlyClose;
use crate::host::{self, Parsed};
#[cfg(feature = "__again")]
use crate::order::PER_FAMILY;
use crate::outcome::{self, Outcome};
use crate::penalty::Failure;
use crate::time;

impl Shared {
    /// Takes a response that counts against the address it came from.
    pub(crate) fn unavailable(self: &Arc<Self>, host: &str, addr: IpAddr, said: &str) {
        if let Some(host) = host::parse(host).ok().and_then(Parsed::host) {
            let failure = Failure {
                error: Some(said.into()),
                ..Failure::unseen(Outcome::Unavailable)
            };
            self.report(&host, addr.to_canonical(), &failure);
        }
    }

    /// Takes the death of a connection before the first byte of a response. Known by its local
    /// address, or, where it died so soon that nobody names it, as what this task has made to the
    /// host. One that has answered, or was not made a short while ago, is not blamed.
    ///
    /// A proxy that requests are forwarded to answers for itself. Through a tunnel, which nobody says
    /// but its other host, it may as well be the origin that broke off.
    ///
    /// Returns when the connection's address was dealt, if that is known.
    pub(crate) fn closed_early(
        self: &Arc<Self>,
        host: &str,
        early: EarlyClose,
        error: &(dyn StdError + 'static),
    ) -> Option<Instant> {
        let now = time::now();
        let host = host::parse(host).ok().and_then(Parsed::host);
        let made = match (early.local, &host) {
            (Some(local), _) => self.recent.take(local, now),
            (None, Some(host)) => self
                .recent
                .take_of(host.as_str(), tokio::task::try_id(), now),
            (None, None) => None,
        };
        let Some(made) = made else {
            return early.local.and_then(|local| self.recent.dealt(local));
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
        Some(made.dealt)
    }

    /// The request of this task was on its way once when its connection died, and the next time is
    /// its last: until it ends the task is dealt what is least likely to do that.
    #[cfg(feature = "__again")]
    pub(crate) fn begin_care(&self) {
        self.careful.begin(tokio::task::try_id(), time::now());
    }

    /// The request of this task has ended.
    #[cfg(feature = "__again")]
    pub(crate) fn end_care(&self) {
        self.careful.end(tokio::task::try_id());
    }

    #[cfg(feature = "__again")]
    pub(super) fn is_careful(&self, now: Instant) -> bool {
        self.careful.holds(tokio::task::try_id(), now)
    }

    /// Only retries ask for care.
    #[cfg(not(feature = "__again"))]
    pub(super) fn is_careful(&self, _: Instant) -> bool {
        false
    }

    /// Takes an answer on the connection from this address: it works.
    pub(crate) fn answered_on(&self, local: SocketAddr) {
        if !self.recent.is_empty() {
            self.recent.take(local, time::now());
        }
    }

    /// Takes an answer: what the task has made to the host works.
    pub(crate) fn answered(&self, host: &str) {
        if !self.recent.is_empty()
            && let Some(host) = host::parse(host).ok().and_then(Parsed::host)
        {
            // Nobody has asked for a host behind a proxy: what was made is to the proxy.
            let asked = self.store.peek(host.as_str(), |_| ()).is_some();
            let dialled = asked.then_some(host.as_str());
            let task = tokio::task::try_id();
            self.recent.answered(dialled, task, time::now());
        }
    }

    /// What dialling this host again now may come to. `None` when the host is not known here, as
    /// behind a proxy.
    #[cfg(feature = "__again")]
    pub(crate) fn hope(&self, host: &str) -> Option<Hope> {
        let host = host::parse(host).ok().and_then(Parsed::host)?;
        let now = time::now();
        let known = self.current(&host, now)?;
        let news = self
            .store
            .peek(host.as_str(), |slot| slot.expects_news(now));
        Some(Hope {
            health_left: self.health_left(&host, &known, now),
            news: known.origin != Origin::Pin && news == Some(true),
            addrs: known.addrs.as_slice().len(),
            rounds: known.addrs.rounds(PER_FAMILY),
        })
    }
}

/// What dialling a host again may come to.
#[cfg(feature = "__again")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hope {
    /// An address is left that nothing is held against.
    pub(crate) health_left: bool,
    /// A fresh answer is wanted and can be had.
    pub(crate) news: bool,
    /// How many addresses there are.
    pub(crate) addrs: usize,
    /// In how many connects all of them are dealt.
    pub(crate) rounds: usize,
}
