//! The settings of [`HappyEyeballsLayer`].

use std::time::Duration;

use tower::Layer;

use super::HappyEyeballs;
use super::times::RaceTimes;
use crate::Resolver;
use crate::connect::ATTEMPT_TIMEOUT;
use crate::time::LONGEST;

/// Races all addresses of a host, TLS included, and re-resolves the host within the same connect.
///
/// The layer runs Happy Eyeballs (RFC 8305) over every address, within a family and across both. The layer wraps any
/// connector whose request is `Clone`, such as hyper-util's `HttpConnector` with any TLS around it, for hyper-util's
/// client, tonic and others. The layer calls the connector once for each address, and the [`Resolver`] returns just
/// that address to each call. So all options of the connector hold.
///
/// | | default | set by |
/// |---|---|---|
/// | the next attempt starts beside those that are pending | 250 ms after the last one, or after twice what recent connects took if that is longer (2 s at most) | [`attempt_delay`](Self::attempt_delay) |
/// | the next attempt starts after a failure | at once | |
/// | the next attempt starts after TCP is up | one more delay after that | [`TcpConnectedLayer`](crate::TcpConnectedLayer) inside of TLS |
/// | attempts of one race | 2 for each address of the first answer, 16 in all | |
/// | longest attempt, TLS included, while another attempt can be made | 10 s | [`attempt_timeout`](Self::attempt_timeout) |
/// | longest race, with the lookup | 30 s | [`timeout`](Self::timeout) |
///
/// The time of an attempt counts from when the resolver returned its address, so a slow lookup does not count. The
/// resolver sets the order of the addresses. The families alternate, and addresses that failed come last. The first
/// attempt starts without a delay, even if its address is the only one or is penalized.
///
/// # Re-resolve
///
/// If every address has failed, or as soon as an attempt is [slow](crate::ResolverBuilder::slow_connect_after), the
/// race re-resolves the host. The race then attempts the new addresses of the answer, each once. If the answer has
/// none of the addresses that are pending, the first new address is attempted at once. While all attempts that are
/// left are slow, the host is re-resolved a second time.
///
/// Re-resolves of a host are spaced (1 s and more while the answer stays the same). If the next re-resolve is due
/// within [`serve_stale_after`](crate::ResolverBuilder::serve_stale_after), the race waits for that time, and may fail
/// that much later.
///
/// After a fault of this machine, such as a lack of file descriptors, the race starts no more attempts. After a wrong
/// certificate the race attempts one more address of the answer.
///
/// # Attribution
///
/// The resolver attributes the outcome of an attempt as under a [`ConnectLayer`](crate::ConnectLayer). An attempt that
/// lost the race has not failed. But if an attempt that lost had started a whole delay before the winner, one of two
/// things follows for its address.
///
/// | the attempt was pending | its address |
/// |---|---|
/// | for four times what recent connects took, the winner included, and for 250 ms at least | gets a soft strike |
/// | for less, so that the network may be slow | is ordered after the healthy ones for 5 s, unless a probe decides sooner |
///
/// # Errors
///
/// The race returns its first failure, in a [`ConnectError`](crate::ConnectError) with the outcome of every attempt.
///
/// # Where to put it
///
/// Put the layer in place of a [`ConnectLayer`](crate::ConnectLayer), outside of TLS and inside of any layer that runs
/// the connector on a task of its own. A `ConnectLayer` inside of the race leaves everything to the race. If the
/// connector calls no resolver (the URL names an address), calls another resolver or resolves `localhost`, the layer
/// calls the connector once, without a race. Behind a proxy the layer races the addresses of the proxy.
///
/// # Connectors of your own
///
/// A connector of your own must call the resolver as `HttpConnector` does, by `Service<Name>` in the future that the
/// connector returns. The connector then connects to the one address that the resolver returns. Addresses from
/// [`Resolver::resolve`](crate::Resolver::resolve) are not raced. The connection may name its remote address by an
/// [`HttpInfo`](hyper_util::client::legacy::connect::HttpInfo) among its extras.
///
/// For a time limit set [`attempt_timeout`](Self::attempt_timeout). If a layer inside returns an
/// error that can't be classified, such as tower's `Elapsed`, the race goes on, and the error is attributed to no
/// address. If a layer inside lets few connects through at once, the race waits for that layer.
///
/// reqwest's requests are not `Clone`. For reqwest use
/// [`ClientBuilderExt::sidestep`](crate::reqwest::ClientBuilderExt::sidestep).
///
/// # Examples
///
/// ```
/// use hyper_util::client::legacy::{Client, connect::HttpConnector};
/// use hyper_util::rt::TokioExecutor;
/// use tower::Layer as _;
///
/// let resolver = sidestep::Resolver::new();
/// let http = HttpConnector::new_with_resolver(resolver.clone());
/// let connector = resolver.happy_eyeballs_layer().layer(http);
/// let client: Client<_, String> = Client::builder(TokioExecutor::new()).build(connector);
/// ```
#[derive(Clone, Debug)]
pub struct HappyEyeballsLayer {
    resolver: Resolver,
    times: RaceTimes,
}

