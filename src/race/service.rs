//! Starts a race for each connect.

use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::Connection;
use tower_service::Service;

use super::ResponseFuture;
use crate::Resolver;
use crate::connect::{Observer, Reached};
use crate::error::BoxError;

/// A connector raced by [`RaceLayer`](super::RaceLayer).
#[derive(Clone, Debug)]
pub struct Race<S> {
    inner: S,
    resolver: Resolver,
    reached: Reached,
}

impl<S> Race<S> {
    pub(super) fn new(inner: S, resolver: Resolver) -> Self {
        let reached = Reached::default();
        Self {
            inner,
            resolver,
            reached,
        }
    }

    /// Returns the connector inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the connector inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        // It may be bound to a local address from now on.
        self.reached = Reached::default();
        &mut self.inner
    }

    /// Takes the connector out.
    pub fn into_inner(self) -> S {
        self.inner
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
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let by = Observer::of(&self.resolver, &self.reached, &request);
        // The one that is ready takes the first call; others get ready when they are needed.
        let spare = self.inner.clone();
        ResponseFuture::new(&mut self.inner, spare, request, by)
    }
}
