//! Where addresses came from.

use std::fmt;
use std::time::Instant;

use crate::cache::{Known, Origin};

/// Where the addresses of a host came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The lookup, within the answer's life.
    Fresh,
    /// The table of fallbacks: every lookup since has failed, or took too long.
    Fallback,
    /// The host was an address itself.
    Literal,
    /// The host was `localhost`.
    Loopback,
    /// The table of pins.
    Pinned,
    /// The lookup, past the answer's life: a new one was slow or failed.
    Stale,
    /// The lookup; a connect has failed on this answer, or it was invalidated, and a fresh one
    /// has not come yet.
    Suspect,
}

/// As in "served from a fresh answer".
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "a fresh answer",
            Self::Fallback => "the fallbacks",
            Self::Literal => "the host itself",
            Self::Loopback => "localhost",
            Self::Pinned => "the pins",
            Self::Stale => "a stale answer",
            Self::Suspect => "an answer in doubt",
        })
    }
}

impl Source {
    pub(crate) fn is_of_lookup(self) -> bool {
        matches!(self, Self::Fresh | Self::Stale | Self::Suspect)
    }

    pub(crate) fn of(known: &Known, suspect: bool, now: Instant) -> Self {
        match known.origin {
            Origin::Pin => Self::Pinned,
            Origin::Fallback(_) => Self::Fallback,
            Origin::Lookup if now >= known.expires_at => Self::Stale,
            Origin::Lookup if suspect => Self::Suspect,
            Origin::Lookup => Self::Fresh,
        }
    }
}
