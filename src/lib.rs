//! A caching, shuffling DNS resolver and a connector layer for reqwest and hyper that avoid failed addresses.
//!
//! Add them where you build your client; no call site changes. If a connect to an address fails, the resolver orders
//! the address last at once and looks up the host again, and the next connect goes to another address. If an address of
//! a CDN dies, your callers do not notice.
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
//! - [`Resolver`] is a `tower::Service<Name>` and a `reqwest::dns::Resolve`. Share one resolver among all clients of a
//!   process; a clone is one `Arc`.
//! - [`ConnectLayer`], from [`Resolver::connect_layer`], watches any connector.
//! - [`HappyEyeballsLayer`], from [`Resolver::happy_eyeballs_layer`], races all addresses of a host, TLS included, for
//!   hyper, tonic and other clients whose connectors can be cloned.
//! - [`ClientBuilderExt::sidestep`](reqwest::ClientBuilderExt::sidestep) sets the resolver, the [`ConnectLayer`] and
//!   retries of failed connects on a reqwest client.
//! - [`Lookup`] is the source of addresses: [`lookup::Dns`], [`lookup::System`], any `Service<Name>`, or your own.
//! - [`PassiveHealthLayer`], from [`Resolver::passive_health_layer`], watches an HTTP client for addresses that accept
//!   connections and do not serve.
//! - [`DrainLayer`], from [`Resolver::drain_layer`], drains pooled connections, HTTP/2 ones too, whose address has
//!   failed or has left DNS. The layer wraps hyper-util's client or makes a stock reqwest client.
//! - [`ConnectError`] says what happened at each address of a connect that failed.
//! - [`Resolver::report`], [`Resolver::invalidate`] and [`Resolver::resolve`] are for programs with connects of their
//!   own.
//! - [`Resolver::overrides`] and [`Resolver::fallbacks`] hold addresses that the program configures, and a
//!   [`mod@filter`] refuses addresses that must not be connected to.
//! - [`Resolver::snapshot`] and [`Event`] show the state and the actions of the resolver.
//!
//! # With hyper
//!
//! With the feature `hyper-client`, `sidestep::hyper::client()` returns hyper-util's client with the race, rustls and the root
//! certificates of the platform. For any other connector, add the layers yourself:
//!
//! ```
//! use hyper_util::client::legacy::{Client, connect::HttpConnector};
//! use hyper_util::rt::TokioExecutor;
//! use tower::Layer as _;
//!
//! let resolver = sidestep::Resolver::new();
//! let mut http = HttpConnector::new_with_resolver(resolver.clone());
//! http.enforce_http(false); // for https
//! http.set_nodelay(true); // otherwise HTTP/2 sometimes waits 40 ms
//! let tcp = resolver.tcp_connected_layer().layer(http);
//! // Wrap `tcp` in hyper-rustls or hyper-tls here, if you use them.
//! let connector = resolver.happy_eyeballs_layer().layer(tcp);
//! let client: Client<_, String> = Client::builder(TokioExecutor::new()).build(connector);
//! ```
//!
//! # What it does not do
//!
//! - Without a [`DrainLayer`] the crate acts when a connection is *made*, and leaves pooled connections in use. With or
//!   without the layer, the client's `http2_keep_alive_interval` detects an HTTP/2 connection that hangs, and
//!   `pool_idle_timeout` limits how long an idle connection is kept.
//! - With plain hyper the crate does not retry a request; the next request connects to another address.
//! - A connect to an IP literal or to addresses of `resolve_to_addrs` does not use the resolver. A connect through a
//!   proxy resolves the proxy, so the resolver learns only about the proxy's addresses.
//! - HTTP/3 in reqwest does not pass through connector layers, so the resolver learns nothing from HTTP/3.
//!
//! # Features
//!
//! - `reqwest` (default): support for reqwest 0.13.
//! - `hickory` (default): [`lookup::Dns`]. Without this feature the default lookup is [`lookup::System`]
//!   (`getaddrinfo`).
//! - `reqwest-012`: support for reqwest 0.12.
//! - `middleware`: support for reqwest-middleware, for clients with a retry policy of your own.
//! - `object-store`: support for object_store.
//! - `hyper-client`: `sidestep::hyper`, a ready-made client of hyper-util, and its connector for tonic.
//! - `hyper-client-ring`, `hyper-client-aws-lc-rs`: the same, with this crypto provider for rustls if the process has no
//!   default one.
//! - `watch-network`: `Resolver::watch_network`, which detects with the crate netwatcher that the device is on another
//!   network; for devices that move.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod addrs;
mod attempt;
mod bounded;
mod cache;
mod clients;
mod connect;
mod drain;
mod error;
mod events;
pub mod filter;
mod happy_eyeballs;
mod health;
mod host;
pub mod lookup;
mod passive_health;
mod resolver;
mod retry;
mod time;

pub use self::addrs::{AddressOrder, Family};
#[cfg(feature = "hyper-client")]
pub use self::clients::hyper;
#[cfg(feature = "middleware")]
pub use self::clients::middleware;
#[cfg(feature = "object-store")]
pub use self::clients::object_store;
#[cfg(feature = "reqwest")]
pub use self::clients::reqwest;
#[cfg(feature = "reqwest-012")]
pub use self::clients::reqwest012;
pub use self::connect::{Connect, ConnectError, ConnectLayer};
pub use self::drain::{Drain, DrainLayer};
pub use self::error::{ConfigError, ResolveError};
pub use self::events::{
    AddressSnapshot, AddressState, AnswerSource, AttemptReport, DrainReason, Event, HostSnapshot,
    LookupReason, Observe, Snapshot,
};
pub use self::happy_eyeballs::{
    HappyEyeballs, HappyEyeballsLayer, TcpConnected, TcpConnectedLayer,
};
pub use self::health::Outcome;
pub use self::lookup::{Answer, Lookup};
pub use self::passive_health::{PassiveHealth, PassiveHealthLayer};
#[cfg(feature = "watch-network")]
pub use self::resolver::WatchError;
pub use self::resolver::{Resolved, Resolver, ResolverBuilder};
pub use self::retry::RetryPolicy;

#[cfg(any(
    doc,
    all(
        doctest,
        feature = "hickory",
        feature = "hyper-client",
        feature = "middleware",
        feature = "reqwest"
    )
))]
#[doc = include_str!("../docs/guide.md")]
pub mod guide {}

/// The types of futures and iterators in public signatures.
pub mod future {
    pub use crate::connect::ConnectFuture;
    pub use crate::drain::DrainFuture;
    pub use crate::happy_eyeballs::{HappyEyeballsFuture, TcpConnectedFuture};
    pub use crate::passive_health::PassiveHealthFuture;
    pub use crate::resolver::{Addrs, ResolveFuture};
}

#[cfg(all(
    doctest,
    feature = "hickory",
    feature = "hyper-client",
    feature = "reqwest"
))]
#[doc = include_str!("../README.md")]
struct Readme;
