//! gRPC servers, each of which responds to health checks and sends its address.

use std::convert::Infallible;
use std::net::IpAddr;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use testkit::{Edges, Guest, Scheme};
use tower::ServiceExt as _;

/// The header with the address of the server.
pub(crate) const EDGE: &str = "x-edge";

/// Starts a server at each address, on one port.
pub(crate) async fn start(ips: &[IpAddr]) -> Edges {
    let (_, health) = tonic_health::server::health_reporter();
    let guest = Guest::knowing_where(move |ip, stream| {
        let name = HeaderValue::from_str(&ip.to_string()).expect("an address is plain text");
        let health = health.clone();
        let named = service_fn(move |request: Request<Incoming>| {
            let (health, name) = (health.clone(), name.clone());
            async move {
                let mut response = health.oneshot(request).await?;
                response.headers_mut().insert(EDGE, name);
                Ok::<_, Infallible>(response)
            }
        });
        let serving =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), named);
        async move {
            // The connection ends with the client, or when the edge dies.
            let _: hyper::Result<()> = serving.await;
        }
    });
    Edges::hosting_on(ips, Scheme::Http, guest).await
}