/// The default of [`HappyEyeballsLayer::timeout`].
const TIMEOUT: Duration = Duration::from_secs(30);
/// The range of [`HappyEyeballsLayer::attempt_delay`].
///
/// RFC 8305, section 8, recommends at least 100 ms and at most 2 s, and forbids less than 10 ms.
const SHORTEST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

impl Resolver {
    /// Returns the layer that races the addresses of a host.
    ///
    /// Put the layer around a connector that uses this resolver; see [`HappyEyeballsLayer`].
    #[must_use]
    pub fn happy_eyeballs_layer(&self) -> HappyEyeballsLayer {
        HappyEyeballsLayer::new(self)
    }
}

impl HappyEyeballsLayer {
    /// Creates a layer that uses this resolver; the same as [`Resolver::happy_eyeballs_layer`].
    #[must_use]
    pub fn new(resolver: &Resolver) -> Self {
        resolver.inner().expect_context();
        Self {
            resolver: resolver.clone(),
            times: RaceTimes {
                attempt_delay: None,
                attempt_timeout: Some(ATTEMPT_TIMEOUT),
                timeout: Some(TIMEOUT),
            },
        }
    }

    /// Sets how long a race waits for an attempt before the race starts the next attempt.
    ///
    /// Defaults to `None`: the delay is twice the median of the recent connects to the host, at least 250 ms, the
    /// Connection Attempt Delay of RFC 8305, section 8, and at most 2 s. A delay below 100 ms is set to 100 ms, and a
    /// delay above 2 s is set to 2 s, the bounds of that section.
    ///
    /// Attempts that start because of time have a budget per host: 20 at once, then one a second and one for every
    /// ten connects to the host. After a failure the next attempt starts at once, and takes nothing from the budget.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let resolver = sidestep::Resolver::new();
    /// let race = resolver
    ///     .happy_eyeballs_layer()
    ///     .attempt_delay(Duration::from_millis(150))
    ///     .timeout(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn attempt_delay(mut self, delay: impl Into<Option<Duration>>) -> Self {
        let delay: Option<Duration> = delay.into();
        self.times.attempt_delay = delay.map(|it| it.clamp(SHORTEST_DELAY, LONGEST_DELAY));
        self
    }

    /// Sets how long one attempt may take, TLS included, while another attempt can be made.
    ///
    /// Defaults to 10 s. An attempt does not end before it is [slow](crate::ResolverBuilder::slow_connect_after),
    /// whatever the timeout. If `None`, an attempt ends only with the race. The longest timeout is 7 days; a longer
    /// one is set to that.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.times.attempt_timeout = timeout.into().map(|timeout| timeout.min(LONGEST));
        self
    }

    /// Sets how long a race may take in all, with the lookup, every attempt and the fresh answer.
    ///
    /// Defaults to 30 s. If `None`, a race takes as long as its attempts. The longest timeout is 7 days; a longer one
    /// is set to that.
    ///
    /// The error of this timeout lists the addresses and their outcomes. A connect timeout of the client drops the
    /// race without such a list.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.times.timeout = timeout.into().map(|timeout| timeout.min(LONGEST));
        self
    }

    /// Returns the resolver of the layer.
    #[cfg(feature = "hyper-client")]
    pub(crate) fn resolver(&self) -> &Resolver {
        &self.resolver
    }
}

impl<S> Layer<S> for HappyEyeballsLayer {
    type Service = HappyEyeballs<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HappyEyeballs::new(inner, self.resolver.clone(), self.times)
    }
}
