//! Waits for the connect; a failure is told in full.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::Connection;

use super::ConnectError;
use super::observer::{Observer, Patience};
use super::watched::{Unmade, Watched};
use crate::attempt::Slip;
use crate::error::BoxError;

/// The future of a watched connect.
///
/// # Cancel safety
///
/// A connect that is [slow](crate::Builder::stalled_after) is a soft strike against its address, even if reqwest's
/// `connect_timeout` drops the connect later. A connect that is dropped before nine tenths of that time says nothing:
/// the caller may just have gone away.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F> {
    connecting: Watched<F>,
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(connecting: F, slip: Slip, by: Observer, patience: Patience) -> Self
    where
        F: Future,
    {
        let connecting = Watched::new(connecting, slip, by, patience);
        Self { connecting }
    }

    fn explained(&self, unmade: Unmade) -> BoxError {
        let Unmade {
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

impl<F, C, E> Future for ResponseFuture<F>
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

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
