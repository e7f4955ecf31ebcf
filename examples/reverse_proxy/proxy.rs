//! The proxy, which serves with axum and sends with the client of `sidestep::hyper`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header, request, uri};
use axum::response::{IntoResponse as _, Response};
use hyper_util::client::legacy::{Client, Error};
use sidestep::hyper::{Connector, TlsConfigError};
use sidestep::{ConnectError, PassiveHealth, Resolver};
use tower::{Layer as _, ServiceExt as _};

use crate::patience;

/// Forwards each request to one upstream.
pub(crate) struct Proxy {
    client: PassiveHealth<Client<Connector, Body>>,
    upstream: uri::Parts,
    again: AtomicUsize,
}

impl Proxy {
    pub(crate) fn new(resolver: &Resolver, upstream: Uri) -> Result<Arc<Self>, TlsConfigError> {
        let client = sidestep::hyper::client_with(resolver)?;
        Ok(Arc::new(Self {
            // This layer detects upstreams that accept connections and do not respond.
            client: resolver.passive_health_layer().layer(client),
            upstream: upstream.into_parts(),
            again: AtomicUsize::new(0),
        }))
    }

    /// Serve this router with `into_make_service_with_connect_info::<SocketAddr>()`.
    pub(crate) fn router(self: Arc<Self>) -> Router {
        Router::new().fallback(forward).with_state(self)
    }

    /// Returns the number of requests that were sent again.
    pub(crate) fn sent_again(&self) -> usize {
        self.again.load(Ordering::Relaxed)
    }

    /// Sends a request, and sends the request again after a failure if the method is safe and the request has no
    /// body. The client itself handles failed connects, so mostly the connection died during the request.
    async fn send(&self, head: request::Parts, body: Body) -> Result<Response, Error> {
        let is_repeatable = head.method.is_safe() && body.is_end_stream();
        let mut body = Some(body);
        let mut again = 0;
        loop {
            let body = body.take().unwrap_or_default();
            let request = Request::from_parts(head.clone(), body);
            let result = self.client.clone().oneshot(request).await;
            if result.is_ok() || !is_repeatable || again == patience::MOST {
                return Ok(result?.map(Body::new));
            }
            patience::pause(again).await;
            again += 1;
            self.again.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Changes a request to the proxy into a request to the upstream.
    fn aim(&self, head: &mut request::Parts, from: SocketAddr) {
        let mut to = uri::Parts::default();
        to.scheme = self.upstream.scheme.clone();
        to.authority = self.upstream.authority.clone();
        to.path_and_query = head.uri.path_and_query().cloned();
        // CONNECT and OPTIONS * have no path.
        to.path_and_query
            .get_or_insert_with(|| uri::PathAndQuery::from_static("/"));
        head.uri = Uri::from_parts(to).expect("scheme, authority and path make a URI");
        head.version = Version::HTTP_11;
        drop_hop_by_hop(&mut head.headers);
        // The client writes the host of the upstream.
        if let Some(host) = head.headers.remove(header::HOST) {
            head.headers.insert("x-forwarded-host", host);
        }
        let from = HeaderValue::from_str(&from.ip().to_string()).expect("an address is plain text");
        head.headers.append("x-forwarded-for", from);
    }
}

async fn forward(
    State(proxy): State<Arc<Proxy>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    if request.method() == Method::CONNECT {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let (mut head, body) = request.into_parts();
    proxy.aim(&mut head, from);
    match proxy.send(head, body).await {
        Ok(mut response) => {
            drop_hop_by_hop(response.headers_mut());
            response
        }
        Err(error) => bad_gateway(&error),
    }
}

/// Returns a response that names every attempted address, for the operator of the proxy. Strangers should get less.
fn bad_gateway(error: &Error) -> Response {
    let why = match ConnectError::find(error) {
        Some(connect) => connect.to_string(),
        None => format!("{error}: {:?}", std::error::Error::source(error)),
    };
    (StatusCode::BAD_GATEWAY, why).into_response()
}

/// Removes the headers that are for one connection, and those that `Connection` names (RFC 9110, section 7.6.1).
fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<_> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|names| names.to_str().ok())
        .flat_map(|names| names.split(','))
        .map(|name| name.trim().to_owned())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    ] {
        headers.remove(name);
    }
}
