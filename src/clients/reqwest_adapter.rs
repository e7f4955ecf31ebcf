//! The adapter for reqwest, which is the same for each version except for the types.

use std::time::Duration;

use crate::Resolver;

/// Keeps other crates from implementing [`ClientBuilderExt`], so that the trait can get more methods.
#[expect(unnameable_types, reason = "another crate must not name the trait")]
pub trait Sealed {}

/// Adds sidestep to a reqwest client.
///
/// The trait is sealed: only the client builders of reqwest implement it.
pub trait ClientBuilderExt: Sealed + Sized {
    /// Sets the resolver, its connector layer, a retry policy, and pings on HTTP/2 connections.
    ///
    /// | what went wrong | sent again |
    /// |---|---|
    /// | the connect failed | any method, because no byte of the request was sent; while the request has not attempted each address of the answer, or a fresh answer can be had |
    /// | the connection died before the request was on its way | as above |
    /// | a wrong certificate | any method, at most twice: if an earlier address failed in TCP, the address that showed the certificate is not known |
    /// | the connect was given up after the [timeout](crate::ConnectLayer::timeout) of the layer, or sooner because it was [slow](crate::ResolverBuilder::slow_connect_after) and there was something better to connect to | any method, while a healthy address or a [last resort](crate::ResolverBuilder::last_resort) is left, and otherwise twice |
    /// | the connection died or went silent (`TCP_USER_TIMEOUT`, TCP keep-alive, an HTTP/2 ping, a route that is gone) before the first byte of a response | idempotent methods (RFC 9110, section 9.2.2), once, whichever connection the retry uses |
    /// | HTTP/2 said that it did not process the request (REFUSED_STREAM, GOAWAY with NO_ERROR) | any method, twice, which is reqwest's own default that a policy replaces. The second time that a stream is refused, the address gets a soft strike, and its connection takes no new requests while a healthy address is left |
    ///
    /// The cost of one request is bounded, whatever the addresses and DNS do (`tests/connect/bounded_attempts.rs`):
    ///
    /// | what | at most |
    /// |---|---|
    /// | attempts, over all connects; both IPv4 lanes of a connect are one attempt | 2 for each address of the first answer and its last resort, and 16 in all |
    /// | fresh answers that the request waits for | 2 |
    /// | sends of which the server may have seen a byte | 2, and 1 of a method that is not idempotent |
    /// | sends of which the server says that it processed nothing | 3 |
    ///
    /// A retry connects to another address, because the address that failed is ordered after the others by then. An
    /// address that closes a connection early is ordered after all others for half a second, even after addresses that
    /// refuse connections, because the request on that connection is sent again at once and for the last time. Requests
    /// with a streaming body are never sent again.
    ///
    /// If you set a connect timeout, it holds as before: after that time the client returns its timeout error and sends
    /// nothing again. If you set neither a connect timeout nor a total timeout, a request to a host of several
    /// addresses that all drop packets fails after at most three times the timeout of the layer, which is 30 s. If
    /// such a host has one address, the connect stays pending until the system ends it.
    ///
    /// There is no budget over all requests. A budget would fail requests of a burst that meets one dead address,
    /// although healthy addresses are left. For example, 300 simultaneous requests to four addresses of which three
    /// fail in TLS all succeed. The load is bounded because a request tries an address once. If all four addresses
    /// fail, 200 requests make 800 connects, one for each address, as many as a connector makes whose addresses all
    /// refuse (both in `tests/clients/retries.rs`).
    ///
    /// # HTTP/2 pings
    ///
    /// If an address goes silent under a pooled HTTP/2 connection, each request on the connection would wait for its
    /// whole timeout. So if reqwest has its feature `http2`, the client pings a connection after 10 s of silence while
    /// a request is in flight, and never while the connection is idle. A ping without a reply within 5 s ends the
    /// connection, and idempotent requests are sent again on another connection.
    ///
    /// Your own `http2_keep_alive_interval` and `http2_keep_alive_timeout` replace these times if you set them after
    /// this call. `.http2_keep_alive_interval(None)` turns pings off, for a server that counts pings and then closes
    /// the connection: gRPC's servers by default allow one ping in five minutes while they send nothing.
    ///
    /// # Order of calls
    ///
    /// The last call wins: a `dns_resolver` or a `retry` that you set later replaces the one that this method sets, and
    /// this method replaces one that you set before. `Response::remote_addr` may return an IPv4-mapped address
    /// (`::ffff:192.0.2.1`); `IpAddr::to_canonical` returns its usual form.
    #[must_use]
    fn sidestep(self, resolver: &Resolver) -> Self;
}

