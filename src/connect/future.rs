//! The future of a connect, which turns a failure into a [`ConnectError`].

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::Connection;

use super::ConnectError;
use super::attempt_info::{AttemptInfo, TimeoutMode};
use super::watched::{ConnectFailure, WatchedConnect};
use crate::attempt::AttemptContext;
use crate::error::BoxError;

/// The future of a connect that a [`ConnectLayer`](crate::ConnectLayer) watches.
///
/// # Cancel safety
///
/// If the future is dropped, the connect ends. The address of a [slow](crate::ResolverBuilder::slow_connect_after)
/// connect gets a soft strike, even if reqwest's `connect_timeout` drops the connect later. A drop before nine tenths
/// of the time after which a connect is slow says nothing about the address, because the caller may just have gone
/// away.
#[must_use = "futures do nothing unless polled"]
pub struct ConnectFuture<F> {
    connecting: WatchedConnect<F>,
}

impl<F> ConnectFuture<F> {
    pub(super) fn new(
        connecting: F,
        context: AttemptContext,
        by: AttemptInfo,
        timeout_mode: TimeoutMode,
    ) -> Self
    where
        F: Future,
    {
        let connecting = WatchedConnect::new(connecting, context, by, timeout_mode);
        Self { connecting }
    }

    fn explained(&self, unmade: ConnectFailure) -> BoxError {
        let ConnectFailure {
            ending,
            error,
            given_up_after,
        } = unmade;
        match self.connecting.account(&ending) {
            None => error,
            Some(account) => ConnectError::new(account, given_up_after, error).into(),
        }
    }
}

impl<F, C, E> Future for ConnectFuture<F>
where
    F: Future<Output = Result<C, E>>,
    C: Connection,
    E: Into<BoxError>,
{
    type Output = Result<C, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let connecting = Pin::new(&mut self.connecting).poll(cx);
        connecting.map_err(|unmade| self.explained(unmade))
    }
}

impl<F> fmt::Debug for ConnectFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectFuture").finish_non_exhaustive()
    }
}
