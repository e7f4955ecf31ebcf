//! The errand: what a middleware sees of the client that it sends a request by.
//!
//! reqwest does not tell it whether the client sends again by itself, nor, of a request that was
//! redirected, that it was on its way before. So the errand hangs around the sending as a slip does
//! around a connect, and who is inside writes on it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

tokio::task_local! {
    static RUNNING: Errand;
}

/// What was seen of one sending. Clones are the same errand.
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
    /// Hangs around a sending.
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

    /// Somebody inside decides by himself what is sent again.
    pub(crate) fn is_judged_inside() {
        note(|seen| &seen.is_judged);
    }

    /// A connect begins.
    pub(crate) fn dials() {
        let has_waited = |seen: &Seen| seen.has_waited.load(Ordering::Relaxed);
        note(|seen| match has_waited(seen) {
            false => &seen.dialled_at_once,
            true => &seen.dialled_later,
        });
    }

    /// Whether somebody inside has decided what is sent again.
    pub(crate) fn is_judged(&self) -> bool {
        self.0.is_judged.load(Ordering::Relaxed)
    }

    /// Whether the one connect was begun before anything could have been answered, so that it was
    /// not a redirect's. A redirect on the same connection that dies unsent is dialled again by
    /// hyper-util, and so later.
    pub(crate) fn dialled_only_at_once(&self) -> bool {
        let seen = &self.0;
        seen.dialled_at_once.load(Ordering::Relaxed) && !seen.dialled_later.load(Ordering::Relaxed)
    }
}

fn note(which: impl Fn(&Seen) -> &AtomicBool) {
    // Nobody has sent for it: then there is nobody to tell.
    let _ = RUNNING.try_with(|errand| which(&errand.0).store(true, Ordering::Relaxed));
}
