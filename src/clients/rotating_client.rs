//! A reqwest client that drains pooled connections by replacing the `reqwest::Client` that holds them.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use hyper_util::client::legacy::connect::HttpInfo;
use reqwest::{Client, Error, IntoUrl, Method, Request, RequestBuilder, Response, Url};
use tower::Service;

use crate::attempt::ConnectionId;
use crate::drain::{ClientSlot, DrainLayer, Handle, Registry};
use crate::time;

/// A reqwest client whose pooled connections follow health and DNS, over HTTP/1.1 and HTTP/2.
///
/// [`DrainLayer::reqwest`] returns this client. reqwest 0.13 does not forward the extensions of a request to hyper, so
/// a pooled connection cannot be drained individually. Instead, if a connection to an origin must be drained, the
/// closure makes another `reqwest::Client`, and later requests to that origin go through the new client. In-flight
/// requests finish on the old client. The cost is one connect for each pooled connection to the origin, healthy ones
/// included; with HTTP/2 there is only one.
///
/// The conditions are those of [`DrainLayer`], with two differences: a connection is known from its first response on
/// and not earlier, and a redirected request counts for the origin of its response.
///
/// Clones share all clients and connections. The type is a `tower::Service<reqwest::Request>`, so a
/// [`PassiveHealthLayer`](crate::PassiveHealthLayer) and tower's own layers can wrap it.
///
/// # Examples
///
/// ```
/// use sidestep::reqwest::ClientBuilderExt as _;
///
/// # async fn get() -> Result<(), reqwest::Error> {
/// let resolver = sidestep::Resolver::new();
/// let client = resolver.drain_layer().reqwest({
///     let resolver = resolver.clone();
///     move || reqwest::Client::builder().sidestep(&resolver).build()
/// })?;
/// let request = client.request_builder(reqwest::Method::GET, "https://api.example.com/").build()?;
/// let response = client.execute(request).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RotatingClient {
    make: Arc<dyn Fn() -> Result<Client, Error> + Send + Sync>,
    first: Client,
    registry: Arc<Registry>,
    clients: Arc<Mutex<Clients<Client>>>,
}

/// The client of each origin.
#[derive(Debug)]
struct Clients<C> {
    by_origin: HashMap<Box<str>, (C, Arc<ClientSlot>)>,
    /// Number of origins from which on those without connections are removed.
    crowded: usize,
}

/// Number of origins that are kept without a check.
const FEW: usize = 64;

impl DrainLayer {
    /// Returns a reqwest client whose pooled connections follow health and DNS; see [`RotatingClient`].
    ///
    /// The closure makes the first client, and another one like that whenever an origin needs one. Share among all
    /// clients what is expensive to make or must be common to them, such as the TLS settings and the cookies.
    ///
    /// # Errors
    ///
    /// Returns the error of the first call of the closure, which happens now. If a later call fails, the current
    /// client of the origin stays in use.
    pub fn reqwest(
        &self,
        make: impl Fn() -> Result<Client, Error> + Send + Sync + 'static,
    ) -> Result<RotatingClient, Error> {
        Ok(RotatingClient {
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

impl RotatingClient {
    /// Returns a builder for a request, which [`execute`](Self::execute) then sends.
    ///
    /// Call [`RequestBuilder::build`] on the builder. A request that [`RequestBuilder::send`] sends instead drains no
    /// connection.
    pub fn request_builder(&self, method: Method, url: impl IntoUrl) -> RequestBuilder {
        self.first.request(method, url)
    }

    /// Sends a request on a connection that takes new requests.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases in which [`reqwest::Client::execute`] does.
    ///
    /// # Cancel safety
    ///
    /// The same as that of [`reqwest::Client::execute`].
    pub async fn execute(&self, request: Request) -> Result<Response, Error> {
        let (origin, began) = (origin(request.url()), time::now());
        self.registry.sweep(&origin);
        let (client, slot) = self.client_for(&origin);
        let response = client.execute(request).await?;
        self.answered(&response, slot, began);
        Ok(response)
    }

    fn answered(&self, response: &Response, slot: Arc<ClientSlot>, began: Instant) {
        // After a redirect, the origin of the response is another one.
        let origin = origin(response.url());
        if let Some(info) = response.extensions().get::<HttpInfo>()
            && let Some(host) = response.url().host_str()
        {
            let (ends, handle) = (ConnectionId::of(info), Handle::Client(slot));
            self.registry.note(&origin, host, ends, handle, began);
        }
        // If only redirects lead to this origin, no request names the origin, and nothing else sweeps it.
        self.registry.sweep(&origin);
    }

    fn client_for(&self, origin: &str) -> (Client, Arc<ClientSlot>) {
        let found = self.edit(|clients| clients.by_origin.get(origin).cloned());
        let client = match found {
            Some((client, slot)) if !slot.is_spent() => return (client, slot),
            // The closure is the user's and may take long, so it runs outside of the lock.
            Some((old, _)) => (self.make)().unwrap_or(old),
            None => self.first.clone(),
        };
        self.edit(|clients| clients.take_slot(origin, client))
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Clients<Client>) -> T) -> T {
        let clients = self.clients.lock();
        change(&mut clients.unwrap_or_else(PoisonError::into_inner))
    }
}

impl<C: Clone> Clients<C> {
    /// Assigns a client to an origin and returns it, unless another request has already done so.
    fn take_slot(&mut self, origin: &str, client: C) -> (C, Arc<ClientSlot>) {
        if let Some((client, slot)) = self.by_origin.get(origin)
            && !slot.is_spent()
        {
            return (client.clone(), Arc::clone(slot));
        }
        if self.by_origin.len() >= self.crowded {
            // Every connection and every request in flight holds a reference to its slot.
            self.by_origin
                .retain(|_, (_, slot)| Arc::strong_count(slot) > 1);
            self.crowded = FEW.max(2 * self.by_origin.len());
        }
        let seated = (client, Arc::new(ClientSlot::default()));
        self.by_origin.insert(origin.into(), seated.clone());
        seated
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

impl Service<Request> for RotatingClient {
    type Response = Response;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send>>;

    /// Always returns ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let client = self.clone();
        Box::pin(async move { client.execute(request).await })
    }
}

impl fmt::Debug for RotatingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotatingClient")
            .field("first", &self.first)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot without further references is removed; a slot with one stays.
    #[test]
    fn the_memory_of_origins_stays_bounded() {
        let mut clients = Clients {
            by_origin: HashMap::new(),
            crowded: FEW,
        };
        let (_, held) = clients.take_slot("http://held.test", ());
        for n in 0..10_000 {
            clients.take_slot(&format!("http://h{n}.test"), ());
            assert!(clients.by_origin.len() <= FEW);
        }
        let (_, slot) = clients.take_slot("http://held.test", ());
        assert!(Arc::ptr_eq(&held, &slot));
    }
}
