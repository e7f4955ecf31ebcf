//! Records how new connections respond or die, and what a retry to a host can expect.

use std::error::Error as StdError;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use super::Inner;
use crate::addrs::MAX_PER_FAMILY;
use crate::attempt::ConnectionId;
use crate::attempt::NewConnection;
use crate::attempt::early_close::EarlyClose;
use crate::cache::{CachedAnswer, Origin};
use crate::health::Left;
use crate::health::classify;
use crate::health::outcome::Outcome;
use crate::health::record::{Failure, Rank};
use crate::host::Host;
use crate::time;

impl Inner {
    /// Records a response that counts against the address that sent it.
    pub(crate) fn unavailable(&self, host: &str, addr: IpAddr, said: &str) {
        if let Some(host) = self.host(host) {
            let failure = Failure {
                error: Some(said.into()),
                ..Failure::unseen(Outcome::Unavailable)
            };
            self.report(&host, addr.to_canonical(), &failure);
        }
    }

    /// Records a connection that died before the first byte of a response.
    ///
    /// The local address names the connection. If the error has no local address, because no request was on the
    /// connection yet, the connection is the one that was recently made to the host. If the connection has responded
    /// before, its death is attributed to no address. `retried` is when the request was sent again, if it was.
    ///
    /// If a proxy forwards the request, the death is attributed to the proxy. In a tunnel, the origin may have closed
    /// the connection, so the death is attributed to no address. A connection to another host than that of the
    /// request is taken for a tunnel.
    ///
    /// Returns the addresses that were attempted until the connection was made, if the connection is that new.
    pub(crate) fn closed_early(
        &self,
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
            (Some(ends), _) => self.new_connections.take(ends, now),
            (None, Some(host)) => self
                .new_connections
                .take_unnamed(host.as_str(), retried, now),
            (None, None) => None,
        };
        let Some(made) = made else {
            return SmallVec::new();
        };
        let is_dialled = host.is_some_and(|host| host.as_str() == made.host.as_str());
        if early.forwarded || is_dialled {
            let closed = Failure {
                error: Some(classify::describe_chain(error)),
                ..Failure::unseen(Outcome::ClosedEarly)
            };
            let is_news = self.penalize(&made.host, made.peer, &closed, made.at);
            self.cache.suspect(&made.host, made.generation, is_news);
        }
        made.attempted
    }

    /// Records that a connection of any age went silent.
    ///
    /// The silence of a proxy is attributed to no address, because the origin behind the proxy may be silent.
    fn went_silent(
        &self,
        host: Option<&Host>,
        addr: IpAddr,
        early: EarlyClose,
        error: &(dyn StdError + 'static),
    ) -> SmallVec<[IpAddr; 4]> {
        let addr = addr.to_canonical();
        if let Some(ends) = early.ends {
            self.new_connections.take(ends, time::now());
        }
        if let Some(host) = host {
            let silent = Failure {
                error: Some(classify::describe_chain(error)),
                ..Failure::unseen(Outcome::Silent)
            };
            self.report(host, addr, &silent);
        }
        SmallVec::from_slice(&[addr])
    }

    /// Records that a request ended after a long wait for its response, on a connection that was made for it.
    pub(crate) fn slow_response(&self, made: &NewConnection) {
        if let Some(ends) = made.ends {
            self.new_connections.take(ends, time::now());
        }
        let slow = Failure::unseen(Outcome::Silent);
        let is_news = self.penalize(&made.host, made.peer, &slow, made.at);
        self.cache.suspect(&made.host, made.generation, is_news);
    }

    /// Records a response on the connection with these ends, so that the connection works.
    pub(crate) fn answered_on(&self, ends: ConnectionId) {
        let now = time::now();
        if !self.new_connections.is_empty(now) {
            self.new_connections.take(ends, now);
        }
    }

    /// Records a response from a host that names no connection, so that the only new connection to the host works.
    pub(crate) fn answered(&self, host: &str) {
        let now = time::now();
        if !self.new_connections.is_empty(now)
            && let Some(host) = self.host(host)
        {
            // A host behind a proxy was never resolved. The connection is then to the proxy.
            let asked = self.cache.contains(&host);
            let dialled = asked.then_some(host.as_str());
            self.new_connections.answered(dialled, now);
        }
    }

    /// Returns whether an address of an answer is healthy or in doubt, or whether a probe has connected to the address.
    fn may_connect(&self, host: &Host, known: &CachedAnswer, now: Instant) -> bool {
        self.health.read(host.as_str(), now, |records| {
            let mut addrs = known.addrs.as_slice().iter();
            addrs.any(|addr| records.rank_to_select(*addr) < Rank::Probation)
        })
    }

    /// Returns what a retry to a host can expect, or `None` if the resolver does not know the host, as behind a
    /// proxy.
    pub(crate) fn failover_outlook(&self, host: &str) -> Option<FailoverOutlook> {
        let host = self.host(host)?;
        let now = time::now();
        let known = self.cache.current(&host, now)?;
        let left = self.selected_left(&host, &known, now);
        let is_fresh_expected = self.cache.expects_fresh_answer(&host, now);
        Some(FailoverOutlook {
            is_healthy: self.cache.has_healthy(&host, &known, now),
            may_connect: self.may_connect(&host, &known, now),
            fresh_answer_expected: known.origin != Origin::Override && is_fresh_expected,
            next: known.addrs.selected(MAX_PER_FAMILY) + left.len(),
            left,
            known,
        })
    }
}

/// What a retry to a host can expect.
#[derive(Clone, Debug)]
pub(crate) struct FailoverOutlook {
    pub(crate) known: Arc<CachedAnswer>,
    /// Addresses that have left the answer, which the next connect may attempt as its last resort.
    pub(crate) left: Left,
    /// Whether an address of the answer is healthy.
    pub(crate) is_healthy: bool,
    /// Whether an address of the answer is healthy or in doubt, or a probe has connected to the address.
    pub(crate) may_connect: bool,
    /// Whether the answer is suspect, and a newer answer can be had now.
    pub(crate) fresh_answer_expected: bool,
    /// Number of addresses that the next connect is given.
    pub(crate) next: usize,
}