/// Silence on an HTTP/2 connection with a request in flight after which a ping is sent: less than the 15 s of reqwest's
/// own TCP keep-alive, and more than most responses take.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Time within which a ping must get its reply.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Implements the traits for one version of reqwest, given by its name in `Cargo.toml`.
///
/// The client gets the resolver, the connector layer and the retry policy. The client is also a service under a
/// [`PassiveHealthLayer`](crate::PassiveHealthLayer).
macro_rules! adapt {
    ($reqwest:ident) => {
        /// Has the methods that reqwest has only with its feature `http2`, which any crate may enable. If reqwest has
        /// them, the methods of the type take precedence over those of this trait.
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

        impl $crate::clients::reqwest_adapter::Sealed for ::$reqwest::ClientBuilder {}

        impl ::$reqwest::dns::Resolve for $crate::Resolver {
            fn resolve(&self, name: ::$reqwest::dns::Name) -> ::$reqwest::dns::Resolving {
                type Addrs = ::$reqwest::dns::Addrs;
                match self.resolve_boxed(name.as_str()) {
                    Ok(addrs) => Box::pin(std::future::ready(Ok(addrs as Addrs))),
                    Err(asking) => Box::pin(async move { Ok(Box::new(asking.await?) as Addrs) }),
                }
            }
        }

        /// Returns the retry policy that [`.sidestep()`](ClientBuilderExt::sidestep) sets, for `ClientBuilder::retry`.
        ///
        /// Use this function to set the parts of `.sidestep()` one by one, for example with another timeout of the
        /// [`ConnectLayer`]($crate::ConnectLayer::timeout). Each client needs a policy of its own.
        ///
        /// # Examples
        ///
        /// ```no_run
        #[doc = concat!("# use ", stringify!($reqwest), " as reqwest;")]
        #[doc = concat!("# use sidestep::", stringify!($reqwest), "::retry;")]
        /// use std::{sync::Arc, time::Duration};
        ///
        /// let resolver = sidestep::Resolver::new();
        /// let layer = resolver.connect_layer().caller_retries(true);
        /// let client = reqwest::Client::builder()
        ///     .dns_resolver(Arc::new(resolver.clone()))
        ///     .connector_layer(layer.timeout(Duration::from_secs(5)))
        ///     .retry(retry(&resolver))
        ///     .build()?;
        /// # Ok::<(), reqwest::Error>(())
        /// ```
        pub fn retry(resolver: &$crate::Resolver) -> ::$reqwest::retry::Builder {
            let classifier = $crate::clients::reqwest_retry::ReqwestClassifier::new(resolver);
            ::$reqwest::retry::for_host($crate::clients::reqwest_retry::EveryHost)
                .no_budget()
                .max_retries_per_request($crate::clients::reqwest_retry::MOST)
                .classify_fn(move |attempt| {
                    let (method, uri) = (attempt.method(), attempt.uri());
                    match classifier.sends_again(method, uri, attempt.error()) {
                        true => attempt.retryable(),
                        false => attempt.success(),
                    }
                })
        }

        impl ClientBuilderExt for ::$reqwest::ClientBuilder {
            fn sidestep(self, resolver: &$crate::Resolver) -> Self {
                self.dns_resolver(std::sync::Arc::new(resolver.clone()))
                    .connector_layer(resolver.connect_layer().caller_retries(true))
                    .retry(retry(resolver))
                    .http2_keep_alive_interval($crate::clients::reqwest_adapter::PING_INTERVAL)
                    .http2_keep_alive_timeout($crate::clients::reqwest_adapter::PING_TIMEOUT)
            }
        }

        /// A reqwest client under a [`PassiveHealthLayer`](crate::PassiveHealthLayer).
        impl<S> tower::Service<::$reqwest::Request> for $crate::PassiveHealth<S>
        where
            S: tower::Service<::$reqwest::Request, Response = ::$reqwest::Response>,
            S::Error: std::error::Error + 'static,
        {
            type Response = S::Response;
            type Error = S::Error;
            type Future = $crate::passive_health::PassiveHealthFuture<S::Future, S::Response>;

            fn poll_ready(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Result<(), Self::Error>> {
                self.get_mut().poll_ready(cx)
            }

            fn call(&mut self, request: ::$reqwest::Request) -> Self::Future {
                let url = request.url().clone();
                let future = self.get_mut().call(request);
                self.watch(future, url.host_str(), |response| {
                    $crate::passive_health::Reply {
                        // After a redirect, the host of the response is another one.
                        host: response.url().host_str(),
                        status: response.status(),
                        headers: response.headers(),
                        extensions: response.extensions(),
                    }
                })
            }
        }
    };
}
pub(super) use adapt;
