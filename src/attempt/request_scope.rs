//! Records what a middleware must know of the client that sends a request.
//!
//! reqwest does not show whether the client retries requests itself, nor whether a redirected request was sent before
//! the redirect. So the middleware runs the client in the scope of a task-local value, and code
//! inside the client records in that value.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

tokio::task_local! {
    static RUNNING: RequestScope;
}

/// The record of sending one request. Clones share one record.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestScope(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    is_classified: AtomicBool,
    has_waited: AtomicBool,
    connected_at_once: AtomicBool,
    connected_later: AtomicBool,
}

impl RequestScope {
    /// Runs the sending of a request in this scope.
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
    pub(crate) fn set_classified_inside() {
        note(|seen| &seen.is_classified);
    }

    /// Records that a connect begins.
    pub(crate) fn connects() {
        let has_waited = |seen: &Seen| seen.has_waited.load(Ordering::Relaxed);
        note(|seen| match has_waited(seen) {
            false => &seen.connected_at_once,
            true => &seen.connected_later,
        });
    }

    /// Returns whether code inside the client decides which requests are retried.
    pub(crate) fn is_classified(&self) -> bool {
        self.0.is_classified.load(Ordering::Relaxed)
    }

    /// Returns whether connects began only in the first poll, before any response could have come.
    ///
    /// So none of them belongs to a redirect. If a redirected request uses the same connection, and the connection
    /// dies before the request is sent, hyper-util connects again, but after the first poll.
    pub(crate) fn dialled_only_at_once(&self) -> bool {
        let seen = &self.0;
        seen.connected_at_once.load(Ordering::Relaxed)
            && !seen.connected_later.load(Ordering::Relaxed)
    }
}

fn note(which: impl Fn(&Seen) -> &AtomicBool) {
    // Without a scope around the caller there is nothing to record in.
    let _ =
        RUNNING.try_with(|request_scope| which(&request_scope.0).store(true, Ordering::Relaxed));
}
