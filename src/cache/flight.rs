//! One lookup in the air, and those who wait for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Id;
use tokio::sync::watch;

use super::known::{Generation, Known, Origin};
use crate::error::Error;
use crate::order::Addrs;

/// A lookup that was sent and has not landed. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    /// The runtime that drives it. One runtime never waits for another, which may stand still.
    pub(crate) runtime: Id,
    /// The host's generation when the lookup was sent.
    pub(crate) generation: Generation,
    /// When it was sent, by the clock.
    pub(crate) sent: Instant,
    landed: watch::Receiver<Option<Result<Arc<Known>, Error>>>,
}

/// The place where a lookup lands; dropping it without landing sends the waiters away.
pub(crate) type Joined = watch::Sender<Option<Result<Arc<Known>, Error>>>;

impl Flight {
    pub(crate) fn new(runtime: Id, now: Instant) -> (Joined, Self) {
        let (land, landed) = watch::channel(None);
        let generation = Generation::default();
        (
            land,
            Self {
                runtime,
                generation,
                sent: now,
                landed,
            },
        )
    }

    /// A flight that is over already.
    pub(crate) fn over(runtime: Id, outcome: Result<Arc<Known>, Error>, now: Instant) -> Self {
        let (land, flight) = Self::new(runtime, now);
        land.send_replace(Some(outcome));
        flight
    }

    /// The same flight, sent at this generation of its host.
    pub(crate) fn sent_at(&self, generation: Generation) -> Self {
        Self {
            generation,
            ..self.clone()
        }
    }

    /// Waits for the landing. `None` when the lookup ended without one, as when its runtime was
    /// shut down.
    ///
    /// # Cancel safety
    /// The lookup does not notice that a waiter is dropped.
    pub(crate) async fn landed(mut self) -> Option<Result<Arc<Known>, Error>> {
        self.landed
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|landed| landed.clone())
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        self.landed.same_channel(&other.landed)
    }

    /// Whether somebody still flies it.
    pub(crate) fn is_in_the_air(&self) -> bool {
        self.landed.has_changed().is_ok()
    }
}

/// Addresses that a lookup brought, and how long they live.
#[derive(Clone, Debug)]
pub(crate) struct Brought {
    pub(crate) addrs: Addrs,
    /// Whether the lookup of one family failed.
    pub(crate) is_partial: bool,
    pub(crate) origin: Origin,
    pub(crate) life: Duration,
    /// After so much of its life an answer in use is looked up again.
    pub(crate) refresh_after: Duration,
}

/// How a lookup ended.
#[derive(Clone, Debug)]
pub(crate) struct Landing {
    pub(crate) asked_at: Instant,
    pub(crate) outcome: Result<Brought, Error>,
    /// After this share of its life an answer is looked up again whose lookup has failed.
    pub(crate) share: f64,
    /// For how long what an answer lacks is kept of the one before.
    pub(crate) serve_stale: Duration,
    /// What to serve when it failed and nothing else may be.
    pub(crate) fallback: Option<Fallback>,
}

/// What the program itself knows of a host.
#[derive(Clone, Debug)]
pub(crate) struct Fallback {
    pub(crate) brought: Brought,
    /// For how long an expired answer goes before it.
    pub(crate) serve_stale: Duration,
}
