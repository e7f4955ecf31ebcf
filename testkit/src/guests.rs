//! Servers that run on edges: proxies, servers that redirect, and servers that close.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use fast_socks5::server::Socks5ServerProtocol;
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{ReplyError, Socks5Command};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use crate::{Guest, Stream};

type HttpResponse = Response<Full<Bytes>>;

/// An HTTP/2 server that accepts one request at a time. The edge at `silent` answers only the first request, and
/// notifies the test when it has the second.
pub fn one_at_a_time(silent: IpAddr) -> (Guest, Arc<Notify>) {
    let has_second = Arc::new(Notify::new());
    let notify = Arc::clone(&has_second);
    let guest = Guest::knowing_where(move |ip, stream| {
        let notify = Arc::clone(&notify);
        async move {
            let mut http2 = h2::server::Builder::new();
            let http2 = http2.max_concurrent_streams(1).handshake(stream);
            let handshaken: Result<h2::server::Connection<_, Bytes>, _> = http2.await;
            // A client makes several connections at once, and keeps one.
            let Ok(mut http2) = handshaken else { return };
            let mut held = Vec::new();
            let mut requests = 0;
            while let Some(Ok((_, mut respond))) = http2.accept().await {
                requests += 1;
                if ip == silent && requests > 1 {
                    held.push(respond);
                    notify.notify_one();
                } else {
                    respond.send_response(Response::new(()), true).unwrap();
                }
            }
        }
    });
    (guest, has_second)
}

/// The targets that clients have requested of a proxy, as they spelled them.
#[derive(Clone, Default)]
pub struct Asked(Arc<watch::Sender<Vec<String>>>);

impl Asked {
    fn record(&self, target: impl ToString) {
        self.0.send_modify(|all| all.push(target.to_string()));
    }

    pub fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

/// An HTTP proxy whose tunnels all lead to `origin`, whatever their target. The proxy answers forwarded requests
/// without the origin.
pub fn http_proxy(origin: SocketAddr) -> (Guest, Asked) {
    let targets = Asked::default();
    let log = targets.clone();
    let guest = Guest::new(move |stream| {
        let log = log.clone();
        serve(stream, move |request| {
            log.record(request.uri());
            proxied(request, origin)
        })
    });
    (guest, targets)
}

async fn proxied(request: Request<Incoming>, origin: SocketAddr) -> HttpResponse {
    if request.method() != Method::CONNECT {
        return HttpResponse::new("forwarded".into());
    }
    match TcpStream::connect(origin).await {
        Ok(origin) => {
            tokio::spawn(tunnel(request, origin));
            HttpResponse::default()
        }
        Err(_) => status(StatusCode::BAD_GATEWAY),
    }
}

async fn tunnel(request: Request<Incoming>, mut origin: TcpStream) {
    if let Ok(client) = hyper::upgrade::on(request).await {
        // If one end closes the tunnel, the other end is closed, too.
        let _ = copy_bidirectional(&mut TokioIo::new(client), &mut origin).await;
    }
}

/// A SOCKS5 proxy that leads to `origin`, whatever the target.
pub fn socks_proxy(origin: SocketAddr) -> (Guest, Asked) {
    let targets = Asked::default();
    let log = targets.clone();
    let guest = Guest::new(move |stream| {
        let log = log.clone();
        async move {
            // A client may leave at any time, so an error is ignored.
            let _ = socks(stream, origin, &log).await;
        }
    });
    (guest, targets)
}

async fn socks(
    stream: Box<dyn Stream>,
    origin: SocketAddr,
    targets: &Asked,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let greeted = Socks5ServerProtocol::accept_no_auth(stream).await?;
    let (socks, command, target) = greeted.read_command().await?;
    assert_eq!(command, Socks5Command::TCPConnect);
    targets.record(match &target {
        TargetAddr::Ip(addr) => addr.ip().to_string(),
        TargetAddr::Domain(name, _) => name.clone(),
    });
    let Ok(mut origin) = TcpStream::connect(origin).await else {
        return Ok(socks.reply_error(&ReplyError::ConnectionRefused).await?);
    };
    let mut client = socks.reply_success(origin.local_addr()?).await?;
    copy_bidirectional(&mut client, &mut origin).await?;
    Ok(())
}

/// Redirects every request to `location`.
pub fn redirect_to(location: String) -> Guest {
    Guest::new(move |stream| {
        let location = location.clone();
        serve(stream, move |_| {
            let mut response = status(StatusCode::TEMPORARY_REDIRECT);
            let location = location.parse().expect("the location is a header value");
            response.headers_mut().insert(header::LOCATION, location);
            std::future::ready(response)
        })
    })
}

/// Answers the first request on each connection, and closes the connection at the second.
pub fn closes_at_the_second() -> Guest {
    Guest::new(|stream| async move {
        let has_answered = AtomicBool::new(false);
        let service = service_fn(|_: Request<Incoming>| {
            let is_second = has_answered.swap(true, Ordering::Relaxed);
            async move {
                match is_second {
                    false => Ok(HttpResponse::new("the first".into())),
                    true => Err("the second"),
                }
            }
        });
        let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // The connection ends with the error that closes it.
        let _ = http.await;
    })
}

fn status(status: StatusCode) -> HttpResponse {
    let mut response = HttpResponse::default();
    *response.status_mut() = status;
    response
}

async fn serve<F>(stream: Box<dyn Stream>, respond: impl Fn(Request<Incoming>) -> F)
where
    F: Future<Output = HttpResponse> + Send,
{
    let service = service_fn(|request| {
        let response = respond(request);
        async { Ok::<_, Infallible>(response.await) }
    });
    let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A client may leave at any time, so an error is ignored.
    let _ = http.with_upgrades().await;
}
