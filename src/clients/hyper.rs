//! A client of hyper-util in one line.
//!
//! [`client`] returns a client with the [shared resolver](Resolver::shared), the [race](crate::HappyEyeballsLayer) and
//! TLS by rustls, which trusts the certificates that the platform trusts. For `https://` the server chooses between
//! HTTP/1.1 and HTTP/2 (ALPN). For `http://` the client uses HTTP/1.1.
//!
//! ```no_run
//! # #[cfg(feature = "hyper-client")]
//! # async fn get() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let client = sidestep::hyper::client::<String>()?; // String is the body of requests
//! let response = client.get("https://api.example.com/".parse()?).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Build the client once and clone it: reading the platform's certificates takes milliseconds, and each client has
//! a connection pool of its own. [`client_with`] takes a resolver of yours, [`builder`] lets you change the settings,
//! and [`connector()`] returns the connector alone, for anything that takes a `Service<Uri>`, such as tonic's
//! `Endpoint::connect_with_connector`.
//!
//! # What is set
//!
//! | setting | value | why |
//! |---|---|---|
//! | `TCP_NODELAY` | on | as in reqwest |
//! | TCP keep-alive | after 15 s, then every 15 s, 3 times | as in reqwest |
//! | `TCP_USER_TIMEOUT` | 30 s, if the system has it | as in reqwest |
//! | HTTP/2 ping | after 15 s of silence, also on idle connections; 10 s for the reply | a connection to a dead address ends within 25 s, and takes no request after that |
//! | idle connections | kept for 90 s | hyper-util's default |
//! | connects | bounded by the resolver's [`attempt_timeout`](crate::ResolverBuilder::attempt_timeout) and by the race | |
//! | requests | no timeout | put tower's timeout around the client |
//!
//! A server that counts pings closes a connection because of these pings. For such a server, set another interval on
//! [`builder`]. gRPC's servers by default allow one ping in five minutes while they send nothing.
//!
//! # What it does not do
//!
//! Like all clients of hyper-util, the client reads no `HTTP_PROXY` and follows no redirects. It repeats connects, but
//! it does not send a request again that was on its way.
//!
//! # With tonic
//!
//! `Endpoint::connect_with_connector` takes the [`connector()`]. If any crate enables one of tonic's `tls-*` features,
//! tonic refuses an `https` URI for which it has no TLS settings of its own. So give tonic the host as `http`, set the
//! origin, and let the connector treat the URI as `https`:
//!
//! ```no_run
//! # #[cfg(feature = "hyper-client")]
//! # fn channel(resolver: &sidestep::Resolver) -> Result<(), Box<dyn std::error::Error>> {
//! use http::Uri;
//! use tonic::transport::Endpoint;
//! use tower::ServiceExt as _;
//!
//! let connector = sidestep::hyper::connector(resolver)?;
//! let https = connector.map_request(|uri: Uri| {
//!     let mut parts = uri.into_parts();
//!     parts.scheme = Some(http::uri::Scheme::HTTPS);
//!     Uri::from_parts(parts).expect("it was a whole URI")
//! });
//! let channel = Endpoint::from_static("http://grpc.example.com:443")
//!     .origin(Uri::from_static("https://grpc.example.com"))
//!     .connect_with_connector_lazy(https);
//! # Ok(())
//! # }
//! ```
//!
//! # TLS of your own
//!
//! To use your own root certificates, client certificates or another TLS library, build the connector yourself: the
//! race goes outside of TLS, and [`tcp_connected_layer`](Resolver::tcp_connected_layer) inside of TLS.
//!
//! ```
//! # #[cfg(feature = "hyper-client")] {
//! use hyper_rustls::HttpsConnectorBuilder;
//! use hyper_util::client::legacy::{Client, connect::HttpConnector};
//! use sidestep::{HappyEyeballs, Resolver, TcpConnected};
//! use tower::Layer as _;
//!
//! type Https = hyper_rustls::HttpsConnector<TcpConnected<HttpConnector<Resolver>>>;
//!
//! fn client(resolver: &Resolver, tls: rustls::ClientConfig) -> Client<HappyEyeballs<Https>, String> {
//!     let mut http = HttpConnector::new_with_resolver(resolver.clone());
//!     http.enforce_http(false);
//!     http.set_nodelay(true);
//!     let https = HttpsConnectorBuilder::new()
//!         .with_tls_config(tls)
//!         .https_or_http()
//!         .enable_all_versions()
//!         .wrap_connector(resolver.tcp_connected_layer().layer(http));
//!     sidestep::hyper::builder().build(resolver.happy_eyeballs_layer().layer(https))
//! }
//! # }
//! ```

