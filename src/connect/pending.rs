//! A pending connect and its alarm.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use pin_project_lite::pin_project;
use tokio::task::futures::TaskLocalFuture;
use tokio::time::Sleep;

use crate::attempt::AttemptContext;

pin_project! {
    /// A pending connect and the alarm of the next check of the connect. Both share one box.
    pub(super) struct Pending<F> {
        #[pin]
        connecting: TaskLocalFuture<AttemptContext, F>,
        #[pin]
        alarm: Option<Sleep>,
    }
}

impl<F> Pending<F> {
    pub(super) fn new(connecting: TaskLocalFuture<AttemptContext, F>) -> Self {
        let alarm = None;
        Self { connecting, alarm }
    }

    /// Polls the connect. When the connect has ended, the alarm is removed.
    pub(super) fn poll_connect(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output>
    where
        F: Future,
    {
        let mut this = self.project();
        let ended = ready!(this.connecting.poll(cx));
        this.alarm.set(None);
        Poll::Ready(ended)
    }

    pub(super) fn has_alarm(&self) -> bool {
        self.alarm.is_some()
    }

    pub(super) fn set_alarm(self: Pin<&mut Self>, due: Instant) {
        self.project().alarm.set(Some(sleep_until(due)));
    }

    /// Polls the alarm. The result is ready at the time of the alarm, and is that time.
    pub(super) fn poll_alarm(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Instant> {
        let mut alarm = self.project().alarm;
        let Some(mut sleep) = alarm.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        ready!(sleep.as_mut().poll(cx));
        let due = sleep.deadline().into_std();
        alarm.set(None);
        Poll::Ready(due)
    }
}

fn sleep_until(due: Instant) -> Sleep {
    tokio::time::sleep_until(due.into())
}
