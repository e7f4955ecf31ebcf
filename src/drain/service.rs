//! Drains connections before a request, and captures the connection of each request.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Uri};
use tower::Service;

use super::DrainFuture;
use super::captured::Captured;
use super::future::Watch;
use super::registry::Registry;

/// An HTTP client under a [`DrainLayer`](super::DrainLayer). Clones share one registry of connections, as clones of a
/// client share one pool.
#[derive(Clone, Debug)]
pub struct Drain<S> {
    inner: S,
    registry: Arc<Registry>,
}

impl<S> Drain<S> {
    pub(super) fn new(inner: S, registry: Registry) -> Self {
        let registry = Arc::new(registry);
        Self { inner, registry }
    }

    /// Returns a reference to the inner client.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner client.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner client.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B> Service<Request<B>> for Drain<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = DrainFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let watch = origin(request.uri()).map(|(origin, host)| {
            self.registry.sweep(&origin);
            let captured = Captured::of(&mut request);
            Watch::new(self.registry.clone(), origin, host, captured)
        });
        DrainFuture::new(self.inner.call(request), watch)
    }
}

/// Returns the key by which hyper-util's pool separates connections, and the host in that key.
fn origin(uri: &Uri) -> Option<(Box<str>, Box<str>)> {
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let origin = format!("{scheme}://{authority}").to_ascii_lowercase();
    Some((origin.into(), authority.host().into()))
}

#[cfg(test)]
mod tests;