mod connector;

use std::time::Duration;

use ::hyper::body::Body;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};

pub use self::connector::{ConnectFuture, Connector, Stream};
use crate::Resolver;
use crate::error::BoxError;

/// TLS could not be set up with the platform's certificates; the [`source`](std::error::Error::source) says why.
#[derive(Debug, thiserror::Error)]
#[error(
    "TLS can't be set up with the certificates that this system trusts: install them (on Linux the \
     package ca-certificates, or a file named by SSL_CERT_FILE), or set up TLS by hand as the docs of \
     sidestep::hyper show"
)]
pub struct TlsConfigError {
    source: BoxError,
}

/// Returns a client that uses the [resolver of the process](Resolver::shared); see the [module](self).
///
/// # Errors
///
/// Returns [`TlsConfigError`] in the cases in which [`connector()`] does.
///
/// # Examples
///
/// ```no_run
/// let client = sidestep::hyper::client::<String>()?;
/// # Ok::<(), sidestep::hyper::TlsConfigError>(())
/// ```
pub fn client<B>() -> Result<Client<Connector, B>, TlsConfigError>
where
    B: Body + Send,
    B::Data: Send,
{
    client_with(&Resolver::shared())
}

/// Returns a client that uses this resolver; see the [module](self).
///
/// # Errors
///
/// Returns [`TlsConfigError`] in the cases in which [`connector()`] does.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// let resolver = sidestep::Resolver::builder().max_ttl(Duration::from_secs(30)).build()?;
/// let client = sidestep::hyper::client_with::<String>(&resolver)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn client_with<B>(resolver: &Resolver) -> Result<Client<Connector, B>, TlsConfigError>
where
    B: Body + Send,
    B::Data: Send,
{
    Ok(builder().build(connector(resolver)?))
}

/// Returns the connector of these clients: a race around TLS around TCP.
///
/// The crypto provider is the default one of the process, or ring if there is none. The features of rustls that other
/// crates enable do not matter.
///
/// # Errors
///
/// Returns [`TlsConfigError`] if no certificates are found that the platform trusts, as in a container without the
/// package ca-certificates, even if all later requests are for `http://`. Returns [`TlsConfigError`] also if the
/// crypto provider of the process supports neither TLS 1.2 nor TLS 1.3.
///
/// # Panics
///
/// On Android, the first TLS connection panics if the crate rustls-platform-verifier was not initialized with the
/// app's `Context`.
///
/// # Examples
///
/// ```no_run
/// let resolver = sidestep::Resolver::shared();
/// let client = sidestep::hyper::builder()
///     .pool_max_idle_per_host(8)
///     .build::<_, String>(sidestep::hyper::connector(&resolver)?);
/// # Ok::<(), sidestep::hyper::TlsConfigError>(())
/// ```
pub fn connector(resolver: &Resolver) -> Result<Connector, TlsConfigError> {
    Connector::new(resolver).map_err(|error| TlsConfigError {
        source: error.into(),
    })
}

/// Returns hyper-util's builder with the settings of the [table](self#what-is-set), for further changes.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let mut builder = sidestep::hyper::builder();
/// builder.http2_keep_alive_interval(Duration::from_secs(330)); // for gRPC servers
/// ```
#[must_use]
pub fn builder() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        // Without timers no ping is sent, and an idle connection is dropped only at the next request.
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(Duration::from_secs(15))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .http2_keep_alive_while_idle(true);
    builder
}
