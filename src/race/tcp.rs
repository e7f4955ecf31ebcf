//! Tells a race that TCP is up.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::Resolver;
use crate::attempt::Slip;

/// Tells a [race](crate::RaceLayer) that TCP is up, so that TLS gets its time.
///
/// Put it around the `HttpConnector`, inside of TLS. An attempt whose TCP is up is at a live address,
/// so the race waits one more [`attempt_delay`](crate::Builder::attempt_delay) before it dials another
/// beside it. Without this layer, and without TLS, a race knows attempts as a whole.
///
/// Behind a proxy it also tells that the proxy is there: what hangs after that may as well be the origin,
/// and is held against nobody. Around a tunnel (hyper-util's `proxy::Tunnel`) in place of the `HttpConnector`
/// it tells that the tunnel is up, so that a proxy that hangs before that is found.
///
/// # Examples
///
/// ```
/// use hyper_util::client::legacy::connect::HttpConnector;
/// use tower_layer::Layer as _;
///
/// let resolver = sidestep::Resolver::new();
/// let mut http = HttpConnector::new_with_resolver(resolver.clone());
/// http.enforce_http(false);
/// let tcp = resolver.tcp_layer().layer(http);
/// // Wrap `tcp` in hyper-rustls or hyper-tls here.
/// let connector = resolver.race_layer().layer(tcp);
/// ```
#[derive(Clone, Debug)]
pub struct TcpLayer {
    resolver: u64,
}

impl Resolver {
    /// Returns the layer for inside of TLS, under a race; see [`TcpLayer`].
    #[must_use]
    pub fn tcp_layer(&self) -> TcpLayer {
        TcpLayer {
            resolver: self.inner().id(),
        }
    }
}

impl<S> Layer<S> for TcpLayer {
    type Service = Tcp<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let resolver = self.resolver;
        Tcp { inner, resolver }
    }
}

/// A connector that tells a race when TCP is up; made by [`TcpLayer`].
#[derive(Clone, Debug)]
pub struct Tcp<S> {
    inner: S,
    resolver: u64,
}

impl<S, Req> Service<Req> for Tcp<S>
where
    S: Service<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = TcpFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        TcpFuture {
            connecting: self.inner.call(request),
            resolver: self.resolver,
        }
    }
}

pin_project! {
    /// The future of a connect that tells a race when TCP is up.
    ///
    /// # Cancel safety
    ///
    /// As the connector's own.
    #[must_use = "futures do nothing unless polled"]
    pub struct TcpFuture<F> {
        #[pin]
        connecting: F,
        resolver: u64,
    }
}

impl<F, C, E> Future for TcpFuture<F>
where
    F: Future<Output = Result<C, E>>,
{
    type Output = Result<C, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let connected = ready!(this.connecting.poll(cx));
        if connected.is_ok()
            && let Some(slip) = Slip::hanging(*this.resolver)
        {
            slip.tcp_is_up();
        }
        Poll::Ready(connected)
    }
}

impl<F> fmt::Debug for TcpFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpFuture").finish_non_exhaustive()
    }
}
