//! A middleware for reqwest-middleware that sends failed requests again, to another address.
//!
//! In most cases [`.sidestep()`](crate::reqwest::ClientBuilderExt::sidestep) on the inner client is enough, whatever
//! middleware is around that client. Use this middleware if the inner client has a retry policy of yours, set by
//! `ClientBuilder::retry`. Your policy replaces the policy of `.sidestep()`, and this middleware then repeats failed
//! connects.
//!
//! If the client has both, no retries multiply: the middleware detects that the inner client decides about retries,
//! and leaves the decision to that client.
//!
//! Pooled connections follow health and DNS if a [`RotatingClient`] is the last middleware, because that client sends
//! the requests itself.
//!
//! # Examples
//!
//! ```no_run
//! use reqwest_middleware::ClientBuilder;
//! use sidestep::reqwest::ClientBuilderExt as _;
//!
//! let resolver = sidestep::Resolver::new();
//! let unavailable = reqwest::retry::for_host("api.example.com").classify_fn(|attempt| {
//!     match attempt.status() {
//!         Some(reqwest::StatusCode::SERVICE_UNAVAILABLE) => attempt.retryable(),
//!         _ => attempt.success(),
//!     }
//! });
//! let client = reqwest::Client::builder()
//!     .sidestep(&resolver) // the resolver and the connector layer
//!     .retry(unavailable)
//!     .build()?;
//! let client = ClientBuilder::new(client)
//!     .with(resolver.middleware())
//!     .build();
//! # Ok::<(), reqwest::Error>(())
//! ```

use ::reqwest::{Request, Response};
use http::Extensions;
use reqwest_middleware::{Error, Middleware, Next};

use super::rotating_client::RotatingClient;
use crate::attempt::RequestScope;
use crate::connect::ConnectError;
use crate::health::classify::http::is_protocol_nack;
use crate::retry::classify::{RetryClassifier, SentRequest, is_idempotent};
use crate::retry::request_history::{HistoryStore as _, RequestHistory};
use crate::{Resolver, host};

/// Sends failed requests again; see the [module](self).
///
/// The middleware sends the same requests again as [`.sidestep()`](crate::reqwest::ClientBuilderExt::sidestep), within
/// the same limits, with these differences:
///
/// - If HTTP/2 says that the server did not process a request, the middleware leaves that request to reqwest, which
///   sends such requests again by default.
/// - The middleware sends the whole request again, from before any redirect. If the method is not idempotent, the
///   request is sent again only if the failure belongs to the connect that began at once when the request was sent, or
///   to the new connection of that connect. A later connect may belong to a redirect. So put this middleware last,
///   right before the client: a middleware inside that waits, for a rate limit or for a token, makes every connect a
///   later one.
/// - Each retry gets the whole timeout of the request again.
///
/// A request with a streaming body is sent once. If a middleware inside returns an error, the request is sent again
/// only if the client's error is a source of that error.
#[derive(Clone, Debug)]
pub struct RetryMiddleware {
    classifier: RetryClassifier,
}

impl Resolver {
    /// Returns the middleware for `reqwest_middleware::ClientBuilder::with`; see
    /// [`middleware`](crate::middleware).
    #[must_use]
    pub fn middleware(&self) -> RetryMiddleware {
        RetryMiddleware {
            classifier: RetryClassifier::new(self),
        }
    }
}

#[async_trait::async_trait]
impl Middleware for RetryMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        RequestScope::set_classified_inside();
        let mut history = RequestHistory::default();
        loop {
            let Some(copy) = request.try_clone() else {
                return next.run(request, extensions).await;
            };
            let request_scope = RequestScope::default();
            let ended = request_scope
                .around(next.clone().run(copy, extensions))
                .await;
            if !self.sends_again(&request, &ended, &request_scope, &mut history) {
                return ended;
            }
        }
    }
}

impl RetryMiddleware {
    fn sends_again(
        &self,
        request: &Request,
        ended: &reqwest_middleware::Result<Response>,
        request_scope: &RequestScope,
        history: &mut RequestHistory,
    ) -> bool {
        if request_scope.is_classified()
            || ended.as_ref().is_err_and(|error| is_protocol_nack(error))
        {
            history.end();
            return false;
        }
        let error = match ended {
            Ok(response) => {
                self.classifier.answered(response.url().host_str(), history);
                return false;
            }
            Err(error) => error,
        };
        let method = request.method();
        let sent = SentRequest {
            method,
            host: dialled_host(request, error),
            is_partly: !is_idempotent(method) && !request_scope.dialled_only_at_once(),
        };
        // The classifier reads every error, because an address may have failed.
        self.classifier.sends_again(sent, error, history)
    }
}

/// Returns the host of the request, or `None` if the connect went to another host because of a redirect or a proxy.
fn dialled_host<'a>(request: &'a Request, error: &Error) -> Option<&'a str> {
    let asked = request.url().host_str()?;
    let is_asked =
        |connect: &ConnectError| host::normalized(connect.host()) == host::normalized(asked);
    let is_another = ConnectError::find(error).is_some_and(|connect| !is_asked(connect));
    (!is_another).then_some(asked)
}

/// Sends the request by the [`RotatingClient`], which must be the last middleware.
///
/// The request goes out on a connection that takes new requests. The client that the chain was built with is not used.
///
/// # Examples
///
/// ```no_run
/// use reqwest_middleware::ClientBuilder;
/// use sidestep::reqwest::ClientBuilderExt as _;
///
/// let resolver = sidestep::Resolver::new();
/// let moving = resolver.drain_layer().reqwest({
///     let resolver = resolver.clone();
///     move || reqwest::Client::builder().sidestep(&resolver).build()
/// })?;
/// let client = ClientBuilder::new(reqwest::Client::new()) // builds requests
///     .with(moving) // last: sends them
///     .build();
/// # Ok::<(), reqwest::Error>(())
/// ```
#[async_trait::async_trait]
impl Middleware for RotatingClient {
    async fn handle(
        &self,
        request: Request,
        _: &mut Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        Ok(self.execute(request).await?)
    }
}
