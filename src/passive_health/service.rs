//! Passes requests on, and watches their responses.

use std::error::Error as StdError;
use std::task::{Context, Poll};

use tower::Service;

use super::PassiveHealthFuture;
use super::counted::Counted;
use super::future::Reply;
use crate::Resolver;

/// An HTTP client watched by [`PassiveHealthLayer`](super::PassiveHealthLayer).
#[derive(Clone, Debug)]
pub struct PassiveHealth<S> {
    inner: S,
    resolver: Resolver,
    counted: Counted,
}

impl<S> PassiveHealth<S> {
    pub(super) fn new(inner: S, resolver: Resolver, counted: Counted) -> Self {
        Self {
            inner,
            resolver,
            counted,
        }
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

    /// Watches the response of a request to `host`. `read` returns the parts of the response that the layer reads.
    pub(crate) fn watch<F, R>(
        &self,
        future: F,
        host: Option<&str>,
        read: fn(&R) -> Reply<'_>,
    ) -> PassiveHealthFuture<F, R> {
        let host = host.unwrap_or_default().to_owned();
        let (resolver, counted) = (self.resolver.clone(), self.counted.clone());
        PassiveHealthFuture::new(future, host, read, resolver, counted)
    }
}

impl<S, B, R> Service<http::Request<B>> for PassiveHealth<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    S::Error: StdError + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = PassiveHealthFuture<S::Future, S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let uri = request.uri().clone();
        let future = self.inner.call(request);
        self.watch(future, uri.host(), |response| Reply {
            host: None,
            status: response.status(),
            headers: response.headers(),
            extensions: response.extensions(),
        })
    }
}
