//! What is the same for each version of reqwest but for its types.

use crate::Resolver;

/// Adds sidestep to a reqwest client.
pub trait ClientBuilderExt: Sized {
    /// Sets the resolver, its connector layer and a retry policy.
    ///
    /// | what went wrong | sent again |
    /// |---|---|
    /// | the connect failed | any method: no byte of the request was sent. While an address is left that nothing is held against, or a fresh answer can be had; and when all are bad, what failed in TLS once for each other address, and in TCP until each was dialled; for all reasons together at most 8 times |
    /// | the connection died before the request was on its way | as above |
    /// | a wrong certificate | any method, at two other addresses: when an earlier address failed in TCP, which one showed the certificate can't be told |
    /// | the connect was given up after [`attempt_timeout`](crate::Builder::attempt_timeout), or sooner because its address hangs: three connects to it were overtaken by others, and a healthy one is left | any method, twice |
    /// | the connection died before the first byte of a response | idempotent methods (RFC 9110, section 9.2.2), once; a retry that was put on a connection dialled before the failure does not count |
    /// | HTTP/2 said that it did not process the request (REFUSED_STREAM, GOAWAY with NO_ERROR) | any method, twice: reqwest's own default, which setting a policy replaces |
    ///
    /// A retry is dialled elsewhere, because the address that failed has gone behind the others
    /// by then. After a connection that died before a response, which a request can afford once,
    /// addresses that close connections early go behind all others, even behind those that refuse. Requests with a streaming body are never sent again.
    ///
    /// A connect timeout that you set holds as before: when it has passed, the error is yours and
    /// nothing is tried again. Without one, and without a total timeout, a host whose every
    /// address swallows packets costs a request three times `attempt_timeout`: 30 s.
    ///
    /// There is no budget over all requests, because a budget turns a burst that meets one dead
    /// edge into errors while live edges are left: 300 requests at once to four edges of which
    /// three fail in TLS all succeed. What bounds the load is that an address is tried once. When
    /// all four fail, 200 requests make 800 connects, one for each address, as a connector makes
    /// that is refused (both in `tests/retries.rs`).
    ///
    /// A retry policy set later replaces this one.
    #[must_use]
    fn sidestep(self, resolver: &Resolver) -> Self;
}

/// Implements for one version of reqwest, under its name in `Cargo.toml`, what a client of it takes:
/// the resolver, the connector layer and the retry policy; and its service under an
/// [`ExchangeLayer`](crate::ExchangeLayer).
macro_rules! adapt {
    ($reqwest:ident) => {
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
