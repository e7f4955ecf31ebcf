//! What is the same for each version of reqwest but for its types.

use std::time::Duration;

use crate::Resolver;

/// Adds sidestep to a reqwest client.
pub trait ClientBuilderExt: Sized {
    /// Sets the resolver, its connector layer, a retry policy, and pings on HTTP/2 connections.
    ///
    /// | what went wrong | sent again |
    /// |---|---|
    /// | the connect failed | any method: no byte of the request was sent. While an address of the answer was not attempted for this request, or a fresh answer can be had |
    /// | the connection died before the request was on its way | as above |
    /// | a wrong certificate | any method, at most twice: when an earlier address failed in TCP, which one showed the certificate can't be told |
    /// | the connect was given up after [`attempt_timeout`](crate::Builder::attempt_timeout), or sooner because it was [slow](crate::Builder::stalled_after) and there was something better | any method, while a healthy address or a [last resort](crate::Builder::last_resort) is left, and otherwise twice |
    /// | the connection died or went silent (`TCP_USER_TIMEOUT`, TCP keep-alive, a ping of HTTP/2, no route any more) before the first byte of a response | idempotent methods (RFC 9110, section 9.2.2), once, whichever connection the retry goes out on |
    /// | HTTP/2 said that it did not process the request (REFUSED_STREAM, GOAWAY with NO_ERROR) | any method, twice: reqwest's own default, which setting a policy replaces. The second time that a stream is refused, the address gets a soft strike, and its connection no new requests while a healthy address is left |
    ///
    /// One request costs, whatever the edges and DNS do (`tests/dials.rs`):
    ///
    /// | what | at most |
    /// |---|---|
    /// | attempts, over all connects; both IPv4 lanes of a connect are one attempt | 2 for each address of the first answer and its last resort, and 16 |
    /// | fresh answers that the request waits for | 2 |
    /// | sends of which the server may have seen a byte | 2, and 1 of a method that is not idempotent |
    /// | sends of which the server says that nothing was processed | 3 |
    ///
    /// A retry is dialled elsewhere, because the address that failed has gone behind the others
    /// by then. An address that closes a connection early goes behind all others for half a second,
    /// even behind those that refuse: the request that was on the connection is sent again at once, and
    /// for the last time. Requests with a streaming body are never sent again.
    ///
    /// A connect timeout that you set holds as before: when it has passed, the error is yours and
    /// nothing is tried again. Without one, and without a total timeout, a host of several addresses that all
    /// swallow packets costs a request at most three times `attempt_timeout`: 30 s. With one address the connect
    /// stays pending until the system gives it up.
    ///
    /// There is no budget over all requests, because a budget turns a burst that meets one dead
    /// edge into errors while live edges are left: 300 requests at once to four edges of which
    /// three fail in TLS all succeed. What bounds the load is that an address is tried once. When
    /// all four fail, 200 requests make 800 connects, one for each address, as a connector makes
    /// that is refused (both in `tests/retries.rs`).
    ///
    /// # HTTP/2 pings
    ///
    /// An edge that goes silent under a pooled HTTP/2 connection would cost each request on it the request's
    /// whole timeout. So where reqwest has its feature `http2`, the connection is pinged after 10 s of
    /// silence while a request is in flight, and never while the connection is idle. A ping that is not
    /// answered within 5 s ends the connection: idempotent requests are sent again, on another one.
    ///
    /// Your own `http2_keep_alive_interval` and `http2_keep_alive_timeout`, set after this, replace the
    /// numbers. `.http2_keep_alive_interval(None)` turns pings off, for a server that counts them and closes
    /// the connection: gRPC's servers allow one in five minutes by default while they send nothing.
    ///
    /// # Order of calls
    ///
    /// The last call wins: a `dns_resolver` or a `retry` set later replaces what this sets, and this
    /// replaces what was set before. `Response::remote_addr` may be an IPv4-mapped address
    /// (`::ffff:192.0.2.1`); `IpAddr::to_canonical` gives its usual form.
    #[must_use]
    fn sidestep(self, resolver: &Resolver) -> Self;
}

/// Silence on an HTTP/2 connection with a request in flight until a ping is sent: less than the 15 s of
/// reqwest's own TCP keep-alive, and more than a response mostly takes.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long the ping may go unanswered.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Implements for one version of reqwest, under its name in `Cargo.toml`, what a client of it takes:
/// the resolver, the connector layer and the retry policy; and its service under an
/// [`ExchangeLayer`](crate::ExchangeLayer).
macro_rules! adapt {
    ($reqwest:ident) => {
        /// Stands in for what reqwest has with its feature `http2` only, whichever crate turns that on:
        /// a method of the type itself goes before one of a trait.
        #[allow(dead_code, reason = "with `http2` the methods are reqwest's own")]
        trait WithoutHttp2: Sized {
            fn http2_keep_alive_interval(self, _: std::time::Duration) -> Self {
                self
            }

            fn http2_keep_alive_timeout(self, _: std::time::Duration) -> Self {
                self
            }
        }

        impl WithoutHttp2 for ::$reqwest::ClientBuilder {}

        impl ::$reqwest::dns::Resolve for $crate::Resolver {
            fn resolve(&self, name: ::$reqwest::dns::Name) -> ::$reqwest::dns::Resolving {
                type Addrs = ::$reqwest::dns::Addrs;
                match self.deal_boxed(name.as_str()) {
                    Ok(addrs) => Box::pin(std::future::ready(Ok(addrs as Addrs))),
                    Err(asking) => Box::pin(async move { Ok(Box::new(asking.await?) as Addrs) }),
                }
            }
        }

        impl ClientBuilderExt for ::$reqwest::ClientBuilder {
            fn sidestep(self, resolver: &$crate::Resolver) -> Self {
                let classifier = $crate::integrate::retry::Classifier::new(resolver);
                let policy = ::$reqwest::retry::for_host($crate::integrate::retry::EveryHost)
                    .no_budget()
                    .max_retries_per_request($crate::integrate::retry::MOST)
                    .classify_fn(move |attempt| {
                        let (method, uri) = (attempt.method(), attempt.uri());
                        match classifier.sends_again(method, uri, attempt.error()) {
                            true => attempt.retryable(),
                            false => attempt.success(),
                        }
                    });
                self.dns_resolver(std::sync::Arc::new(resolver.clone()))
                    .connector_layer(resolver.connect_layer().redialled())
                    .retry(policy)
                    .http2_keep_alive_interval($crate::integrate::versions::PING_INTERVAL)
                    .http2_keep_alive_timeout($crate::integrate::versions::PING_TIMEOUT)
            }
        }

        /// A reqwest client under an [`ExchangeLayer`](crate::ExchangeLayer).
        impl<S> tower_service::Service<::$reqwest::Request> for $crate::Exchange<S>
        where
            S: tower_service::Service<::$reqwest::Request, Response = ::$reqwest::Response>,
            S::Error: std::error::Error + 'static,
        {
            type Response = S::Response;
            type Error = S::Error;
            type Future = $crate::exchange::ResponseFuture<S::Future, S::Response>;

            fn poll_ready(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Result<(), Self::Error>> {
                self.get_mut().poll_ready(cx)
            }

            fn call(&mut self, request: ::$reqwest::Request) -> Self::Future {
                let url = request.url().clone();
                let future = self.get_mut().call(request);
                self.watch(future, url.host_str(), |response| $crate::exchange::Reply {
                    // After a redirect it is another one.
                    host: response.url().host_str(),
                    status: response.status(),
                    headers: response.headers(),
                    extensions: response.extensions(),
                })
            }
        }
    };
}
pub(super) use adapt;
