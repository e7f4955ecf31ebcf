//! The errand, which records what a middleware must know of the client that sends a request.
//!
//! reqwest does not show whether the client retries requests itself, nor whether a redirected request was sent before
//! the redirect. So the middleware runs the client in the scope of an errand, which is a task-local value, and code
//! inside the client records in the errand.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

tokio::task_local! {
    static RUNNING: Errand;
}

/// The record of sending one request. Clones share one record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Errand(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    is_judged: AtomicBool,
    has_waited: AtomicBool,
    dialled_at_once: AtomicBool,
    dialled_later: AtomicBool,
}

impl Errand {
    /// Runs the sending of a request in the scope of this errand.
    pub(crate) async fn around<T>(&self, sending: impl Future<Output = T>) -> T {
        let watched = async {
            let mut sending = pin!(sending);
            let at_once = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await;
            self.0.has_waited.store(true, Ordering::Relaxed);
            match at_once {
                Poll::Ready(ended) => ended,
                Poll::Pending => sending.await,
            }
        };
        RUNNING.scope(self.clone(), watched).await
    }

    /// Records that code inside the client decides which requests are retried.
    pub(crate) fn is_judged_inside() {
        note(|seen| &seen.is_judged);
    }

    /// Records that a connect begins.
    pub(crate) fn dials() {
        let has_waited = |seen: &Seen| seen.has_waited.load(Ordering::Relaxed);
        note(|seen| match has_waited(seen) {
            false => &seen.dialled_at_once,
            true => &seen.dialled_later,
        });
    }

    /// Returns whether code inside the client decides which requests are retried.
    pub(crate) fn is_judged(&self) -> bool {
        self.0.is_judged.load(Ordering::Relaxed)
    }

    /// Returns whether connects began only in the first poll, before any response could have come.
    ///
    /// So none of them belongs to a redirect. If a redirected request uses the same connection, and the connection
    /// dies before the request is sent, hyper-util connects again, but after the first poll.
    pub(crate) fn dialled_only_at_once(&self) -> bool {
        let seen = &self.0;
        seen.dialled_at_once.load(Ordering::Relaxed) && !seen.dialled_later.load(Ordering::Relaxed)
    }
}

fn note(which: impl Fn(&Seen) -> &AtomicBool) {
    // Without an errand around the caller there is nothing to record in.
    let _ = RUNNING.try_with(|errand| which(&errand.0).store(true, Ordering::Relaxed));
}
