//! Rule: how many connects and sends one request may cost.
//!
//! | what | at most |
//! |---|---|
//! | attempts, over all connects of the request | 2 × the addresses of the first answer and its last resort, and 16 |
//! | fresh answers that the request waits for | 2 |
//! | sends of which the server may have seen a byte | 2, and 1 of a method that is not idempotent |
//! | sends of which the server says that it processed nothing | 3 |
//!
//! A failed automatic retry must not be retried (RFC 9110, section 9.2.2), so the limit counts sends and not reasons.
//! An attempt of both IPv4 lanes of one connect is one attempt.
//!
//! The limit of attempts only decides whether the request is sent again, because no connect knows how many attempts
//! are left. The addresses of one connect may exceed the limit in two cases: a fresh answer names more addresses than
//! the first one, or a connect fails at each address after the connects before it only hung.

use std::net::IpAddr;
use std::time::Instant;

use smallvec::SmallVec;

use crate::addrs::MAX_ATTEMPTS;
use crate::resolver::FailoverOutlook;

/// Why a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryReason {
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
pub(crate) struct Failure {
    pub(crate) kind: RetryReason,
    /// The addresses that were attempted, as far as they are known.
    pub(crate) addrs: SmallVec<[IpAddr; 4]>,
    /// How many attempts there were.
    pub(crate) attempts: usize,
    /// How many addresses the connect was given; 0 if that is not known.
    pub(crate) given: usize,
    /// How many attempts the next connect may make.
    pub(crate) next: usize,
    /// How many attempts the next connect may make if that connect hangs as all earlier ones did.
    pub(crate) next_if_it_hangs: usize,
    /// How often the request may be sent again for this kind of failure.
    pub(crate) most: usize,
    /// The outlook of the host; `None` if the resolver does not know the host, as behind a proxy.
    pub(crate) outlook: Option<FailoverOutlook>,
}

impl Failure {
    /// Returns a failure that names no addresses.
    pub(crate) fn of(kind: RetryReason, most: usize) -> Self {
        Self {
            kind,
            addrs: SmallVec::new(),
            attempts: 0,
            given: 0,
            next: 0,
            next_if_it_hangs: 0,
            most,
            outlook: None,
        }
    }
}

/// Most fresh answers that one request waits for.
const MAX_FRESH_ANSWERS: usize = 2;
/// Most sends of one request of which the server may have seen a byte.
pub(crate) const MAX_SENDS: usize = 2;
/// Most retries of a request that the server did not process: reqwest's own default.
pub(crate) const MAX_AFTER_NACKS: usize = 2;

/// Stores the history of a request.
pub(crate) trait HistoryStore {
    /// Calls `change` with the history, several times if need be. Returns `None` if the store has no room.
    fn edit<T>(&mut self, change: impl Fn(&mut RequestHistory) -> T) -> Option<T>;

    /// Removes the history, because the request has ended.
    fn end(&mut self);
}

/// The failures and retries of one request so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestHistory {
    /// When the request failed for the first time.
    since: Option<Instant>,
    /// When the request was last sent again.
    retried: Option<Instant>,
    /// How often the request was sent again, by [`RetryReason`].
    retries: [usize; 4],
    addrs: SmallVec<[IpAddr; 4]>,
    attempts: usize,
    /// The limit of attempts; `None` until a failure comes with an answer of the host.
    most_attempts: Option<usize>,
    /// How many answers of the host had brought a new address by the last failure.
    changes: Option<u32>,
    fresh_answers: usize,
    /// Whether the last retry was made to wait for a fresh answer.
    awaits: bool,
}

impl RequestHistory {
    /// Records a failure and returns whether the request may be sent again.
    #[must_use]
    pub(crate) fn may_retry(&mut self, failed: &Failure, now: Instant) -> bool {
        self.since.get_or_insert(now);
        self.note(failed);
        let used = self.retries[failed.kind as usize];
        let may = used < failed.most && self.has_room(failed) && self.has_target(failed);
        self.retries[failed.kind as usize] += usize::from(may);
        self.retried = may.then_some(now).or(self.retried);
        may
    }

