//! Hangs a slip around each connect.

use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::Connection;
use tower_service::Service;

use super::ResponseFuture;
use crate::Resolver;
use crate::attempt::Slip;
use crate::error::BoxError;

/// A connector watched by [`ConnectLayer`](super::ConnectLayer).
#[derive(Clone, Debug)]
pub struct Connect<S> {
    inner: S,
    resolver: Resolver,
}

impl<S> Connect<S> {
    pub(super) fn new(inner: S, resolver: Resolver) -> Self {
        Self { inner, resolver }
    }

    /// Returns the connector inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the connector inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the connector out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req> Service<Req> for Connect<S>
where
    S: Service<Req>,
    S::Response: Connection,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let slip = Slip::new(self.resolver.inner().id());
        // hyper-rustls calls the connector below it at once, others inside their future.
        let connecting = slip.around_call(|| self.inner.call(request));
        ResponseFuture::new(connecting, slip, self.resolver.clone())
    }
}
