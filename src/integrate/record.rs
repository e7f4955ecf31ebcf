//! How often one request was sent again, and as what.
//!
//! A failed automatic retry must not be retried (RFC 9110, section 9.2.2), while many dead edges may
//! cost one connect after another; so each reason has its own count.

use std::time::Instant;

use crate::{Outcome, time};

/// As what a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The connection died before the first byte of a response.
    ClosedEarly,
    /// A retry met a connection from before the first failure, and that died too.
    ClosedOld,
    /// The connect failed at all addresses that were dealt, and there are more.
    Round,
    /// The connect failed, or the connection before the request was on its way.
    Connect,
    /// The connect failed so that only a few other addresses are tried.
    Few(Outcome),
    /// The connect was given up after a long time.
    GivenUp,
    /// The server said that it did not process the request.
    ProtocolNack,
}

/// As what one request was sent again.
pub(super) trait Record {
    /// Takes one more try of this kind, of so many. Returns false when none is left.
    fn take(&mut self, kind: Kind, limit: usize) -> bool;

    /// Returns when the request was first to be sent again.
    fn since(&self) -> Option<Instant>;

    /// Forgets it, as the request is not sent again. Returns how often it was as that.
    fn end(&mut self, kind: Kind) -> usize;
}

/// Most times that one request is sent again. Each failed connect puts at least one address
/// behind the others, so this is how many dead edges in a row one request walks past.
pub(super) const MOST: usize = 8;

/// The record of a request, kept by whoever sends it.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    since: Option<Instant>,
    kinds: Vec<Kind>,
}

impl Record for Taken {
    fn take(&mut self, kind: Kind, limit: usize) -> bool {
        let taken = self.kinds.iter().filter(|other| **other == kind).count();
        let left = taken < limit && self.kinds.len() < MOST;
        self.since.get_or_insert_with(time::now);
        self.kinds.push(kind);
        left
    }

    fn since(&self) -> Option<Instant> {
        self.since
    }

    fn end(&mut self, kind: Kind) -> usize {
        let taken = std::mem::take(self);
        let kinds = taken.kinds.into_iter();
        kinds.filter(|taken| *taken == kind).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_all_reasons_together_there_is_an_end() {
        let mut taken = Taken::default();
        for _ in 0..MOST {
            assert!(taken.take(Kind::Connect, usize::MAX));
        }
        assert!(!taken.take(Kind::GivenUp, usize::MAX));
    }
}
