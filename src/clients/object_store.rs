//! A connector for object_store 0.14, by which a store does not notice a dead address.
//!
//! Give a store the [`Connector`]. The store then sends its requests through a reqwest client with
//! [`.sidestep()`](crate::reqwest::ClientBuilderExt::sidestep), so the first connect to a dead address detects the
//! failure, and no request fails. object_store's own retries stay in place around that client, for responses of the
//! server and for bodies that break off.
//!
//! # Examples
//!
//! ```no_run
//! use object_store::http::HttpBuilder;
//!
//! let resolver = sidestep::Resolver::new();
//! let store = HttpBuilder::new()
//!     .with_url("https://data.example.com/")
//!     .with_http_connector(resolver.object_store())
//!     .build()?;
//! # Ok::<(), object_store::Error>(())
//! ```
//!
//! `AmazonS3Builder`, `GoogleCloudStorageBuilder` and `MicrosoftAzureBuilder` have the same method.
//!
//! # TLS
//!
//! object_store's features `aws`, `azure`, `gcp` and `http` enable rustls with its crypto provider. With their `-base`
//! forms, a program must install a provider before it builds a store, for example by
//! `rustls::crypto::ring::default_provider().install_default()`. Without a provider, reqwest panics when it makes a
//! client.
//!
//! # Keeping object_store's own client
//!
//! [`DnsResolver`] only resolves names, for `ClientOptions::with_dns_resolver`. It caches answers until they expire,
//! shuffles addresses, and serves answers during an outage of the name server. But no layer reports failed connects to
//! the resolver, so a dead address keeps its place until it leaves DNS. object_store's own retries, each of which is
//! given the addresses in a new order, then have to find another address.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ::object_store::client::{
    self as client, ClientConfigKey as Key, DnsFuture, HttpClient, HttpConnector,
};
use ::object_store::{ClientOptions, Error, Result};
use ::reqwest::tls::Certificate;
use ::reqwest::{ClientBuilder, NoProxy, Proxy};

use super::reqwest::ClientBuilderExt as _;
use crate::Resolver;

/// Makes the HTTP client of a store; see the [module](self).
///
/// All settings of [`ClientOptions`] apply, with these exceptions:
///
/// - Certificates of `with_root_certificate` can't be read from the options. Add them to the builder that
///   [`client_builder`](Self::client_builder) takes.
/// - `with_dns_resolver` and `with_randomize_addresses` have no effect, because the [`Resolver`] resolves and shuffles.
/// - `User-Agent` is this crate's if you set none.
#[derive(Clone)]
pub struct Connector {
    resolver: Resolver,
    client: Arc<dyn Fn() -> ClientBuilder + Send + Sync>,
}

/// Resolves names, and learns nothing about connects; see the [module](self).
#[derive(Debug)]
pub struct DnsResolver(AssertUnwindSafe<Resolver>);

impl Resolver {
    /// Returns the connector for a store's `with_http_connector`; see
    /// [`object_store`](crate::object_store).
    #[must_use]
    pub fn object_store(&self) -> Connector {
        Connector {
            resolver: self.clone(),
            client: Arc::new(ClientBuilder::new),
        }
    }

    /// Returns the resolver for `ClientOptions::with_dns_resolver`; see [`DnsResolver`].
    #[must_use]
    pub fn object_store_dns_resolver(&self) -> Arc<dyn client::DnsResolver> {
        // A panic leaves the resolver in a consistent state: its locks are held briefly and taken again after a panic.
        Arc::new(DnsResolver(AssertUnwindSafe(self.clone())))
    }
}

impl Connector {
    /// Sets the closure that returns the builder of each client. The store's options are then set on that builder.
    ///
    /// Defaults to [`ClientBuilder::new`]. Change it for settings that the options do not have, such as your own
    /// certificates or another TLS library.
    ///
    /// # Examples
    ///
    /// ```
    /// let resolver = sidestep::Resolver::new();
    /// let connector = resolver
    ///     .object_store()
    ///     .client_builder(|| reqwest::Client::builder().tcp_nodelay(true));
    /// ```
    #[must_use]
    pub fn client_builder(
        mut self,
        client: impl Fn() -> ClientBuilder + Send + Sync + 'static,
    ) -> Self {
        self.client = Arc::new(client);
        self
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let builder = Settings(options).set((self.client)())?;
        let client = builder.sidestep(&self.resolver).build().map_err(failed)?;
        Ok(HttpClient::new(client))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl client::DnsResolver for DnsResolver {
    fn resolve(&self, host: &str) -> DnsFuture {
        let asking = self.0.resolve_into(host);
        Box::pin(async move { Ok(asking.await?.map(|addr| addr.ip()).collect()) })
    }
}

/// The settings of a store's client. object_store builds its own client in private, so the options are read here and
/// set on another client.
struct Settings<'a>(&'a ClientOptions);

impl Settings<'_> {
    fn set(&self, client: ClientBuilder) -> Result<ClientBuilder> {
        let client = self.set_proxy(self.set_times(client)?)?;
        let client = self.set_protocol(self.set_tls(client)?)?;
        let client = match self.0.get_default_headers() {
            Some(headers) => client.default_headers(headers.clone()),
            None => client,
        };
        let agent = self.text(Key::UserAgent);
        let agent = agent.unwrap_or_else(|| USER_AGENT.to_owned());
        // If the client decompressed an object, the object would not have the length that the store expects.
        let client = client.no_gzip().no_brotli().no_zstd().no_deflate();
        Ok(client.user_agent(agent))
    }

