//! A process that uses the crate: its resolver, its connector layer and its retry policy.

use std::error::Error as StdError;
use std::future::ready;
use std::pin::Pin;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{Request, Uri};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::{self, Client as HyperClient};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sidestep::lookup::{Answer, Lookup, LookupFuture};
use sidestep::{Connect, ResolveError, Resolver, RetryPolicy};
use tokio::net::TcpStream;
use tower::retry::{Retry, RetryLayer};
use tower::{Layer as _, Service, ServiceExt as _};

use crate::load::Client;
use crate::network::{Failure, Network};
use crate::peers::{Made, Peers};

type BoxError = Box<dyn StdError + Send + Sync>;
type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

const URL: &str = "http://cdn.example/";

/// The stack that the docs of [`RetryPolicy`] show for hyper-util's client, over a simulated network.
#[derive(Clone)]
pub(crate) struct Sidestep(Retry<RetryPolicy, ConnectOnly>);

impl Sidestep {
    pub(crate) fn new(network: &Arc<Network>, peers: &Arc<Peers>) -> Self {
        let probed = Arc::clone(network);
        let resolver = Resolver::builder()
            .lookup(NameServer(Arc::clone(network)))
            .probe_connect(move |to| {
                let network = Arc::clone(&probed);
                async move { network.probe(to.ip()).await }
            })
            .build()
            .expect("the defaults are valid");
        let connector = Connector {
            resolver: resolver.clone(),
            network: Arc::clone(network),
            peers: Arc::clone(peers),
        };
        let connector = resolver
            .connect_layer()
            .caller_retries(true)
            .layer(connector);
        let client = ConnectOnly { connector };
        Self(RetryLayer::new(resolver.retry_policy()).layer(client))
    }
}

impl Client for Sidestep {
    async fn request(&self) -> Result<(), Failure> {
        let mut request = Request::new(());
        *request.uri_mut() = Uri::from_static(URL);
        let response = self.0.clone().oneshot(request).await;
        response.map_err(|error| match is_unresolved(&error) {
            true => Failure::Unresolved,
            false => Failure::Unconnected,
        })
    }
}

fn is_unresolved(error: &legacy::Error) -> bool {
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.any(<dyn StdError>::is::<ResolveError>)
}

/// The lookup of a resolver, which queries the name server of the network.
struct NameServer(Arc<Network>);

impl Lookup for NameServer {
    fn lookup<'a>(&'a self, _: &'a str) -> LookupFuture<'a> {
        Box::pin(async {
            let edges = self.0.query().await;
            Ok(Answer::new(*edges).with_ttl(self.0.scenario.ttl()))
        })
    }
}

/// A connector that attempts one address after the other.
///
/// hyper-util's connector does the same here: it begins a second lane 300 ms after the first or when the first has
/// failed, and four addresses refuse within 120 ms.
#[derive(Clone)]
struct Connector {
    resolver: Resolver,
    network: Arc<Network>,
    peers: Arc<Peers>,
}

impl Service<Uri> for Connector {
    type Response = Made;
    type Error = BoxError;
    type Future = BoxFuture<Made, BoxError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self {
            mut resolver,
            network,
            peers,
        } = self.clone();
        Box::pin(async move {
            let name = Name::from_str(uri.host().ok_or("the URI has no host")?)?;
            let mut last = BoxError::from("the answer has no address");
            for addr in resolver.call(name).await? {
                match network.attempt(addr.ip()).await {
                    Ok(()) => return Ok(peers.made(addr.ip())),
                    Err(error) => last = error.into(),
                }
            }
            Err(last)
        })
    }
}

/// hyper-util's client without HTTP: a request has its response as soon as it has a connection.
#[derive(Clone)]
struct ConnectOnly {
    connector: Connect<Connector>,
}

impl Service<Request<()>> for ConnectOnly {
    type Response = ();
    type Error = legacy::Error;
    type Future = BoxFuture<(), legacy::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), legacy::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let connecting = self.connector.call(request.into_parts().0.uri);
        Box::pin(async {
            match connecting.await {
                Ok(_) => Ok(()),
                Err(error) => Err(client_error(error).await),
            }
        })
    }
}

/// Returns the error of hyper-util's client for a connect that failed. Only that client can make one.
async fn client_error(connect: BoxError) -> legacy::Error {
    let connect = Arc::new(Mutex::new(Some(connect)));
    let connector = tower::service_fn(move |_: Uri| {
        let error = connect.lock().ok().and_then(|mut error| error.take());
        ready(Err::<TokioIo<TcpStream>, _>(
            error.expect("a client connects once"),
        ))
    });
    let client = HyperClient::builder(TokioExecutor::new()).build::<_, String>(connector);
    let response = client.get(Uri::from_static(URL)).await;
    response.expect_err("the connector fails")
}
