//! Reports to a race that TCP is up.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower::Layer;
use tower::Service;

use crate::Resolver;
use crate::attempt::AttemptContext;

/// Reports to a [race](crate::HappyEyeballsLayer) that TCP is up, so that TLS gets its time.
///
/// Put the layer around the `HttpConnector`, inside of TLS. If the TCP of an attempt is up, its address is alive. So
/// the race waits one more [`attempt_delay`](crate::HappyEyeballsLayer::attempt_delay) before the next attempt starts
/// beside this one. Without this layer, or without TLS, the race learns nothing of an attempt before its end.
///
/// Behind a proxy the layer also reports that the proxy is alive. If the connect hangs after that, the origin may be
/// the cause, and the connect is attributed to no address. The layer may also go around a tunnel (hyper-util's
/// `proxy::Tunnel`) in place of the `HttpConnector`. The layer then reports that the tunnel is up, so that a proxy is
/// found that hangs before that.
///
/// # Examples
///
/// ```
/// use hyper_util::client::legacy::connect::HttpConnector;
/// use tower::Layer as _;
///
/// let resolver = sidestep::Resolver::new();
/// let mut http = HttpConnector::new_with_resolver(resolver.clone());
/// http.enforce_http(false);
/// let tcp = resolver.tcp_connected_layer().layer(http);
/// // Wrap `tcp` in hyper-rustls or hyper-tls here.
/// let connector = resolver.happy_eyeballs_layer().layer(tcp);
/// ```
#[derive(Clone, Debug)]
pub struct TcpConnectedLayer {
    resolver: u64,
}

impl Resolver {
    /// Returns the layer that reports TCP to a race; see [`TcpConnectedLayer`].
    #[must_use]
    pub fn tcp_connected_layer(&self) -> TcpConnectedLayer {
        TcpConnectedLayer::new(self)
    }
}

impl TcpConnectedLayer {
    /// Creates a layer for connectors of this resolver; the same as [`Resolver::tcp_connected_layer`].
    #[must_use]
    pub fn new(resolver: &Resolver) -> Self {
        Self {
            resolver: resolver.inner().id(),
        }
    }
}

impl<S> Layer<S> for TcpConnectedLayer {
    type Service = TcpConnected<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let resolver = self.resolver;
        TcpConnected { inner, resolver }
    }
}

/// A connector that reports to a race when TCP is up, made by [`TcpConnectedLayer`].
#[derive(Clone, Debug)]
pub struct TcpConnected<S> {
    inner: S,
    resolver: u64,
}

impl<S, Req> Service<Req> for TcpConnected<S>
where
    S: Service<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = TcpConnectedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        TcpConnectedFuture {
            connecting: self.inner.call(request),
            resolver: self.resolver,
        }
    }
}

pin_project! {
    /// The future of a connect that reports to a race when TCP is up.
    ///
    /// # Cancel safety
    ///
    /// The future is cancel safe if the connector's future is.
    #[must_use = "futures do nothing unless polled"]
    pub struct TcpConnectedFuture<F> {
        #[pin]
        connecting: F,
        resolver: u64,
    }
}

impl<F, C, E> Future for TcpConnectedFuture<F>
where
    F: Future<Output = Result<C, E>>,
{
    type Output = Result<C, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let connected = ready!(this.connecting.poll(cx));
        if connected.is_ok()
            && let Some(context) = AttemptContext::current(*this.resolver)
        {
            context.set_tcp_connected();
        }
        Poll::Ready(connected)
    }
}

impl<F> fmt::Debug for TcpConnectedFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpConnectedFuture").finish_non_exhaustive()
    }
}