    fn set_times(&self, client: ClientBuilder) -> Result<ClientBuilder> {
        let client = with(client, self.time(Key::Timeout)?, ClientBuilder::timeout);
        let connect = self.time(Key::ConnectTimeout)?;
        let client = with(client, connect, ClientBuilder::connect_timeout);
        let read = self.time(Key::ReadTimeout)?;
        let client = with(client, read, ClientBuilder::read_timeout);
        let idle = self.time(Key::PoolIdleTimeout)?;
        let client = with(client, idle, ClientBuilder::pool_idle_timeout);
        let most = self.value(Key::PoolMaxIdlePerHost)?;
        Ok(with(client, most, ClientBuilder::pool_max_idle_per_host))
    }

    fn set_protocol(&self, client: ClientBuilder) -> Result<ClientBuilder> {
        let every = self.time(Key::Http2KeepAliveInterval)?;
        let client = with(client, every, ClientBuilder::http2_keep_alive_interval);
        let patience = self.time(Key::Http2KeepAliveTimeout)?;
        let client = with(client, patience, ClientBuilder::http2_keep_alive_timeout);
        let idle = self.is(Key::Http2KeepAliveWhileIdle)?;
        let client = client.http2_keep_alive_while_idle(idle);
        let frame: Option<u32> = self.value(Key::Http2MaxFrameSize)?;
        let client = with(client, frame, ClientBuilder::http2_max_frame_size);
        let client = match self.is(Key::Http1Only)? {
            true => client.http1_only(),
            false => client,
        };
        let client = match self.is(Key::Http2Only)? {
            true => client.http2_prior_knowledge(),
            false => client,
        };
        Ok(client.https_only(!self.is(Key::AllowHttp)?))
    }

    fn set_tls(&self, client: ClientBuilder) -> Result<ClientBuilder> {
        let client = match self.is(Key::NoSystemCertificates)? {
            true => client.tls_certs_only([]),
            false => client,
        };
        Ok(match self.is(Key::AllowInvalidCertificates)? {
            true => client.danger_accept_invalid_certs(true),
            false => client,
        })
    }

    fn set_proxy(&self, client: ClientBuilder) -> Result<ClientBuilder> {
        let Some(url) = self.text(Key::ProxyUrl) else {
            return Ok(client);
        };
        let mut proxy = Proxy::all(url).map_err(failed)?;
        if let Some(excluded) = self.text(Key::ProxyExcludes) {
            proxy = proxy.no_proxy(NoProxy::from_string(&excluded));
        }
        let client = client.proxy(proxy);
        let Some(pem) = self.text(Key::ProxyCaCertificate) else {
            return Ok(client);
        };
        let certificate = Certificate::from_pem(pem.as_bytes()).map_err(failed)?;
        Ok(client.tls_certs_merge([certificate]))
    }

    fn text(&self, key: Key) -> Option<String> {
        self.0.get_config_value(&key)
    }

    fn time(&self, key: Key) -> Result<Option<Duration>> {
        let read = |text: String| humantime::parse_duration(&text).map_err(failed);
        self.text(key).map(read).transpose()
    }

    fn is(&self, key: Key) -> Result<bool> {
        let text = self.text(key).unwrap_or_default().to_ascii_lowercase();
        match text.as_str() {
            "1" | "true" | "on" | "yes" | "y" => Ok(true),
            "" | "0" | "false" | "off" | "no" | "n" => Ok(false),
            _ => Err(failed(NotYesOrNo(key, text))),
        }
    }

    fn value<T>(&self, key: Key) -> Result<Option<T>>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        let read = |text: String| text.parse().map_err(failed);
        self.text(key).map(read).transpose()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("option {0:?} must be true or false, and not {1:?}")]
struct NotYesOrNo(Key, String);

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

fn with<T>(
    client: ClientBuilder,
    value: Option<T>,
    set: impl FnOnce(ClientBuilder, T) -> ClientBuilder,
) -> ClientBuilder {
    match value {
        Some(value) => set(client, value),
        None => client,
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic {
        store: "sidestep",
        source: Box::new(error),
    }
}
