//! Runs each connect in the scope of an attempt context.

use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::Connection;
use tower::Service;

use super::ConnectFuture;
use super::attempt_info::{AttemptInfo, TimeoutMode};
use super::families_used::SharedFamiliesUsed;
use crate::Resolver;
use crate::attempt::AttemptContext;
#[cfg(feature = "middleware")]
use crate::attempt::RequestScope;
use crate::error::BoxError;

/// A connector that a [`ConnectLayer`](super::ConnectLayer) watches.
#[derive(Clone, Debug)]
pub struct Connect<S> {
    inner: S,
    resolver: Resolver,
    families_used: SharedFamiliesUsed,
    timeout_mode: TimeoutMode,
    timeout: Option<Duration>,
}

impl<S> Connect<S> {
    pub(super) fn new(
        inner: S,
        resolver: Resolver,
        timeout_mode: TimeoutMode,
        timeout: Option<Duration>,
    ) -> Self {
        let families_used = SharedFamiliesUsed::default();
        Self {
            inner,
            resolver,
            families_used,
            timeout_mode,
            timeout,
        }
    }

    /// Returns the inner connector.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner connector.
    pub fn get_mut(&mut self) -> &mut S {
        // The caller may bind the connector to a local address, so the families used before no longer count.
        self.families_used = SharedFamiliesUsed::default();
        &mut self.inner
    }

    /// Unwraps the inner connector.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req> Service<Req> for Connect<S>
where
    S: Service<Req>,
    S::Response: Connection,
    S::Error: Into<BoxError>,
    Req: 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ConnectFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        #[cfg(feature = "middleware")]
        RequestScope::connects();
        let id = self.resolver.inner().id();
        let (context, timeout_mode) = match AttemptContext::of_race(id) {
            Some(context) => (context, TimeoutMode::NestedInRace),
            None => (AttemptContext::new(id), self.timeout_mode),
        };
        let by = AttemptInfo::of(&self.resolver, &self.families_used, &request, self.timeout);
        // hyper-rustls calls its inner connector at once. Other connectors do so inside their future.
        let connecting = context.sync_scope(|| self.inner.call(request));
        ConnectFuture::new(connecting, context, by, timeout_mode)
    }
}
