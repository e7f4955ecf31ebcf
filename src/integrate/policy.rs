//! When tower sends a request of hyper-util's client again.

use std::error::Error as StdError;
use std::future::{Ready, ready};

use http::Request;
use tower::retry::Policy;

use super::judge::{Judge, Sent};
use super::record::History;
use crate::Resolver;

/// Sends requests again that met a dead edge: a [`tower::retry::Policy`] for hyper-util's client.
///
/// A retry is dialled elsewhere, because the address that failed has gone behind the others by then.
/// What is sent again, and how often, is what
/// [`.sidestep()`](crate::reqwest::ClientBuilderExt::sidestep) does for reqwest: any method when no byte of the request was sent; idempotent methods (RFC 9110,
/// section 9.2.2) once when the connection died before the first byte of a response; what HTTP/2 said
/// that it did not process, twice. The limits are the same too: 2 attempts for each address of the
/// first answer and its [last resort](crate::Builder::last_resort), 16 in all, and 2 sends. Statuses are not looked at.
///
/// Each request carries its own count: tower clones the policy for it. The body is to be [`Clone`], as
/// `Full<Bytes>`, `Empty` and `String` are; a client whose bodies stream has no use for it.
///
/// Put the `RetryLayer` right around the client, inside of layers that box the error (`timeout`,
/// `buffer`), for it reads the client's own; and dial by a
/// [`ConnectLayer`](crate::ConnectLayer::redialled) or a [`RaceLayer`](crate::RaceLayer) of the same
/// resolver, for those learn which address failed. A race dials all addresses in one connect; what it
/// has dialled is not dialled again by the next. There is none for `reqwest::Request`: `.sidestep()`
/// sets the same on the client itself, under any tower stack, and a policy around that could not know
/// it and would multiply both.
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
/// let connector = resolver.connect_layer().redialled().layer(http);
/// let client: Client<_, String> = Client::builder(TokioExecutor::new()).build(connector);
/// let client = RetryLayer::new(resolver.retry_policy()).layer(client); // a tower::Service
/// ```
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    judge: Judge,
    history: History,
}

impl Resolver {
    /// Returns the policy by which tower's `RetryLayer` sends requests again; see [`RetryPolicy`].
    #[must_use]
    pub fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy {
            judge: Judge::new(self),
            history: History::default(),
        }
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
            self.judge.answered(host, &mut self.history);
            return None;
        };
        let sent = Sent {
            method: request.method(),
            host,
            is_partly: false,
        };
        let again = self.judge.sends_again(sent, error, &mut self.history);
        again.then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}
