//! Retires connections, and has the one of each request captured.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Uri};
use tower_service::Service;

use super::ResponseFuture;
use super::captured::Captured;
use super::future::Watch;
use super::registry::Registry;

/// An HTTP client under a [`PoolLayer`](super::PoolLayer). Clones share what they know of its pool,
/// as clones of a client share that.
#[derive(Clone, Debug)]
pub struct Pool<S> {
    inner: S,
    registry: Arc<Registry>,
}

impl<S> Pool<S> {
    pub(super) fn new(inner: S, registry: Registry) -> Self {
        let registry = Arc::new(registry);
        Self { inner, registry }
    }

    /// Returns the client inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the client inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the client out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B> Service<Request<B>> for Pool<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let watch = origin(request.uri()).map(|(origin, host)| {
            self.registry.sweep(&origin);
            let captured = Captured::of(&mut request);
            Watch::new(self.registry.clone(), origin, host, captured)
        });
        ResponseFuture::new(self.inner.call(request), watch)
    }
}

/// Returns what hyper-util's pool tells connections apart by, and the host in it.
fn origin(uri: &Uri) -> Option<(Box<str>, Box<str>)> {
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let origin = format!("{scheme}://{authority}").to_ascii_lowercase();
    Some((origin.into(), authority.host().into()))
}

#[cfg(test)]
mod tests;
