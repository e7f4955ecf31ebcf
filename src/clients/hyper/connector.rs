//! The connector of the client, with types of this crate.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ::hyper::rt::{Read, ReadBufCursor, Write};
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::{Layer as _, Service};

use super::TlsConfigError;
use super::provider::provider;
use crate::Resolver;
use crate::error::BoxError;
use crate::happy_eyeballs::{HappyEyeballs, HappyEyeballsFuture, HappyEyeballsLayer, TcpConnected};

type Https = HttpsConnector<TcpConnected<HttpConnector<Resolver>>>;

/// Connects to `http://` and `https://` URIs by a race; returned by [`connector`](super::connector()).
///
/// The connector is a `tower::Service<Uri>`. A failed connect is a [`ConnectError`](crate::ConnectError) in the cases
/// in which a [`HappyEyeballsLayer`] returns one.
#[derive(Clone)]
pub struct Connector {
    inner: HappyEyeballs<Https>,
}

impl Connector {
    pub(super) fn new(race: &HappyEyeballsLayer) -> Result<Self, TlsConfigError> {
        let resolver = race.resolver();
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_platform_verifier(provider()?)
            .map_err(|error| TlsConfigError::no_certificates(error.into()))?
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(resolver.tcp_connected_layer().layer(tcp(resolver)));
        let inner = race.layer(https);
        Ok(Self { inner })
    }
}

/// Returns a TCP connector with the default settings of reqwest 0.13.
fn tcp(resolver: &Resolver) -> HttpConnector<Resolver> {
    let mut http = HttpConnector::new_with_resolver(resolver.clone());
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(Some(Duration::from_secs(15)));
    http.set_keepalive_interval(Some(Duration::from_secs(15)));
    http.set_keepalive_retries(Some(3));
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    http.set_tcp_user_timeout(Some(Duration::from_secs(30)));
    http
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = ConnectFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        ConnectFuture {
            inner: self.inner.call(uri),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// The future of a [`Connector`].
#[must_use = "futures do nothing unless polled"]
pub struct ConnectFuture {
    inner: HappyEyeballsFuture<Https, Uri>,
}

impl Future for ConnectFuture {
    type Output = Result<Stream, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = Pin::new(&mut self.inner).poll(cx);
        inner.map_ok(|inner| Stream { inner })
    }
}

impl fmt::Debug for ConnectFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectFuture").finish_non_exhaustive()
    }
}

/// A connection that a [`Connector`] has made, with or without TLS.
pub struct Stream {
    inner: MaybeHttpsStream<TokioIo<TcpStream>>,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn sockets_are_set_as_the_table_says() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/", listener.local_addr().unwrap());
        let mut connector = Connector::new(&Resolver::new().happy_eyeballs_layer()).unwrap();
        let stream = connector.call(uri.parse().unwrap()).await.unwrap();
        let MaybeHttpsStream::Http(stream) = stream.inner else {
            panic!("there is no TLS");
        };
        let socket = socket2::SockRef::from(stream.inner());
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        {
            let (quarter, half) = (Duration::from_secs(15), Duration::from_secs(30));
            assert_eq!(socket.tcp_keepalive_time().unwrap(), quarter);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), quarter);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(half));
        }
    }
}
