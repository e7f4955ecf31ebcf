//! Memory of answers: how long each is good and who may end it.
//!
//! ```text
//! known ──refresh_at──▶ ageing ──expires_at──▶ stale ──serve_stale──▶ gone
//! serve                 serve, ask             ask, serve if that     ask
//!   │                   if it is in use        is slow or fails
//!   └─ generation moves on (a connect failed, or by hand) ─▶ suspect: ask again, serve if that fails
//! ```

mod flight;
#[cfg(test)]
mod interleavings;
mod known;
#[cfg(test)]
mod laws;
mod slot;
mod store;

pub(crate) use self::flight::{Brought, Fallback, Flight, Joined, Landing};
pub(crate) use self::known::{Generation, Known, Origin};
pub use self::slot::Cause;
pub(crate) use self::slot::{Plan, Slot};
pub(crate) use self::store::Store;
