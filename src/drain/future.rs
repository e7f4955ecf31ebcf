//! Waits for the response, and records the connection of the request as soon as there is one.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use pin_project_lite::pin_project;

use super::captured::Captured;
use super::handle::Handle;
use super::registry::Registry;
use crate::attempt::ConnectionId;
use crate::time;

pin_project! {
    /// The response future of a [`Drain`](crate::Drain).
    ///
    /// # Cancel safety
    ///
    /// The same as that of the client's own future.
    #[must_use = "futures do nothing unless polled"]
    pub struct DrainFuture<F> {
        #[pin]
        future: F,
        watch: Option<Watch>,
    }
}

/// A request whose connection is to be recorded.
pub(super) struct Watch {
    registry: Arc<Registry>,
    origin: Box<str>,
    host: Box<str>,
    captured: Captured,
    began: Instant,
    noted: Option<ConnectionId>,
}

impl<F> DrainFuture<F> {
    pub(super) fn new(future: F, watch: Option<Watch>) -> Self {
        Self { future, watch }
    }
}

impl Watch {
    pub(super) fn new(
        registry: Arc<Registry>,
        origin: Box<str>,
        host: Box<str>,
        captured: Captured,
    ) -> Self {
        Self {
            registry,
            origin,
            host,
            captured,
            began: time::now(),
            noted: None,
        }
    }

    /// Records the connection as soon as there is one, because it may have to be drained before the response comes.
    fn look(&mut self) {
        if self.noted.is_none() {
            self.note();
        }
    }

    /// Records the connection unless it is the recorded one. The client may have sent the request again on another
    /// connection.
    fn note(&mut self) {
        let ends = self.captured.ends();
        if let Some(ends) = ends.filter(|_| ends != self.noted) {
            self.noted = Some(ends);
            let handle = Handle::Captured(self.captured.clone());
            self.registry
                .note(&self.origin, &self.host, ends, handle, self.began);
        }
    }
}

impl<F: Future> Future for DrainFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = this.future.poll(cx);
        if let Some(watch) = this.watch {
            match &polled {
                Poll::Pending => watch.look(),
                Poll::Ready(_) => watch.note(),
            }
        }
        polled
    }
}

impl<F> fmt::Debug for DrainFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainFuture").finish_non_exhaustive()
    }
}
