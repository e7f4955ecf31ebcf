//! Runs a race.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::Connection;
use tower_service::Service;

use crate::connect;
use crate::error::BoxError;

/// The future of a race.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S, Req>
where
    S: Service<Req>,
{
    pub(super) inner: connect::ResponseFuture<S::Future>,
}

impl<S, Req> Future for ResponseFuture<S, Req>
where
    S: Service<Req>,
    S::Response: Connection,
    S::Error: Into<BoxError>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

impl<S, Req> fmt::Debug for ResponseFuture<S, Req>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
