//! The source of the addresses of a host.

use std::fmt;

/// The source of the addresses of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerSource {
    /// A lookup, whose answer is fresh.
    Fresh,
    /// The fallbacks, because every lookup since has failed or was slow.
    Fallback,
    /// The host, which is an IP address.
    Literal,
    /// The host, which is `localhost`.
    Loopback,
    /// The overrides.
    Override,
    /// A lookup, whose answer is stale because a newer lookup failed or was slow.
    Stale,
    /// A lookup, whose answer is suspect: a connect to one of its addresses failed, or the program invalidated the
    /// answer, and no newer answer has come.
    Suspect,
}

/// Writes the source as in "served from a fresh answer".
impl fmt::Display for AnswerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "a fresh answer",
            Self::Fallback => "the fallbacks",
            Self::Literal => "the host itself",
            Self::Loopback => "localhost",
            Self::Override => "the overrides",
            Self::Stale => "a stale answer",
            Self::Suspect => "a suspect answer",
        })
    }
}

impl AnswerSource {
    pub(crate) fn is_of_lookup(self) -> bool {
        matches!(self, Self::Fresh | Self::Stale | Self::Suspect)
    }
}
