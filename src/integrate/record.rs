//! Rule: how often one request is connected and sent.
//!
//! | what | at most |
//! |---|---|
//! | attempts, over all connects of the request | 2 × the addresses of the first answer and its last resort, and 16 |
//! | fresh answers that the request waits for | 2 |
//! | sends of which the server may have seen a byte | 2, and 1 of a method that is not idempotent |
//! | sends of which the server says that it processed nothing | 3 |
//!
//! A failed automatic retry must not be retried (RFC 9110, section 9.2.2), so the limit counts sends
//! and not reasons. An attempt of both IPv4 lanes of one connect is one attempt.
//!
//! The bound of attempts is kept by not sending the request again: no connect can be told how many attempts are left.
//! The addresses of one connect may exceed it in two cases: a fresh answer names more addresses than the first one, or a
//! connect fails at each address after those before it only hung.

use std::net::IpAddr;
use std::time::Instant;

use smallvec::SmallVec;

use crate::order::MOST_ATTEMPTS;
use crate::resolver::Hope;

/// Why a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The connect failed, or the connection died before a byte of the request was sent.
    Connect,
    /// The connection died before the first byte of a response.
    EarlyClose,
    /// The connect was given up after a long time.
    ConnectTimeout,
    /// The server said that it did not process the request.
    ProtocolNack,
}

/// One failure of a request that may be sent again.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) kind: Kind,
    /// The addresses that were attempted, as far as they are known.
    pub(super) addrs: SmallVec<[IpAddr; 4]>,
    /// How many attempts there were.
    pub(super) attempts: usize,
    /// How many addresses the connect was given; 0 where that is not known.
    pub(super) given: usize,
    /// How many attempts the next connect may make.
    pub(super) next: usize,
    /// How many attempts the next connect may make if it hangs as all before it did.
    pub(super) next_if_it_hangs: usize,
    /// How often the request may be sent again for this kind of failure.
    pub(super) most: usize,
    /// What the resolver knows of the host; `None` for an unknown one, as behind a proxy.
    pub(super) hope: Option<Hope>,
}

impl Failed {
    /// Returns a failure that says nothing of addresses.
    pub(super) fn of(kind: Kind, most: usize) -> Self {
        Self {
            kind,
            addrs: SmallVec::new(),
            attempts: 0,
            given: 0,
            next: 0,
            next_if_it_hangs: 0,
            most,
            hope: None,
        }
    }
}

/// Fresh answers that one request waits for.
const MOST_RENEWALS: usize = 2;
/// Sends of one request of which the server may have seen a byte.
pub(super) const MOST_SENDS: usize = 2;
/// Sends again of a request that the server did not process: reqwest's own default.
pub(super) const MOST_AFTER_NACKS: usize = 2;

/// Where the history of a request is kept.
pub(super) trait Record {
    /// Lets the history be changed, if need be in several tries. `None`: no memory is left for it.
    fn edit<T>(&mut self, change: impl Fn(&mut History) -> T) -> Option<T>;

    /// Forgets the history: the request has ended.
    fn end(&mut self);
}

/// What one request has cost so far.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// When the request failed first.
    since: Option<Instant>,
    /// When the request was sent again last.
    retried: Option<Instant>,
    /// How often the request was sent again, by [`Kind`].
    retries: [usize; 4],
    addrs: SmallVec<[IpAddr; 4]>,
    attempts: usize,
    /// `None` until an answer was known.
    most_attempts: Option<usize>,
    /// How many answers of the host had a new address at the last failure.
    changes: Option<u32>,
    renewals: usize,
    /// Whether the last retry was for the sake of a fresh answer.
    awaits: bool,
}

impl History {
    /// Takes a failure and returns whether the request may be sent again.
    #[must_use]
    pub(super) fn may_retry(&mut self, failed: &Failed, now: Instant) -> bool {
        self.since.get_or_insert(now);
        self.note(failed);
        let used = self.retries[failed.kind as usize];
        let may = used < failed.most && self.has_room(failed) && self.has_target(failed);
        self.retries[failed.kind as usize] += usize::from(may);
        self.retried = may.then_some(now).or(self.retried);
        may
    }

    /// Returns when the request was sent again last.
    pub(super) fn retried(&self) -> Option<Instant> {
        self.retried
    }

    /// Whether the server has turned the request away before its last send, too.
    pub(super) fn was_refused_again(&self) -> bool {
        self.retries[Kind::ProtocolNack as usize] > 1
    }

    /// Returns when the request failed first.
    #[cfg(any(feature = "reqwest", feature = "reqwest-012"))]
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    fn note(&mut self, failed: &Failed) {
        self.attempts += failed.attempts;
        for &addr in &failed.addrs {
            if !self.addrs.contains(&addr) && self.addrs.len() < MOST_ATTEMPTS {
                self.addrs.push(addr);
            }
        }
        if let Some(hope) = &failed.hope {
            self.note_answer(hope, failed);
        }
    }

    /// Each answer since the last failure that had a new address counts as a renewal, even one that the request
    /// neither waited for nor was given.
    fn note_answer(&mut self, hope: &Hope, failed: &Failed) {
        let known = &hope.known;
        // The name may have moved since the first connect was given its addresses.
        let first_attempt = failed.addrs.first();
        let has_moved = first_attempt.is_some_and(|addr| !known.addrs.contains(*addr));
        // An address that has left and was attempted already is no target.
        let is_target = |addr: &&IpAddr| !self.addrs.contains(*addr);
        let left = hope.left.iter().filter(is_target).count();
        let answered = known.addrs.as_slice().len() + left;
        let first = || MOST_ATTEMPTS.min(2 * answered.max(failed.given));
        self.most_attempts.get_or_insert_with(first);
        let changes = self.changes.replace(known.changes()).map_or_else(
            || has_moved.into(),
            |before| known.changes().saturating_sub(before) as usize,
        );
        // One of these was counted when the request began to wait for it.
        self.renewals += changes.saturating_sub(self.awaits.into());
        self.awaits = false;
    }

    fn has_room(&self, failed: &Failed) -> bool {
        let most = self.most_attempts.unwrap_or(MOST_ATTEMPTS);
        let next = match self.retries[Kind::Connect as usize] {
            0 => failed.next_if_it_hangs,
            _ => failed.next,
        };
        self.attempts + next <= most
    }

    /// Whether an address of the answer or its last resort was not attempted yet, or a fresh answer can be had.
    fn has_target(&mut self, failed: &Failed) -> bool {
        let Some(hope) = &failed.hope else {
            return true;
        };
        // If the answer is suspect, the next connect would wait for one more fresh answer.
        let has_renewals = self.renewals + usize::from(hope.news) <= MOST_RENEWALS;
        match failed.kind {
            Kind::Connect => {}
            Kind::ConnectTimeout => return has_renewals,
            Kind::EarlyClose | Kind::ProtocolNack => return true,
        }
        let is_left = |addr: &IpAddr| !self.addrs.contains(addr);
        let mut targets = hope.known.addrs.as_slice().iter().chain(&hope.left);
        if targets.any(is_left) {
            return has_renewals;
        }
        self.awaits = hope.news && self.renewals < MOST_RENEWALS;
        self.renewals += usize::from(self.awaits);
        self.awaits
    }
}

impl Record for History {
    fn edit<T>(&mut self, change: impl Fn(&mut Self) -> T) -> Option<T> {
        Some(change(self))
    }

    fn end(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests;
