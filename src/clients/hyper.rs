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
//! | connects | 30 s in all, 10 s for an attempt while another can be made | the defaults of the [race](crate::HappyEyeballsLayer) |
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
mod provider;

use std::time::Duration;

use ::hyper::body::Body;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};

pub use self::connector::{ConnectFuture, Connector, Stream};
use crate::error::BoxError;
use crate::{HappyEyeballsLayer, Resolver};

/// TLS could not be set up with the platform's certificates; the [`source`](std::error::Error::source) says why.
#[derive(Debug, thiserror::Error)]
#[error(
    "TLS can't be set up: {problem}; or set up TLS by hand as the docs of sidestep::hyper show"
)]
pub struct TlsConfigError {
    problem: &'static str,
    source: Option<BoxError>,
}

impl TlsConfigError {
    fn no_provider() -> Self {
        Self {
            problem: "rustls has no crypto provider, or more than one: install a default provider at the start of the \
                      program, for example by rustls::crypto::ring::default_provider().install_default(), or enable \
                      the feature hyper-client-ring or hyper-client-aws-lc-rs of sidestep",
            source: None,
        }
    }

    fn no_certificates(source: BoxError) -> Self {
        Self {
            problem: "the system has no certificates that it trusts, or the crypto provider supports no version of TLS: \
                      install certificates (on Linux the package ca-certificates, or a file named by SSL_CERT_FILE)",
            source: Some(source),
        }
    }
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
/// The crypto provider is the first of these that exists:
///
/// 1. the default provider of the process (`rustls::crypto::CryptoProvider::install_default`),
/// 2. aws-lc-rs with the feature `hyper-client-aws-lc-rs`, ring with the feature `hyper-client-ring`,
/// 3. the only provider that the program compiles rustls with, which rustls then makes the default of the process.
///
/// For FIPS, install `rustls::crypto::default_fips_provider()`.
///
/// # Errors
///
/// Returns [`TlsConfigError`] in these cases, even if all later requests are for `http://`:
///
/// - There is no crypto provider, or rustls has two and nothing chooses one of them.
/// - No certificates are found that the platform trusts, as in a container without the package ca-certificates.
/// - The crypto provider supports neither TLS 1.2 nor TLS 1.3.
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
    connector_with(&resolver.happy_eyeballs_layer())
}

/// Returns the connector of these clients, with a race of your settings; see [`connector()`].
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
/// let race = sidestep::Resolver::shared().happy_eyeballs_layer();
/// let race = race.timeout(Duration::from_secs(5));
/// let client = sidestep::hyper::builder()
///     .build::<_, String>(sidestep::hyper::connector_with(&race)?);
/// # Ok::<(), sidestep::hyper::TlsConfigError>(())
/// ```
pub fn connector_with(race: &HappyEyeballsLayer) -> Result<Connector, TlsConfigError> {
    Connector::new(race)
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
