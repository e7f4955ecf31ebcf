//! The clients that the soak compares.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Response, Version};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use sidestep::Resolver;
use testkit::lab::clients::{Client, Connections};
use testkit::lab::get::{Failure, Get, through_hyper};
use testkit::soak::schedule::Connects;
use tower::retry::RetryLayer;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceBuilder, service_fn};

use crate::ledger::{Met, note};

/// A client of one of the libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// reqwest, with a new connection for each request.
    Reqwest(Client),
    /// hyper-util's client over a race, with HTTP/2 and pooled connections.
    RaceHttp2,
}

/// Number of clients that share a resolver, each with its own pool.
const POOLS: usize = 10;
/// Maximum age of a pooled connection. A service uses minutes. The soak uses seconds, so that clients connect all the
/// time and not only when an edge has died.
const AGE: Duration = Duration::from_secs(2);
/// Silence on a connection with requests in flight after which a ping is sent.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// Time that the reply to a ping may take.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Time after which a silent connection has ended.
pub(crate) const PING: Duration = Duration::from_secs(4);

impl Caller {
    /// All clients, those of sidestep first.
    pub(crate) const ALL: [Self; 4] = [
        Self::Reqwest(Client::Sidestep),
        Self::RaceHttp2,
        Self::Reqwest(Client::Plain),
        Self::Reqwest(Client::Hickory),
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Reqwest(client) => client.title(),
            Self::RaceHttp2 => "hyper + race, HTTP/2",
        }
    }

    /// Returns the host that only this client looks up, so that its queries can be counted.
    pub(crate) fn host(self) -> &'static str {
        match self {
            Self::Reqwest(client) => client.host(),
            Self::RaceHttp2 => "race-http2.edge.test",
        }
    }

    /// Returns whether the client is one of sidestep, which has bars.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Reqwest(Client::Sidestep) | Self::RaceHttp2)
    }

    pub(crate) fn connects(self) -> Connects {
        match self {
            Self::Reqwest(_) => Connects::ForEachRequest,
            Self::RaceHttp2 => Connects::Pooled,
        }
    }

    /// Builds the client with the name server and the authority of the lab.
    pub(crate) fn build(
        self,
        dns: SocketAddr,
        tls: ClientConfig,
        url: &str,
    ) -> Result<Built, Failure> {
        match self {
            Self::Reqwest(client) => {
                let built = client.build(dns, tls, Connections::New)?;
                Ok(Built {
                    clients: vec![through_reqwest(built.http, url)],
                    resolver: built.resolver,
                })
            }
            Self::RaceHttp2 => race_http2(dns, &tls, url),
        }
    }
}

/// Clients, and their resolver if sidestep provides the resolver.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    pub(crate) clients: Vec<Get>,
    pub(crate) resolver: Option<Resolver>,
}

fn through_reqwest(http: reqwest::Client, url: &str) -> Get {
    let url = url.to_owned();
    let send = move |()| {
        let request = http.get(&url);
        async move {
            let answered = async {
                let answer = request.send().await?.error_for_status()?;
                answer.bytes().await.map(drop)
            };
            Ok(answered.await.map_err(reqwest::Error::without_url)?)
        }
    };
    BoxCloneSyncService::new(service_fn(send))
}

/// Puts all layers around hyper-util's client, in the order of the README.
fn race_http2(dns: SocketAddr, tls: &ClientConfig, url: &str) -> Result<Built, Failure> {
    let lookup = sidestep::lookup::Dns::with_servers([dns])?;
    let resolver = Resolver::builder().lookup(lookup).build()?;
    let client = || {
        let mut http = HttpConnector::new_with_resolver(resolver.clone());
        http.enforce_http(false);
        http.set_nodelay(true);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http()
            .enable_all_versions() // by ALPN
            .wrap_connector(resolver.tcp_connected_layer().layer(http));
        let client = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .build(resolver.happy_eyeballs_layer().layer(https));
        let service = ServiceBuilder::new()
            .map_result(only_http2)
            .layer(RetryLayer::new(resolver.retry_policy()))
            .map_result(note_silence)
            .layer(resolver.drain_layer().max_connection_age(AGE))
            .service(client);
        through_hyper(service, url)
    };
    Ok(Built {
        clients: (0..POOLS).map(|_| client()).collect::<Result<_, _>>()?,
        resolver: Some(resolver.clone()),
    })
}

/// Records that a lost ping has ended the connection of a request, each time that the request is sent.
fn note_silence<T>(sent: Result<T, legacy::Error>) -> Result<T, legacy::Error> {
    if let Err(error) = &sent {
        let first: &(dyn Error + 'static) = error;
        let mut causes = std::iter::successors(Some(first), |&cause| cause.source());
        let of_hyper = causes.find_map(|cause| cause.downcast_ref::<hyper::Error>());
        if of_hyper.is_some_and(hyper::Error::is_timeout) {
            note(Met::Silence);
        }
    }
    sent
}

/// Returns an error for a response of another version, because only HTTP/2 requests share pooled connections.
fn only_http2(
    sent: Result<Response<Incoming>, legacy::Error>,
) -> Result<Response<Incoming>, Failure> {
    let answer = sent?;
    match answer.version() {
        Version::HTTP_2 => Ok(answer),
        version => Err(format!("the answer came by {version:?}").into()),
    }
}
