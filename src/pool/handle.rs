//! What a connection can be retired by.

#[cfg(feature = "reqwest")]
use std::sync::Arc;
#[cfg(feature = "reqwest")]
use std::sync::atomic::{AtomicBool, Ordering};

use super::captured::Captured;
use crate::ends::Ends;

/// What a connection can be retired by.
#[derive(Clone, Debug)]
pub(crate) enum Handle {
    /// The connection itself.
    Captured(Captured),
    /// The client in whose pool it is, where nothing of a pool can be reached.
    #[cfg(feature = "reqwest")]
    Seat(Arc<Seat>),
}

impl Handle {
    /// Has the connection with these ends take no new requests.
    pub(super) fn retire(&self, ends: Ends) {
        match self {
            Self::Captured(captured) => captured.poison(ends),
            #[cfg(feature = "reqwest")]
            Self::Seat(seat) => seat.spent.store(true, Ordering::Relaxed),
        }
    }

    /// Lets go of a connection that its pool has closed, as far as can be told.
    pub(super) fn let_go(&self, ends: Ends) {
        match self {
            // Should it be there still, nobody would be left to retire it.
            Self::Captured(captured) => captured.poison(ends),
            // Not worth a whole client.
            #[cfg(feature = "reqwest")]
            Self::Seat(_) => {}
        }
    }

    /// Whether it takes no requests any more, for another of its pool was retired.
    pub(super) fn is_spent(&self) -> bool {
        match self {
            Self::Captured(_) => false,
            #[cfg(feature = "reqwest")]
            Self::Seat(seat) => seat.is_spent(),
        }
    }
}

/// The place of a client that another takes when it is spent.
#[cfg(feature = "reqwest")]
#[derive(Debug, Default)]
pub(crate) struct Seat {
    spent: AtomicBool,
}

#[cfg(feature = "reqwest")]
impl Seat {
    pub(crate) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }
}
