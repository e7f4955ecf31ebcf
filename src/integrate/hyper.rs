//! For hyper: a client of hyper-util in one line.
//!
//! [`client`] is made of the [shared resolver](Resolver::shared), the [race](crate::RaceLayer) and
//! TLS by rustls, which trusts what the platform trusts. It speaks HTTP/1.1 and HTTP/2 as the server
//! chooses (ALPN), and HTTP/1.1 to `http://`.
//!
//! ```no_run
//! # #[cfg(feature = "hyper")]
//! # async fn get() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let client = sidestep::hyper::client::<String>()?; // String is the body of requests
//! let response = client.get("https://api.example.com/".parse()?).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Build it once and clone it: reading the platform's certificates takes milliseconds, and the pool
//! is the client's. [`client_with`] takes a resolver of yours, [`builder`] lets you change what the
//! client does, and [`connector()`] goes wherever a `Service<Uri>` does, such as into tonic's
//! `Endpoint::connect_with_connector`.
//!
//! # What is set
//!
//! | setting | value | why |
//! |---|---|---|
//! | `TCP_NODELAY` | on | as in reqwest |
//! | TCP keep-alive | after 15 s, each 15 s, 3 times | as in reqwest |
//! | `TCP_USER_TIMEOUT` | 30 s, where the system has it | as in reqwest |
//! | HTTP/2 ping | after 15 s of silence, also on idle connections; 10 s for the answer | a connection to an edge that is gone ends in 25 s, and takes no request after that |
//! | idle connections | kept for 90 s | hyper-util's own |
//! | connects | by the resolver's [`attempt_timeout`](crate::Builder::attempt_timeout) and the race | |
//! | requests | no timeout | put tower's around the client |
//!
//! Servers that count pings (gRPC's allow one in five minutes by default, while they send nothing)
//! close a connection over these: set another interval on [`builder`].
//!
//! # What it does not do
//!
//! It reads no `HTTP_PROXY` and follows no redirects, as hyper-util's clients do not. It does not
//! send a request again that was on its way; what it dials again are connects.
//!
//! # With tonic
//!
//! `Endpoint::connect_with_connector` takes the [`connector()`]. Where any crate turns one of tonic's `tls-*`
//! features on, tonic refuses an `https` URI that it has no TLS of its own for; so give it the host
//! as `http`, tell it the origin, and have the connector take it for `https`:
//!
//! ```no_run
//! # #[cfg(feature = "hyper")]
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
//! Roots, client certificates or another TLS library are put in by hand: the race outside of TLS,
//! [`tcp_layer`](Resolver::tcp_layer) inside of it.
//!
//! ```
//! # #[cfg(feature = "hyper")] {
//! use hyper_rustls::HttpsConnectorBuilder;
//! use hyper_util::client::legacy::{Client, connect::HttpConnector};
//! use sidestep::{Race, Resolver, Tcp};
//! use tower_layer::Layer as _;
//!
//! type Https = hyper_rustls::HttpsConnector<Tcp<HttpConnector<Resolver>>>;
//!
//! fn client(resolver: &Resolver, tls: rustls::ClientConfig) -> Client<Race<Https>, String> {
//!     let mut http = HttpConnector::new_with_resolver(resolver.clone());
//!     http.enforce_http(false);
//!     http.set_nodelay(true);
//!     let https = HttpsConnectorBuilder::new()
//!         .with_tls_config(tls)
//!         .https_or_http()
//!         .enable_all_versions()
//!         .wrap_connector(resolver.tcp_layer().layer(http));
//!     sidestep::hyper::builder().build(resolver.race_layer().layer(https))
//! }
//! # }
//! ```

mod connector;

use std::time::Duration;

use ::hyper::body::Body;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};

pub use self::connector::{Connecting, Connector, Stream};
use crate::Resolver;
use crate::error::BoxError;

/// The platform's certificates are not to be had; the [`source`](std::error::Error::source) says why.
#[derive(Debug, thiserror::Error)]
#[error(
    "TLS can't be set up with the certificates that this system trusts: install them (on Linux the \
     package ca-certificates, or a file named by SSL_CERT_FILE), or set up TLS by hand as the docs of \
     sidestep::hyper show"
)]
pub struct TlsUnavailable {
    source: BoxError,
}

/// Returns a client over the [resolver of the process](Resolver::shared); see the
/// [module](self).
///
/// # Errors
///
/// [`TlsUnavailable`] as [`connector()`] does.
///
/// # Examples
///
/// ```no_run
/// let client = sidestep::hyper::client::<String>()?;
/// # Ok::<(), sidestep::hyper::TlsUnavailable>(())
/// ```
pub fn client<B>() -> Result<Client<Connector, B>, TlsUnavailable>
where
    B: Body + Send,
    B::Data: Send,
{
    client_with(&Resolver::shared())
}

/// Returns a client over this resolver; see the [module](self).
///
/// # Errors
///
/// [`TlsUnavailable`] as [`connector()`] does.
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
pub fn client_with<B>(resolver: &Resolver) -> Result<Client<Connector, B>, TlsUnavailable>
where
    B: Body + Send,
    B::Data: Send,
{
    Ok(builder().build(connector(resolver)?))
}

/// Returns the connector of such a client: the race around TLS around TCP.
///
/// The crypto provider is the process's default one where there is one, and else ring: it does not
/// matter which of rustls's features other crates have chosen.
///
/// # Errors
///
/// [`TlsUnavailable`] when no certificates are found that the platform trusts, as in a container
/// without the package ca-certificates, also if only `http://` is asked for later; or when the
/// process's crypto provider does neither TLS 1.2 nor 1.3.
///
/// # Panics
///
/// On Android, when a first TLS connection is made and the crate rustls-platform-verifier was not
/// initialised with the app's `Context`.
///
/// # Examples
///
/// ```no_run
/// let resolver = sidestep::Resolver::shared();
/// let client = sidestep::hyper::builder()
///     .pool_max_idle_per_host(8)
///     .build::<_, String>(sidestep::hyper::connector(&resolver)?);
/// # Ok::<(), sidestep::hyper::TlsUnavailable>(())
/// ```
pub fn connector(resolver: &Resolver) -> Result<Connector, TlsUnavailable> {
    Connector::new(resolver).map_err(|error| TlsUnavailable {
        source: error.into(),
    })
}

/// Returns hyper-util's builder with the settings of the [table](self#what-is-set), to be changed.
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
        // Without them no ping is sent, and an idle connection is dropped at the next request only.
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(Duration::from_secs(15))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .http2_keep_alive_while_idle(true);
    builder
}
