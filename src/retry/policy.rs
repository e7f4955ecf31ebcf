//! The retry policy for tower and hyper-util's client.

use std::error::Error as StdError;
use std::future::{Ready, ready};

use http::{Method, Request};
use tower::retry::Policy;

use super::classify::{RetryClassifier, SentRequest};
use super::request_history::RequestHistory;
use crate::Resolver;

/// A [`tower::retry::Policy`] for hyper-util's client that sends failed requests again, to another address.
///
/// A retry connects to another address, because the address that failed is ordered after the others by then. The policy
/// sends the same requests again as [`.sidestep()`](crate::reqwest::ClientBuilderExt::sidestep) does for reqwest:
///
/// | what went wrong | sent again |
/// |---|---|
/// | no byte of the request was sent | any method |
/// | the connection died before the first byte of a response | idempotent methods (RFC 9110, section 9.2.2), once |
/// | HTTP/2 said that it did not process the request | any method, twice |
///
/// The limits are the same, too: 2 attempts for each address of the first answer and its
/// [last resort](crate::ResolverBuilder::last_resort), 16 attempts in all, and 2 sends. The policy does not look at
/// statuses.
///
/// Each request has its own count, because tower clones the policy for each request. The body must be [`Clone`], as
/// `Full<Bytes>`, `Empty` and `String` are. The policy is of no use to a client whose bodies stream.
///
/// Put the `RetryLayer` right around the client, inside of layers that box the error (`timeout`, `buffer`), because the
/// policy reads the client's own error. Give the client a connector with a
/// [`ConnectLayer`](crate::ConnectLayer::caller_retries) or a [`HappyEyeballsLayer`](crate::HappyEyeballsLayer) of the same
/// resolver, because those layers learn which address failed. A race attempts all addresses in one connect, and the
/// next connect does not attempt them again.
///
/// There is no policy for `reqwest::Request`. `.sidestep()` sets the same policy on the reqwest client itself, under
/// any tower stack. A policy around that client would not know the inner policy, and the retries of both would
/// multiply.
///
/// # Examples
///
/// ```
/// use hyper_util::client::legacy::{Client, connect::HttpConnector};
/// use hyper_util::rt::TokioExecutor;
/// use tower::Layer as _;
/// use tower::retry::RetryLayer;
///
/// let resolver = sidestep::Resolver::new();
/// let http = HttpConnector::new_with_resolver(resolver.clone());
/// let connector = resolver.connect_layer().caller_retries(true).layer(http);
/// let client: Client<_, String> = Client::builder(TokioExecutor::new()).build(connector);
/// let client = RetryLayer::new(resolver.retry_policy()).layer(client); // a tower::Service
/// ```
///
/// # In a policy of your own
///
/// [`may_retry`](Self::may_retry) tells a policy of your own, or a loop around a client, whether a failed request may be
/// sent again. Clone the policy for each request.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    classifier: RetryClassifier,
    history: RequestHistory,
}

impl Resolver {
    /// Returns the policy by which tower's `RetryLayer` sends requests again; see [`RetryPolicy`].
    #[must_use]
    pub fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::new(self)
    }
}

impl RetryPolicy {
    /// Creates a policy that uses this resolver; the same as [`Resolver::retry_policy`].
    #[must_use]
    pub fn new(resolver: &Resolver) -> Self {
        Self {
            classifier: RetryClassifier::new(resolver),
            history: RequestHistory::default(),
        }
    }

    /// Returns whether a request that has failed with `error` may be sent again, and counts the retry.
    ///
    /// `host` is the host of the request's URI. The error must be that of hyper-util's client, or have that error among
    /// its sources, as `reqwest::Error` has. Otherwise the method returns false.
    ///
    /// # Examples
    ///
    /// ```
    /// # use hyper_util::client::legacy::{Client, Error, connect::HttpConnector};
    /// # use http::{Request, Response};
    /// # use hyper::body::Incoming;
    /// # use sidestep::{Connect, Resolver, RetryPolicy};
    /// # type Http = Client<Connect<HttpConnector<Resolver>>, String>;
    /// /// Sends a request until a response comes or a retry is useless.
    /// async fn send(
    ///     client: &Http,
    ///     policy: &RetryPolicy,
    ///     request: Request<String>,
    /// ) -> Result<Response<Incoming>, Error> {
    ///     let mut policy = policy.clone();
    ///     let (method, host) = (request.method().clone(), request.uri().host().unwrap_or_default().to_owned());
    ///     loop {
    ///         match client.request(request.clone()).await {
    ///             Err(error) if policy.may_retry(&method, &host, &error) => {}
    ///             result => return result,
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn may_retry(
        &mut self,
        method: &Method,
        host: &str,
        error: &(dyn StdError + 'static),
    ) -> bool {
        let sent = SentRequest {
            method,
            host: Some(host),
            is_partly: false,
        };
        self.classifier.sends_again(sent, error, &mut self.history)
    }
}

impl<B, R, E> Policy<Request<B>, R, E> for RetryPolicy
where
    B: Clone,
    E: StdError + 'static,
{
    type Future = Ready<()>;

    fn retry(
        &mut self,
        request: &mut Request<B>,
        result: &mut Result<R, E>,
    ) -> Option<Self::Future> {
        let host = request.uri().host();
        let Err(error) = result else {
            self.classifier.answered(host, &mut self.history);
            return None;
        };
        let sent = SentRequest {
            method: request.method(),
            host,
            is_partly: false,
        };
        let again = self.classifier.sends_again(sent, error, &mut self.history);
        again.then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}
