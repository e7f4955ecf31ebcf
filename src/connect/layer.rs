//! The settings of [`ConnectLayer`].

use tower::Layer;

use super::Connect;
use super::observer::TimeoutMode;
use crate::Resolver;

/// Watches a connector and reports the end of each connect to its [`Resolver`].
///
/// The layer works around any `Service` whose response implements hyper-util's
/// [`Connection`](hyper_util::client::legacy::connect::Connection) and that calls the resolver in the task that polls
/// the service. Such services are reqwest's connector (through `ClientBuilder::connector_layer`), `HttpConnector`,
/// hyper-rustls around it, and layers that box.
///
/// # Where to put it
///
/// Put the layer outside of TLS, so that it sees failed handshakes. Put it inside of any layer that runs the connector
/// on a task of its own, as `tower::buffer` may. The resolver recognizes the calls of the connector by a task-local
/// value. If that value is lost, connects still work, and the log warns once and says which layer to move.
///
/// # What the layer sees
///
/// | end of a connect | what the resolver learns |
/// |---|---|
/// | success | the address of the connection, and so also which addresses before it have failed |
/// | error | the class of the error, by [`Outcome::from_error`](crate::Outcome::from_error) |
/// | [slow](crate::ResolverBuilder::slow_connect_after) | the slow address, also if the connect is dropped then, as by reqwest's `connect_timeout` |
/// | dropped sooner | nothing |
///
/// For an IP literal or an override of the client, such as reqwest's `resolve`, the connector calls no resolver. So
/// the resolver learns nothing from such a connect.
///
/// # Behind a proxy
///
/// The connector resolves the name of the proxy, so the resolver learns about the addresses of the proxy. The layer
/// attributes failures behind the proxy to no address, as far as the failures can be told apart.
///
/// | what failed | attributed to |
/// |---|---|
/// | connecting to the proxy, TLS with the proxy, or a proxy that closed before it answered a CONNECT | the proxy |
/// | the proxy said that it can't reach the origin | no address |
/// | TLS with the origin, by hyper-rustls, or by reqwest with rustls | no address |
/// | TLS with the origin, by reqwest with native-tls, whose error is the same for the proxy and the origin | the proxy |
/// | a forwarded request, because the connection closed before a response (seen by `.sidestep()`) | the proxy |
/// | a request through a tunnel, for the same reason | no address |
/// | a SOCKS proxy closed in the middle of its handshake | no address under reqwest, which may have resolved only the origin's name |
/// | any connect that is [slow](crate::ResolverBuilder::slow_connect_after) or pending for [`attempt_timeout`](crate::ResolverBuilder::attempt_timeout) | the resolved name, if there is only one |
///
/// If a connector resolves a different name than the request's host without a proxy, the layer assumes a proxy. TLS
/// failures are then attributed to no address.
///
/// # Examples
///
/// ```
/// use hyper_util::client::legacy::connect::HttpConnector;
/// use tower::Layer as _;
///
/// let resolver = sidestep::Resolver::new();
/// let http = HttpConnector::new_with_resolver(resolver.clone());
/// let connector = resolver.connect_layer().layer(http);
/// ```
#[derive(Clone, Debug)]
pub struct ConnectLayer {
    resolver: Resolver,
    timeout_mode: TimeoutMode,
}

impl Resolver {
    /// Returns the layer that reports the ends of connects to this resolver.
    ///
    /// Put the layer around a connector that uses this resolver; see [`ConnectLayer`].
    #[must_use]
    pub fn connect_layer(&self) -> ConnectLayer {
        self.inner().expect_context();
        ConnectLayer {
            resolver: self.clone(),
            timeout_mode: TimeoutMode::Standalone,
        }
    }
}

impl ConnectLayer {
    /// Sets whether the caller connects again after a connect was given up; by default it does not.
    ///
    /// `.sidestep()`, a `RetryPolicy` and the middleware do so. A connect is then given up as soon as it is
    /// [slow](crate::ResolverBuilder::slow_connect_after) and there is something better to connect to. Without this
    /// setting a connect is given up only after [`attempt_timeout`](crate::ResolverBuilder::attempt_timeout). A
    /// [race](crate::HappyEyeballsLayer) needs no such setting.
    #[must_use]
    pub fn caller_retries(mut self, on: bool) -> Self {
        self.timeout_mode = match on {
            true => TimeoutMode::CallerRetries,
            false => TimeoutMode::Standalone,
        };
        self
    }
}

impl<S> Layer<S> for ConnectLayer {
    type Service = Connect<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Connect::new(inner, self.resolver.clone(), self.timeout_mode)
    }
}
