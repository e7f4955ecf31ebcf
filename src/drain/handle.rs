//! The handles by which connections are drained.

#[cfg(feature = "reqwest")]
use std::sync::Arc;
#[cfg(feature = "reqwest")]
use std::sync::atomic::{AtomicBool, Ordering};

use super::captured::Captured;
use crate::attempt::ConnectionId;

/// A handle by which a connection is drained.
#[derive(Clone, Debug)]
pub(crate) enum Handle {
    /// The connection itself.
    Captured(Captured),
    /// The client whose pool holds the connection, if the connections in the pool can't be reached.
    #[cfg(feature = "reqwest")]
    Client(Arc<ClientSlot>),
}

impl Handle {
    /// Makes the connection with this ID take no new requests.
    pub(super) fn drain(&self, ends: ConnectionId) {
        match self {
            Self::Captured(captured) => captured.poison(ends),
            #[cfg(feature = "reqwest")]
            Self::Client(slot) => slot.spent.store(true, Ordering::Relaxed),
        }
    }

    /// Releases a connection that its pool has probably closed.
    pub(super) fn release(&self, ends: ConnectionId) {
        match self {
            // If the connection is still open, nothing else would drain it.
            Self::Captured(captured) => captured.poison(ends),
            // A single connection is not worth a new client.
            #[cfg(feature = "reqwest")]
            Self::Client(_) => {}
        }
    }

    /// Returns whether the connection takes no requests, because another connection of the same client was drained.
    pub(super) fn is_drained(&self) -> bool {
        match self {
            Self::Captured(_) => false,
            #[cfg(feature = "reqwest")]
            Self::Client(slot) => slot.is_spent(),
        }
    }
}

/// Holds whether the client of an origin is spent. Another client replaces a spent one.
#[cfg(feature = "reqwest")]
#[derive(Debug, Default)]
pub(crate) struct ClientSlot {
    spent: AtomicBool,
}

#[cfg(feature = "reqwest")]
impl ClientSlot {
    pub(crate) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }
}
