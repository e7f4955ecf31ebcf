//! A pending connect and its alarm.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use pin_project_lite::pin_project;
use tokio::task::futures::TaskLocalFuture;
use tokio::time::Sleep;

use crate::attempt::Slip;

pin_project! {
    /// What is waited for: the connect, and meanwhile the next look at it. One box for both.
    pub(super) struct Pending<F> {
        #[pin]
        connecting: TaskLocalFuture<Slip, F>,
        #[pin]
        alarm: Option<Sleep>,
    }
}

impl<F> Pending<F> {
    pub(super) fn new(connecting: TaskLocalFuture<Slip, F>) -> Self {
        let alarm = None;
        Self { connecting, alarm }
    }

    /// Polls the connect; when that has ended there is no alarm any more.
    pub(super) fn poll_connect(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output>
    where
        F: Future,
    {
        let mut this = self.project();
        let ended = ready!(this.connecting.poll(cx));
        this.alarm.set(None);
        Poll::Ready(ended)
    }

    /// Ready when it is time.
    pub(super) fn poll_alarm(self: Pin<&mut Self>, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let mut alarm = self.project().alarm;
        if alarm.is_none() {
            alarm.set(Some(sleep_until(due)));
        }
        if let Some(sleep) = alarm.as_mut().as_pin_mut() {
            ready!(sleep.poll(cx));
        }
        alarm.set(None);
        Poll::Ready(())
    }
}

fn sleep_until(due: Instant) -> Sleep {
    tokio::time::sleep_until(due.into())
}
