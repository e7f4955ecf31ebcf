//! Settings of the layer: which resolver.

use tower_layer::Layer;

use super::Connect;
use super::observer::Patience;
use crate::Resolver;

/// Watches a connector and tells its [`Resolver`] how each connect ended.
///
/// It works around any `Service` whose response implements hyper-util's
/// [`Connection`](hyper_util::client::legacy::connect::Connection) and which asks the resolver in
/// the task that polls it: reqwest's connector (by `ClientBuilder::connector_layer`),
/// `HttpConnector`, hyper-rustls around it, layers that box.
///
/// # Where to put it
///
/// Outside of TLS, so that a failed handshake is seen, and inside of any layer that runs the
/// connector on a task of its own (as `tower::buffer` may): the resolver is told apart from other
/// askers by a task-local value. Where that is lost nothing breaks; one warning says what to move.
///
/// # What it can see
///
/// On success the address that was connected to, so also which ones before it had failed; on an
/// error its class, by [`Outcome::of`](crate::Outcome::of); a connect that is
/// [slow](crate::Builder::stalled_after), also when it is dropped then, as reqwest's
/// `connect_timeout` does. Dropped sooner it says nothing. IP literals and overrides ask no
/// resolver, so nothing is learned from them.
///
/// # Behind a proxy
///
/// The name that is asked for is the proxy's, and so are the addresses that are learned about. What
/// fails behind it is not held against them, as far as that can be told:
///
/// | what failed | held against |
/// |---|---|
/// | connecting to the proxy, TLS with it, or it closed before it answered a CONNECT | the proxy |
/// | the proxy said that it can't reach the origin | nobody |
/// | TLS with the origin, by hyper-rustls, or by reqwest with rustls | nobody |
/// | TLS with the origin, by reqwest with native-tls, which says the same of both | the proxy |
/// | the connection closed before a response (seen by `.sidestep()`): forwarded | the proxy |
/// | the same, through a tunnel | nobody |
/// | a SOCKS proxy closed in the middle of its handshake | nobody under reqwest, which may have asked for the origin's name alone |
/// | any of it is [slow](crate::Builder::stalled_after) or pending for [`attempt_timeout`](crate::Builder::attempt_timeout) | the one name that was asked for |
///
/// Who connects to another name than the request has, without a proxy, is taken for one: failures
/// of TLS blame nobody there.
///
/// # Examples
///
/// ```
/// use hyper_util::client::legacy::connect::HttpConnector;
/// use tower_layer::Layer as _;
///
/// let resolver = sidestep::Resolver::new();
/// let http = HttpConnector::new_with_resolver(resolver.clone());
/// let connector = resolver.connect_layer().layer(http);
/// ```
#[derive(Clone, Debug)]
pub struct ConnectLayer {
    resolver: Resolver,
    patience: Patience,
}

impl Resolver {
    /// Returns the layer that sees connects fail. Put it around a connector whose resolver this
    /// is; see [`ConnectLayer`].
    #[must_use]
    pub fn connect_layer(&self) -> ConnectLayer {
        self.inner().expect_slips();
        ConnectLayer {
            resolver: self.clone(),
            patience: Patience::Alone,
        }
    }
}

impl ConnectLayer {
    /// Says that who sends a request dials again when a connect is given up, as
    /// `.sidestep()`, a `RetryPolicy` and the middleware do: then it is given up as soon as it is
    /// [slow](crate::Builder::stalled_after) and there is something better, and not only after
    /// [`attempt_timeout`](crate::Builder::attempt_timeout). A [race](crate::RaceLayer) needs no such hint.
    #[must_use]
    pub fn redialled(mut self) -> Self {
        self.patience = Patience::Redialled;
        self
    }
}

impl<S> Layer<S> for ConnectLayer {
    type Service = Connect<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Connect::new(inner, self.resolver.clone(), self.patience)
    }
}
