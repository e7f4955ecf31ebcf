//! Servers that edges host: proxies, and one that redirects.

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

use crate::common::{Guest, Stream};

type Answer = Response<Full<Bytes>>;

/// An HTTP/2 server that takes one request at a time. The edge at `silent` answers the first request only, and tells when
/// it has the second.
pub(crate) fn one_at_a_time(silent: IpAddr) -> (Guest, Arc<Notify>) {
    let has_second = Arc::new(Notify::new());
    let tell = Arc::clone(&has_second);
    let guest = Guest::knowing_where(move |ip, stream| {
        let tell = Arc::clone(&tell);
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
                    tell.notify_one();
                } else {
                    respond.send_response(Response::new(()), true).unwrap();
                }
            }
        }
    });
    (guest, has_second)
}

/// What was asked of a proxy: the targets, as the client spelled them.
#[derive(Clone, Default)]
pub(crate) struct Asked(Arc<watch::Sender<Vec<String>>>);

impl Asked {
    fn note(&self, target: impl ToString) {
        self.0.send_modify(|all| all.push(target.to_string()));
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

/// An HTTP proxy whose tunnels all lead to `origin`, whatever the target is called; a request that
/// is to be forwarded it answers itself.
pub(crate) fn http_proxy(origin: SocketAddr) -> (Guest, Asked) {
    let asked = Asked::default();
    let log = asked.clone();
    let guest = Guest::new(move |stream| {
        let log = log.clone();
        serve(stream, move |request| {
            log.note(request.uri());
            proxied(request, origin)
        })
    });
    (guest, asked)
}

async fn proxied(request: Request<Incoming>, origin: SocketAddr) -> Answer {
    if request.method() != Method::CONNECT {
        return Answer::new("forwarded".into());
    }
    match TcpStream::connect(origin).await {
        Ok(origin) => {
            tokio::spawn(tunnel(request, origin));
            Answer::default()
        }
        Err(_) => status(StatusCode::BAD_GATEWAY),
    }
}

async fn tunnel(request: Request<Incoming>, mut origin: TcpStream) {
    if let Ok(client) = hyper::upgrade::on(request).await {
        // Either end may cut the tunnel; the other one is cut with it.
        let _ = copy_bidirectional(&mut TokioIo::new(client), &mut origin).await;
    }
}

/// A SOCKS5 proxy that leads to `origin`, whatever the target is called.
pub(crate) fn socks_proxy(origin: SocketAddr) -> (Guest, Asked) {
    let asked = Asked::default();
    let log = asked.clone();
    let guest = Guest::new(move |stream| {
        let log = log.clone();
        async move {
            // A client that goes away in the middle is no matter of the proxy's.
            let _ = socks(stream, origin, &log).await;
        }
    });
    (guest, asked)
}

async fn socks(
    stream: Box<dyn Stream>,
    origin: SocketAddr,
    asked: &Asked,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let greeted = Socks5ServerProtocol::accept_no_auth(stream).await?;
    let (socks, command, target) = greeted.read_command().await?;
    assert_eq!(command, Socks5Command::TCPConnect);
    asked.note(match &target {
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

/// Sends everyone to `location`.
pub(crate) fn redirect_to(location: String) -> Guest {
    Guest::new(move |stream| {
        let location = location.clone();
        serve(stream, move |_| {
            let mut answer = status(StatusCode::TEMPORARY_REDIRECT);
            let location = location.parse().expect("it is a URL");
            answer.headers_mut().insert(header::LOCATION, location);
            std::future::ready(answer)
        })
    })
}

/// Answers the first request on each connection, and closes it at the second.
pub(crate) fn closes_at_the_second() -> Guest {
    Guest::new(|stream| async move {
        let asked = AtomicBool::new(false);
        let service = service_fn(|_: Request<Incoming>| {
            let is_second = asked.swap(true, Ordering::Relaxed);
            async move {
                match is_second {
                    false => Ok(Answer::new("the first".into())),
                    true => Err("the second"),
                }
            }
        });
        let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // It ends with the error that closes it.
        let _ = http.await;
    })
}

fn status(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}

async fn serve<F>(stream: Box<dyn Stream>, answer: impl Fn(Request<Incoming>) -> F)
where
    F: Future<Output = Answer> + Send,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A client that goes away in the middle is no matter of the server's.
    let _ = http.with_upgrades().await;
}
