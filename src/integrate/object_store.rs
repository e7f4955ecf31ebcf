//! For object_store 0.14: stores that do not notice when an edge dies.
//!
//! Give a store the [`Connector`]: its requests then go through a reqwest client with
//! [`.sidestep()`](crate::reqwest::ClientBuilderExt::sidestep), so a dead edge is found out by the
//! first connect and costs no request. object_store's own retries stay, above of that, for what a
//! server answers and for bodies that break off.
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
//! `AmazonS3Builder`, `GoogleCloudStorageBuilder` and `MicrosoftAzureBuilder` take it by the same
//! method.
//!
//! # TLS
//!
//! object_store's features `aws`, `azure`, `gcp` and `http` bring rustls with its provider. With their
//! `-base` forms a program installs one before it builds a store, such as by
//! `rustls::crypto::ring::default_provider().install_default()`: without any, reqwest panics when it
//! makes a client.
//!
//! # Where the client is to stay object_store's own
//!
//! [`Names`] answers names alone: it is a [`DnsResolver`] for `ClientOptions::with_dns_resolver`. That
//! caches, ages, shuffles and outlives an outage of the name server; but nobody tells it which
//! connects failed, so a dead edge keeps its place until it leaves DNS, and object_store's own
//! retries, each of which is dealt the addresses anew, have to find another.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ::object_store::client::{
    ClientConfigKey as Key, DnsFuture, DnsResolver, HttpClient, HttpConnector,
};
use ::object_store::{ClientOptions, Error, Result};
use ::reqwest::tls::Certificate;
use ::reqwest::{ClientBuilder, NoProxy, Proxy};

use super::reqwest::ClientBuilderExt as _;
use crate::Resolver;

/// Makes a store's HTTP client; see the [module](self).
///
/// All of [`ClientOptions`] holds, but for these:
///
/// - Certificates of `with_root_certificate` can't be read from the options. Add them to the client
///   that [`on`](Self::on) is given.
/// - `with_dns_resolver` and `with_randomize_addresses`: the [`Resolver`] answers, and shuffles.
/// - `User-Agent` is this crate's if you set none.
#[derive(Clone)]
pub struct Connector {
    resolver: Resolver,
    client: Arc<dyn Fn() -> ClientBuilder + Send + Sync>,
}

/// Answers names, and learns nothing of connects; see the [module](self).
#[derive(Debug)]
pub struct Names(AssertUnwindSafe<Resolver>);

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

    /// Returns what `ClientOptions::with_dns_resolver` takes; see [`Names`].
    #[must_use]
    pub fn object_store_names(&self) -> Arc<dyn DnsResolver> {
        // A panic leaves nothing of it half done: its locks are short and taken again.
        Arc::new(Names(AssertUnwindSafe(self.clone())))
    }
}

impl Connector {
    /// Sets what each client is built on. The store's options are set on it after that.
    ///
    /// Defaults to [`ClientBuilder::new`]. Change it for what the options can't say: certificates of
    /// your own, another TLS.
    ///
    /// # Examples
    ///
    /// ```
    /// let resolver = sidestep::Resolver::new();
    /// let connector = resolver
    ///     .object_store()
    ///     .on(|| reqwest::Client::builder().tcp_nodelay(true));
    /// ```
    #[must_use]
    pub fn on(mut self, client: impl Fn() -> ClientBuilder + Send + Sync + 'static) -> Self {
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

impl DnsResolver for Names {
    fn resolve(&self, host: &str) -> DnsFuture {
        let asking = self.0.deal(host);
        Box::pin(async move { Ok(asking.await?.map(|addr| addr.ip()).collect()) })
    }
}

/// What a store's options say of its client. A store's own client can't be taken and gone on with:
/// object_store builds it in private.
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
        // Unpacked by itself, an object would not have the length that the store is told.
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
#[error("{0:?} is to be true or false, and not {1:?}")]
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