    /// Returns when the request was last sent again.
    pub(crate) fn retried(&self) -> Option<Instant> {
        self.retried
    }

    /// Returns whether the server has refused to process the request at least twice.
    pub(crate) fn was_refused_again(&self) -> bool {
        self.retries[RetryReason::ProtocolNack as usize] > 1
    }

    /// Returns when the request failed for the first time.
    #[cfg(any(feature = "reqwest", feature = "reqwest-012"))]
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }

    fn note(&mut self, failed: &Failure) {
        self.attempts += failed.attempts;
        for &addr in &failed.addrs {
            if !self.addrs.contains(&addr) && self.addrs.len() < MAX_ATTEMPTS {
                self.addrs.push(addr);
            }
        }
        if let Some(outlook) = &failed.outlook {
            self.note_answer(outlook, failed);
        }
    }

    /// Counts each answer since the last failure that brought a new address as a fresh answer.
    ///
    /// The count includes answers that the request neither waited for nor was given.
    fn note_answer(&mut self, outlook: &FailoverOutlook, failed: &Failure) {
        let known = &outlook.known;
        // The addresses of the host may have changed since the first connect was given its addresses.
        let first_attempt = failed.addrs.first();
        let has_moved = first_attempt.is_some_and(|addr| !known.addrs.contains(*addr));
        // An address that left DNS and was already attempted is no target.
        let is_target = |addr: &&IpAddr| !self.addrs.contains(*addr);
        let left = outlook.left.iter().filter(is_target).count();
        let answered = known.addrs.as_slice().len() + left;
        let first = || MAX_ATTEMPTS.min(2 * answered.max(failed.given));
        self.most_attempts.get_or_insert_with(first);
        let changes = self.changes.replace(known.changes()).map_or_else(
            || has_moved.into(),
            |before| known.changes().saturating_sub(before) as usize,
        );
        // One of these answers was counted when the request began to wait for it.
        self.fresh_answers += changes.saturating_sub(self.awaits.into());
        self.awaits = false;
    }

    fn has_room(&self, failed: &Failure) -> bool {
        let most = self.most_attempts.unwrap_or(MAX_ATTEMPTS);
        let next = match self.retries[RetryReason::Connect as usize] {
            0 => failed.next_if_it_hangs,
            _ => failed.next,
        };
        self.attempts + next <= most
    }

    /// Returns whether the request has an address left to try, or can wait for a fresh answer.
    ///
    /// The addresses are those of the answer and of its last resort.
    fn has_target(&mut self, failed: &Failure) -> bool {
        let Some(outlook) = &failed.outlook else {
            return true;
        };
        // If the answer is suspect, the next connect would wait for one more fresh answer.
        let has_renewals =
            self.fresh_answers + usize::from(outlook.fresh_answer_expected) <= MAX_FRESH_ANSWERS;
        match failed.kind {
            RetryReason::Connect => {}
            RetryReason::ConnectTimeout => return has_renewals,
            RetryReason::EarlyClose | RetryReason::ProtocolNack => return true,
        }
        let is_left = |addr: &IpAddr| !self.addrs.contains(addr);
        let mut targets = outlook.known.addrs.as_slice().iter().chain(&outlook.left);
        if targets.any(is_left) {
            return has_renewals;
        }
        self.awaits = outlook.fresh_answer_expected && self.fresh_answers < MAX_FRESH_ANSWERS;
        self.fresh_answers += usize::from(self.awaits);
        self.awaits
    }
}

impl HistoryStore for RequestHistory {
    fn edit<T>(&mut self, change: impl Fn(&mut Self) -> T) -> Option<T> {
        Some(change(self))
    }

    fn end(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests;
