//! Stock reqwest whose pooled connections are left with the client that holds them.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use hyper_util::client::legacy::connect::HttpInfo;
use reqwest::{Client, Error, Request, Response, Url};
use tower_service::Service;

use crate::ends::Ends;
use crate::pool::{Handle, PoolLayer, Registry, Seat};
use crate::time;

/// A reqwest client whose pooled connections move along with health and DNS, HTTP/2 ones too; made by
/// [`PoolLayer::reqwest`].
///
/// reqwest 0.13 hands the extensions of a request not on to hyper, and they are the only way to a
/// pooled connection. So the client itself is left, for one origin at a time: when one of its
/// connections to that origin is to take no new requests, another client is made by the closure, and
/// later requests to that origin go through that. Requests in flight come to their end on the old
/// one. That costs each of the origin's pooled connections, good ones too, one dial; HTTP/2 has one
/// in all. All that [`PoolLayer`] says of when holds here, but that a connection is known by its
/// first response, not sooner, and that its redirects count for where they lead.
///
/// A clone shares everything. It is a `tower::Service<reqwest::Request>`, for an
/// [`ExchangeLayer`](crate::ExchangeLayer) or tower's own around it.
///
/// # Examples
///
/// ```
/// use sidestep::reqwest::ClientBuilderExt as _;
///
/// # async fn get() -> Result<(), reqwest::Error> {
/// let resolver = sidestep::Resolver::new();
/// let client = resolver.pool_layer().reqwest({
///     let resolver = resolver.clone();
///     move || reqwest::Client::builder().sidestep(&resolver).build()
/// })?;
/// let request = client.current().get("https://api.example.com/").build()?;
/// let response = client.execute(request).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MovingClient {
    make: Arc<dyn Fn() -> Result<Client, Error> + Send + Sync>,
    first: Client,
    registry: Arc<Registry>,
    clients: Arc<Mutex<Clients<Client>>>,
}

/// Which client serves each origin.
#[derive(Debug)]
struct Clients<C> {
    by_origin: HashMap<Box<str>, (C, Arc<Seat>)>,
    /// From so many on those are dropped that have no connections.
    crowded: usize,
}

/// So many origins are kept without a question.
const FEW: usize = 64;

impl PoolLayer {
    /// Makes a stock reqwest client whose pooled connections move; see [`MovingClient`]. The closure
    /// makes a client, and another one like it when an origin needs one: share among them what is
    /// dear to make or is to be one, such as the TLS settings and the cookies.
    ///
    /// # Errors
    ///
    /// That of the closure, which is called once now. When it fails later the client before stays in
    /// service.
    pub fn reqwest(
        &self,
        make: impl Fn() -> Result<Client, Error> + Send + Sync + 'static,
    ) -> Result<MovingClient, Error> {
        Ok(MovingClient {
            first: make()?,
            make: Arc::new(make),
            registry: Arc::new(self.registry()),
            clients: Arc::new(Mutex::new(Clients {
                by_origin: HashMap::new(),
                crowded: FEW,
            })),
        })
    }
}

impl MovingClient {
    /// Returns the client that was made first, to build requests with. What is sent through it
    /// itself moves nothing.
    #[must_use]
    pub fn current(&self) -> &Client {
        &self.first
    }

    /// Sends a request on a connection that may take it.
    ///
    /// # Errors
    ///
    /// As [`reqwest::Client::execute`].
    ///
    /// # Cancel safety
    ///
    /// As reqwest's own.
    pub async fn execute(&self, request: Request) -> Result<Response, Error> {
        let (origin, began) = (origin(request.url()), time::now());
        self.registry.sweep(&origin);
        let (client, seat) = self.client_for(&origin);
        let response = client.execute(request).await?;
        self.answered(&response, seat, began);
        Ok(response)
    }

    fn answered(&self, response: &Response, seat: Arc<Seat>, began: Instant) {
        // After a redirect it is another one.
        let origin = origin(response.url());
        if let Some(info) = response.extensions().get::<HttpInfo>()
            && let Some(host) = response.url().host_str()
        {
            let (ends, handle) = (Ends::of(info), Handle::Seat(seat));
            self.registry.note(&origin, host, ends, handle, began);
        }
        // No request may ever be meant for it, when all are led there.
        self.registry.sweep(&origin);
    }

    fn client_for(&self, origin: &str) -> (Client, Arc<Seat>) {
        let found = self.edit(|clients| clients.by_origin.get(origin).cloned());
        let client = match found {
            Some((client, seat)) if !seat.is_spent() => return (client, seat),
            // Outside of the lock: it is the user's, and may take its time.
            Some((old, _)) => (self.make)().unwrap_or(old),
            None => self.first.clone(),
        };
        self.edit(|clients| clients.take_seat(origin, client))
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Clients<Client>) -> T) -> T {
        let clients = self.clients.lock();
        change(&mut clients.unwrap_or_else(PoisonError::into_inner))
    }
}

impl<C: Clone> Clients<C> {
    /// Seats a client, unless another request of the origin was faster.
    fn take_seat(&mut self, origin: &str, client: C) -> (C, Arc<Seat>) {
        if let Some((client, seat)) = self.by_origin.get(origin)
            && !seat.is_spent()
        {
            return (client.clone(), Arc::clone(seat));
        }
        if self.by_origin.len() >= self.crowded {
            // Whatever has a connection or a request in flight holds its seat.
            self.by_origin
                .retain(|_, (_, seat)| Arc::strong_count(seat) > 1);
            self.crowded = FEW.max(2 * self.by_origin.len());
        }
        let seated = (client, Arc::new(Seat::default()));
        self.by_origin.insert(origin.into(), seated.clone());
        seated
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

impl Service<Request> for MovingClient {
    type Response = Response;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send>>;

    /// Always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let client = self.clone();
        Box::pin(async move { client.execute(request).await })
    }
}

impl fmt::Debug for MovingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MovingClient")
            .field("first", &self.first)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seats that nobody holds are given up; one that is held stays.
    #[test]
    fn the_memory_of_origins_stays_bounded() {
        let mut clients = Clients {
            by_origin: HashMap::new(),
            crowded: FEW,
        };
        let (_, held) = clients.take_seat("http://held.test", ());
        for n in 0..10_000 {
            clients.take_seat(&format!("http://h{n}.test"), ());
            assert!(clients.by_origin.len() <= FEW);
        }
        let (_, seat) = clients.take_seat("http://held.test", ());
        assert!(Arc::ptr_eq(&held, &seat));
    }
}
