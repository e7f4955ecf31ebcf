//! The settings of [`ConnectLayer`].

use std::time::Duration;

use tower::Layer;

use super::Connect;
use super::attempt_info::TimeoutMode;
use crate::Resolver;
use crate::time::LONGEST;

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
/// | any connect that is [slow](crate::ResolverBuilder::slow_connect_after) or given up after the [`timeout`](Self::timeout) | the resolved name, if there is only one |
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
    timeout: Option<Duration>,
}

/// The default of [`ConnectLayer::timeout`], and of the attempts of a race.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

impl Resolver {
    /// Returns the layer that reports the ends of connects to this resolver.
    ///
    /// Put the layer around a connector that uses this resolver; see [`ConnectLayer`].
    #[must_use]
    pub fn connect_layer(&self) -> ConnectLayer {
        ConnectLayer::new(self)
    }
}

impl ConnectLayer {
    /// Creates a layer that reports to this resolver; the same as [`Resolver::connect_layer`].
    #[must_use]
    pub fn new(resolver: &Resolver) -> Self {
        resolver.inner().expect_context();
        Self {
            resolver: resolver.clone(),
            timeout_mode: TimeoutMode::Standalone,
            timeout: Some(ATTEMPT_TIMEOUT),
        }
    }

    /// Sets the time after which a connect is given up, if another address can be connected to.
    ///
    /// The connect then fails with a timeout error, so that a retry connects to another address. The time counts from
    /// when the resolver returned the addresses, so a slow lookup does not count. If `None`, there is no such timeout.
    ///
    /// Defaults to 10 s. The timeout is a backstop, because a connector attempts one address after the other, and an
    /// operating system takes minutes to give an address up. A connect is given up only while another address has no
    /// penalty and was not slow, and never before the connect is
    /// [slow](crate::ResolverBuilder::slow_connect_after), whatever the timeout. A shorter connect timeout of the
    /// client takes effect first. The longest timeout is 7 days; a longer one is set to that.
    ///
    /// Inside of a [race](crate::HappyEyeballsLayer) the timeout has no effect.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into().map(|timeout| timeout.min(LONGEST));
        self
    }

    /// Sets whether the caller connects again after a connect was given up; by default it does not.
    ///
    /// `.sidestep()`, a `RetryPolicy` and the middleware do so. A connect is then given up as soon as it is
    /// [slow](crate::ResolverBuilder::slow_connect_after) and there is something better to connect to. Without this
    /// setting a connect is given up only after the [`timeout`](Self::timeout). A
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
        Connect::new(
            inner,
            self.resolver.clone(),
            self.timeout_mode,
            self.timeout,
        )
    }
}
