//! Starts a race for each connect.

use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::Connection;
use tower_layer::Layer as _;
use tower_service::Service;

use super::ResponseFuture;
use crate::Resolver;
use crate::connect::Connect;
use crate::error::BoxError;

/// A connector raced by [`RaceLayer`](super::RaceLayer).
#[derive(Clone, Debug)]
pub struct Race<S> {
    inner: Connect<S>,
}

impl<S> Race<S> {
    pub(super) fn new(inner: S, resolver: Resolver) -> Self {
        let inner = resolver.connect_layer().layer(inner);
        Self { inner }
    }
}

impl<S, Req> Service<Req> for Race<S>
where
    S: Service<Req> + Clone,
    S::Response: Connection,
    S::Error: Into<BoxError>,
    Req: Clone + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        ResponseFuture {
            inner: self.inner.call(request),
        }
    }
}

/// A connector under a race that tells when TCP is up.
#[derive(Clone, Debug)]
pub struct Tcp<S> {
    inner: S,
    _resolver: Resolver,
}

impl<S> Tcp<S> {
    pub(super) fn new(inner: S, resolver: Resolver) -> Self {
        let _resolver = resolver;
        Self { inner, _resolver }
    }
}

impl<S, Req> Service<Req> for Tcp<S>
where
    S: Service<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        self.inner.call(request)
    }
}
