//! Add it where you build your client. When a CDN edge dies, your callers do not notice.
//!
//! A caching, shuffling DNS resolver and a connector layer for reqwest and hyper. The layer sees
//! connects fail; the dead address goes to the back of the line at once, the host is looked up
//! again, and the next dial goes to a live edge. No call site changes.
//!
//! ```no_run
//! # #[cfg(feature = "reqwest")]
//! # async fn get() -> Result<(), reqwest::Error> {
//! use sidestep::reqwest::ClientBuilderExt as _;
//!
//! let resolver = sidestep::Resolver::new();
//! let client = reqwest::Client::builder().sidestep(&resolver).build()?;
//! client.get("https://api.example.com/").send().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Overview
//!
//! - [`Resolver`] is a `tower::Service<Name>` and a `reqwest::dns::Resolve`. Share one among all
//!   clients of a process; a clone is one `Arc`.
//! - [`ConnectLayer`], by [`Resolver::connect_layer`], watches any connector.
//! - [`RaceLayer`], by [`Resolver::race_layer`], races all addresses of a host, TLS included, for
//!   hyper, tonic and others whose connectors can be cloned.
//! - [`ClientBuilderExt::sidestep`](reqwest::ClientBuilderExt::sidestep) sets both and connect
//!   retries on a reqwest client.
//! - [`Lookup`] is where addresses come from: [`lookup::Dns`], [`lookup::System`], any
//!   `Service<Name>`, or your own.
//! - [`ExchangeLayer`], by [`Resolver::exchange_layer`], watches an HTTP client: edges that accept
//!   connections and do not serve.
//! - [`PoolLayer`], by [`Resolver::pool_layer`], moves pooled connections along with health and DNS,
//!   HTTP/2 ones too; it goes around hyper-util's client or makes a stock reqwest one.
//! - [`ConnectError`] says what happened to each address of a connect that failed.
//! - [`Resolver::report`], [`Resolver::invalidate`] and [`Resolver::resolve`] are for callers that
//!   dial for themselves.
//! - [`Resolver::pins`] and [`Resolver::fallbacks`] hold addresses that the program itself knows,
//!   and a [`mod@filter`] keeps out those that must not be dialled.
//! - [`Resolver::snapshot`] and [`Event`] tell what it knows and does.
//!
//! # With hyper
//!
//! In one line, with the feature `hyper`: `sidestep::hyper::client()` returns hyper-util's client with
//! the race, rustls and the roots of the platform. By hand, around any connector:
//!
//! ```
//! use hyper_util::client::legacy::{Client, connect::HttpConnector};
//! use hyper_util::rt::TokioExecutor;
//! use tower_layer::Layer as _;
//!
//! let resolver = sidestep::Resolver::new();
//! let mut http = HttpConnector::new_with_resolver(resolver.clone());
//! http.enforce_http(false); // for https
//! http.set_nodelay(true); // without it HTTP/2 waits 40 ms now and then
//! let tcp = resolver.tcp_layer().layer(http);
//! // Wrap `tcp` in hyper-rustls or hyper-tls here, if you use them.
//! let connector = resolver.race_layer().layer(tcp);
//! let client: Client<_, String> = Client::builder(TokioExecutor::new()).build(connector);
//! ```
//!
//! # What it does not do
//!
//! - Without a [`PoolLayer`] it acts when a connection is *made*, and moves none that is up. With or
//!   without one, an HTTP/2 connection that hangs is found by the client's `http2_keep_alive_interval`,
//!   and `pool_idle_timeout` bounds how long an idle one is kept.
//! - With plain hyper it does not send a request again; the next request is dialled elsewhere.
//! - Addresses given by IP literal, `resolve_to_addrs` or behind a proxy ask no resolver, or ask
//!   for the proxy; what is learned is then about the proxy.
//! - HTTP/3 in reqwest does not pass through connector layers; nothing is learned from it.
//!
//! # Features
//!
//! - `reqwest` (default): for reqwest 0.13.
//! - `hickory` (default): [`lookup::Dns`]. Without it the system is asked by `getaddrinfo`.
//! - `reqwest-012`: the same for reqwest 0.12.
//! - `retry`: [`RetryPolicy`], a `tower::retry::Policy` for hyper-util's client.
//! - `middleware`: for reqwest-middleware, where the client has a retry policy of your own.
//! - `object-store`: for object_store.
//! - `hyper`: `sidestep::hyper`, a client of hyper-util in one line, and its connector for tonic.
//! - `watch-network`: `Resolver::watch_network` notices by itself that the device is on another
//!   network, by the crate netwatcher; for devices that move.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
mod backoff;
mod blame;
mod bounded;
mod cache;
mod connect;
mod early;
mod ends;
mod error;
mod exchange;
pub mod filter;
mod health;
mod host;
mod integrate;
pub mod lookup;
mod observe;
mod order;
mod outage;
mod outcome;
mod penalty;
mod pool;
mod race;
mod recheck;
mod resolver;
mod retire;
mod slow;
mod time;
mod ttl;
mod tunnel;
#[cfg(feature = "watch-network")]
mod whereabouts;

pub use self::connect::{Connect, ConnectError, ConnectLayer};
pub use self::error::{Error, InvalidConfig};
pub use self::exchange::{Exchange, ExchangeLayer};
#[cfg(feature = "retry")]
pub use self::integrate::RetryPolicy;
#[cfg(feature = "hyper")]
pub use self::integrate::hyper;
#[cfg(feature = "middleware")]
pub use self::integrate::middleware;
#[cfg(feature = "object-store")]
pub use self::integrate::object_store;
#[cfg(feature = "reqwest")]
pub use self::integrate::reqwest;
#[cfg(feature = "reqwest-012")]
pub use self::integrate::reqwest012;
pub use self::lookup::{Answer, Lookup};
pub use self::observe::{
    AddressView, Attempt, Cause, Event, HostView, Observe, Retirement, Snapshot, Source, Standing,
};
pub use self::order::{Family, Order};
pub use self::outcome::Outcome;
pub use self::pool::{Pool, PoolLayer};
pub use self::race::{Race, RaceLayer, Tcp, TcpLayer};
#[cfg(feature = "watch-network")]
pub use self::resolver::WatchFailed;
pub use self::resolver::{Builder, Resolved, Resolver};

/// Futures and iterators that signatures name.
pub mod future {
    pub use crate::connect::ResponseFuture as Connecting;
    pub use crate::exchange::ResponseFuture as Exchanging;
    pub use crate::pool::ResponseFuture as Pooling;
    pub use crate::race::{ResponseFuture as Racing, TcpFuture};
    pub use crate::resolver::{Addrs, ResponseFuture};
}

#[cfg(all(doctest, feature = "hickory", feature = "hyper", feature = "reqwest"))]
#[doc = include_str!("../README.md")]
struct Readme;
