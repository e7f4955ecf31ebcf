//! Starts a race for each connect.

use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::Connection;
use tower::Service;

use super::HappyEyeballsFuture;
use super::times::RaceTimes;
use crate::Resolver;
use crate::connect::{AttemptInfo, SharedFamiliesUsed};
use crate::error::BoxError;

/// A connector that a [`HappyEyeballsLayer`](super::HappyEyeballsLayer) calls for each address of a race.
#[derive(Clone, Debug)]
pub struct HappyEyeballs<S> {
    inner: S,
    resolver: Resolver,
    families_used: SharedFamiliesUsed,
    times: RaceTimes,
}

impl<S> HappyEyeballs<S> {
    pub(super) fn new(inner: S, resolver: Resolver, times: RaceTimes) -> Self {
        let families_used = SharedFamiliesUsed::default();
        Self {
            inner,
            resolver,
            families_used,
            times,
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

impl<S, Req> Service<Req> for HappyEyeballs<S>
where
    S: Service<Req> + Clone,
    S::Response: Connection,
    S::Error: Into<BoxError>,
    Req: Clone + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = HappyEyeballsFuture<S, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let timeout = self.times.attempt_timeout;
        let by = AttemptInfo::of(&self.resolver, &self.families_used, &request, timeout);
        // The connector that is ready takes the first call. Clones of `spare` get ready when later attempts need them.
        let spare = self.inner.clone();
        HappyEyeballsFuture::new(&mut self.inner, spare, request, by, self.times)
    }
}
