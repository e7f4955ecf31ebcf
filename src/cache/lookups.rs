//! One lookup in flight, its waiters, and its result.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Id;
use tokio::sync::watch;

use super::answer::{CachedAnswer, FreshAddresses, Generation};
use crate::error::ResolveError;

/// A handle to a lookup in flight, which is cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct InFlightLookup {
    /// The runtime that runs the lookup.
    ///
    /// Callers on other runtimes do not join the lookup, because this runtime may not be polled.
    pub(crate) runtime: Id,
    /// The host's generation when the lookup was sent.
    pub(crate) generation: Generation,
    /// When the lookup was sent.
    pub(crate) sent: Instant,
    landed: watch::Receiver<Option<Result<Arc<CachedAnswer>, ResolveError>>>,
}

/// The sender of a lookup's result. If the sender is dropped without a result, the waiters get `None`.
pub(crate) type LookupSender = watch::Sender<Option<Result<Arc<CachedAnswer>, ResolveError>>>;

impl InFlightLookup {
    pub(crate) fn new(runtime: Id, now: Instant) -> (LookupSender, Self) {
        let (sender, landed) = watch::channel(None);
        let generation = Generation::default();
        (
            sender,
            Self {
                runtime,
                generation,
                sent: now,
                landed,
            },
        )
    }

    /// Returns a lookup that has completed already.
    pub(crate) fn over(
        runtime: Id,
        outcome: Result<Arc<CachedAnswer>, ResolveError>,
        now: Instant,
    ) -> Self {
        let (sender, in_flight) = Self::new(runtime, now);
        sender.send_replace(Some(outcome));
        in_flight
    }

    /// Returns the lookup with the generation of its host at which the lookup was sent.
    pub(crate) fn sent_at(&self, generation: Generation) -> Self {
        Self {
            generation,
            ..self.clone()
        }
    }

    /// Waits for the result of the lookup.
    ///
    /// Returns `None` if the lookup ended without a result, as when its runtime was shut down.
    ///
    /// # Cancel safety
    /// Dropping the future does not end the lookup.
    pub(crate) async fn wait(mut self) -> Option<Result<Arc<CachedAnswer>, ResolveError>> {
        self.landed
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|landed| landed.clone())
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        self.landed.same_channel(&other.landed)
    }

    /// Returns whether the task of the lookup can still send a result.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.landed.has_changed().is_ok()
    }
}

/// The result of a lookup, and what the cache needs to store it.
#[derive(Clone, Debug)]
pub(crate) struct CompletedLookup {
    pub(crate) asked_at: Instant,
    pub(crate) outcome: Result<FreshAddresses, ResolveError>,
    /// Share of the lifetime of the previous answer after which a failed lookup is repeated; see
    /// [`retry_after`](crate::cache::ttl::retry_after).
    pub(crate) share: f64,
    /// How long the previous answer may be served, and complete a partial answer.
    pub(crate) max_stale: Duration,
    /// How long the fallbacks of the host are served without another lookup, if the host has fallbacks.
    pub(crate) fallbacks_for: Option<Duration>,
}
