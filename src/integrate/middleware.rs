//! For reqwest-middleware: requests that met a dead edge are sent again, to another one.
//!
//! Mostly [`.sidestep()`](crate::reqwest::ClientBuilderExt::sidestep) on the client inside does all
//! of this, for any middleware around it. Take the middleware where the client's own policy is
//! another: you set one by `ClientBuilder::retry`, which replaces that of `.sidestep()`, and connects
//! that fail are to be tried again all the same.
//!
//! Both together send nothing twice: the middleware sees that the client inside decides for itself,
//! and leaves it to that.
//!
//! Pooled connections follow health and DNS when a [`MovingClient`] is the last
//! middleware: it sends the requests itself.
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

use super::judge::{Judge, Sent, is_idempotent, is_protocol_nack};
use super::moving::MovingClient;
use super::record::{History, Record as _};
use crate::attempt::Errand;
use crate::connect::ConnectError;
use crate::{Resolver, host};

/// The middleware that sends requests again; see the [module](self).
///
/// What is sent again is what [`.sidestep()`](crate::reqwest::ClientBuilderExt::sidestep) sends
/// again, with its limits, but for this:
///
/// - What HTTP/2 said that it did not process is left to reqwest, which does that by default.
/// - A middleware resends the whole of what it was given, from before any redirect. A method that is
///   not idempotent is therefore sent again only when what failed is the connect that was begun at
///   once, as the request was sent, or its fresh connection: a later one may be a redirect's. Put it
///   last, right before the client, for what waits inside of it (a rate limit, a token to be fetched)
///   makes every connect a later one.
/// - Each retry has the request's whole timeout again.
///
/// A request with a streaming body is sent once, and so is what a middleware inside fails with
/// unless the client's error is behind that.
#[derive(Clone, Debug)]
pub struct Failover {
    judge: Judge,
}

impl Resolver {
    /// Returns the middleware for `reqwest_middleware::ClientBuilder::with`; see
    /// [`middleware`](crate::middleware).
    #[must_use]
    pub fn middleware(&self) -> Failover {
        Failover {
            judge: Judge::new(self),
        }
    }
}

#[async_trait::async_trait]
impl Middleware for Failover {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        Errand::is_judged_inside();
        let mut history = History::default();
        loop {
            let Some(copy) = request.try_clone() else {
                return next.run(request, extensions).await;
            };
            let errand = Errand::default();
            let ended = errand.around(next.clone().run(copy, extensions)).await;
            if !self.sends_again(&request, &ended, &errand, &mut history) {
                return ended;
            }
        }
    }
}

impl Failover {
    fn sends_again(
        &self,
        request: &Request,
        ended: &reqwest_middleware::Result<Response>,
        errand: &Errand,
        history: &mut History,
    ) -> bool {
        if errand.is_judged() || ended.as_ref().is_err_and(|error| is_protocol_nack(error)) {
            history.end();
            return false;
        }
        let error = match ended {
            Ok(response) => {
                self.judge.answered(response.url().host_str(), history);
                return false;
            }
            Err(error) => error,
        };
        let method = request.method();
        let sent = Sent {
            method,
            host: dialled_host(request, error),
            is_partly: !is_idempotent(method) && !errand.dialled_only_at_once(),
        };
        // Read in any case: an address may be to blame.
        self.judge.sends_again(sent, error, history)
    }
}

/// Whom the request was sent to. `None` where a redirect or a proxy had another host dialled.
fn dialled_host<'a>(request: &'a Request, error: &Error) -> Option<&'a str> {
    let asked = request.url().host_str()?;
    let is_asked = |connect: &ConnectError| host::spelling(connect.host()) == host::spelling(asked);
    let is_another = ConnectError::find(error).is_some_and(|connect| !is_asked(connect));
    (!is_another).then_some(asked)
}

/// The last of a chain: it sends the request itself, and so on a connection that may take it. The client
/// that the chain was built with is not used.
///
/// # Examples
///
/// ```no_run
/// use reqwest_middleware::ClientBuilder;
/// use sidestep::reqwest::ClientBuilderExt as _;
///
/// let resolver = sidestep::Resolver::new();
/// let moving = resolver.pool_layer().reqwest({
///     let resolver = resolver.clone();
///     move || reqwest::Client::builder().sidestep(&resolver).build()
/// })?;
/// let client = ClientBuilder::new(moving.current().clone()) // builds requests
///     .with(moving) // last: sends them
///     .build();
/// # Ok::<(), reqwest::Error>(())
/// ```
#[async_trait::async_trait]
impl Middleware for MovingClient {
    async fn handle(
        &self,
        request: Request,
        _: &mut Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        Ok(self.execute(request).await?)
    }
}
