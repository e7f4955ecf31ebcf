//! Tests which pooled connections of stock reqwest a `DrainLayer` drains because of health, DNS or age, over HTTP/1.1,
//! HTTP/2 in the clear with prior knowledge, and HTTP/2 by ALPN.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST as HOST_HEADER;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use sidestep::reqwest::{ClientBuilderExt as _, RotatingClient};
use sidestep::{AddressOrder, DrainLayer, DrainReason, Outcome, ResolverBuilder};
use testkit::{Edges, Guest, HOST, Scheme, Seen, World, within};
use tokio::sync::oneshot;
use tower::{Service as _, ServiceExt as _};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    Http1,
    Http2,
    Alpn,
}

const PROTOCOLS: [Protocol; 3] = [Protocol::Http1, Protocol::Http2, Protocol::Alpn];

impl Protocol {
    async fn world_with(self, set: impl FnOnce(ResolverBuilder) -> ResolverBuilder) -> World {
        let ips: [IpAddr; 2] = [[127, 0, 0, 2].into(), [127, 0, 0, 3].into()];
        let scheme = match self {
            Self::Http1 | Self::Http2 => Scheme::Http,
            Self::Alpn => Scheme::Https,
        };
        World::of(Edges::on(&ips, scheme).await, set).await
    }

    /// Creates a world of two edges. Connects go to the first one while both are healthy.
    async fn world(self) -> World {
        self.world_with(|builder| builder.address_order(AddressOrder::Preserve))
            .await
    }

    fn builder(self, edges: &Edges) -> reqwest::ClientBuilder {
        let mut tls = edges.client_config();
        if self == Self::Alpn {
            tls.alpn_protocols = vec![b"h2".to_vec()];
        }
        let builder = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(tls);
        match self {
            Self::Http2 => builder.http2_prior_knowledge(),
            Self::Http1 | Self::Alpn => builder,
        }
    }

    /// Returns a client, and the number of stock clients that it has made.
    fn client(self, world: &World, layer: &DrainLayer) -> (RotatingClient, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let (edges, resolver, count) = (world.edges.clone(), world.resolver.clone(), made.clone());
        let client = layer.reqwest(move || {
            count.fetch_add(1, Ordering::Relaxed);
            self.builder(&edges).sidestep(&resolver).build()
        });
        (client.unwrap(), made)
    }
}

async fn send(client: &RotatingClient, url: &str) -> reqwest::Result<String> {
    let request = client.request_builder(Method::GET, url).build()?;
    client.execute(request).await?.text().await
}

/// Sends a request and returns the edge that has responded.
async fn serving_edge(client: &RotatingClient, world: &World) -> IpAddr {
    let text = send(client, &world.url()).await.unwrap();
    let addr = text.split(' ').nth(1).and_then(|addr| addr.parse().ok());
    addr.unwrap_or_else(|| panic!("no edge sends {text:?}"))
}

/// Begins a request that is in flight until the test ends its body.
async fn begin(
    client: &RotatingClient,
    world: &World,
) -> (oneshot::Sender<()>, tokio::task::JoinHandle<String>) {
    let (end, ended) = oneshot::channel::<()>();
    let (taken, begun) = oneshot::channel::<()>();
    let chunk = async move {
        taken.send(()).unwrap();
        ended.await.map(|()| Bytes::from("in flight"))
    };
    let body = reqwest::Body::wrap_stream(futures_util::stream::once(chunk));
    let url = world.url() + "echo";
    let request = client
        .request_builder(Method::POST, url)
        .body(body)
        .build()
        .unwrap();
    let client = client.clone();
    let response = tokio::spawn(async move {
        let response = client.execute(request).await.unwrap();
        response.text().await.unwrap()
    });
    begun.await.unwrap();
    (end, response)
}

fn drained(world: &World) -> Vec<(IpAddr, DrainReason)> {
    let drained = |seen: Seen| match seen {
        Seen::Retired(addr, why) => Some((addr, why)),
        _ => None,
    };
    let seen = world.journal.seen();
    seen.into_iter().filter_map(drained).collect()
}

#[tokio::test]
async fn requests_leave_a_penalized_address_and_requests_in_flight_finish() {
    for protocol in PROTOCOLS {
        let world = protocol.world().await;
        let (client, made) = protocol.client(&world, &world.resolver.drain_layer());
        let ips = world.ips();
        let (end, in_flight) = begin(&client, &world).await;
        for _ in 0..3 {
            assert_eq!(serving_edge(&client, &world).await, ips[0], "{protocol:?}");
        }
        let before = world.edges.accepted(ips[0]);
        world.resolver.report(HOST, ips[0], Outcome::Refused);
        for _ in 0..3 {
            assert_eq!(serving_edge(&client, &world).await, ips[1], "{protocol:?}");
        }
        end.send(()).unwrap();
        assert_eq!(in_flight.await.unwrap(), "in flight", "{protocol:?}");
        assert_eq!(serving_edge(&client, &world).await, ips[1], "{protocol:?}");
        let accepted = ips.iter().map(|&ip| world.edges.accepted(ip));
        assert!(
            accepted.eq([before, 1]),
            "{protocol:?}: the connections are kept"
        );
        assert_eq!(drained(&world), [(ips[0], DrainReason::Penalized)]);
        assert_eq!(made.load(Ordering::Relaxed), 2, "{protocol:?}");
    }
}

#[tokio::test]
async fn requests_follow_dns_without_new_connects() {
    for protocol in PROTOCOLS {
        let short = Duration::from_millis(50);
        let world = protocol
            .world_with(|builder| builder.min_ttl(short).max_ttl(short))
            .await;
        let ips = world.ips();
        world.dns.set(HOST, &ips[..1], 1800);
        let layer = world.resolver.drain_layer().dns_grace_period(2 * short);
        let (client, _) = protocol.client(&world, &layer);
        assert_eq!(serving_edge(&client, &world).await, ips[0], "{protocol:?}");
        world.dns.set(HOST, &ips[1..], 1800);
        let sending = async {
            while serving_edge(&client, &world).await != ips[1] {
                testkit::sleep(Duration::from_millis(5)).await;
            }
        };
        within("a response of the other edge", sending).await;
        assert_eq!(drained(&world), [(ips[0], DrainReason::RemovedFromDns)]);
    }
}

#[tokio::test]
async fn while_all_addresses_have_a_penalty_connections_are_kept() {
    for protocol in PROTOCOLS {
        let world = protocol.world().await;
        let (client, made) = protocol.client(&world, &world.resolver.drain_layer());
        let ips = world.ips();
        assert_eq!(serving_edge(&client, &world).await, ips[0], "{protocol:?}");
        for &ip in &ips {
            world.resolver.report(HOST, ip, Outcome::Refused);
        }
        for _ in 0..3 {
            assert_eq!(serving_edge(&client, &world).await, ips[0], "{protocol:?}");
        }
        assert_eq!(
            (world.accepted(), drained(&world)),
            (1, vec![]),
            "{protocol:?}"
        );
        assert_eq!(made.load(Ordering::Relaxed), 1, "{protocol:?}");
    }
}

/// The connections of another host are kept.
#[tokio::test]
async fn only_the_host_whose_connection_is_drained_gets_a_new_client() {
    let world = Protocol::Http2.world().await;
    let ips = world.ips();
    world.dns.set("other.edge.test", &ips[..1], 1800);
    let other = world.edges.url("other.edge.test");
    let (mut client, made) = Protocol::Http2.client(&world, &world.resolver.drain_layer());
    assert_eq!(serving_edge(&client, &world).await, ips[0]);
    send(&client, &other).await.unwrap();
    world.resolver.report(HOST, ips[0], Outcome::Refused);
    assert_eq!(serving_edge(&client.clone(), &world).await, ips[1]);
    let request = client.request_builder(Method::GET, &other).build().unwrap();
    let response = client.ready().await.unwrap().call(request).await.unwrap();
    assert!(response.text().await.unwrap().contains("127.0.0.2"));
    assert_eq!(world.edges.accepted(ips[0]), 2);
    assert_eq!(
        made.load(Ordering::Relaxed),
        2,
        "a clone shares the clients"
    );
}

/// Returns a guest that redirects requests for `edge.test` to another host of the same edge.
fn redirecting() -> Guest {
    Guest::new(|stream| async {
        let service = service_fn(|request: Request<Incoming>| async move {
            let host = request.headers()[HOST_HEADER].to_str().unwrap().to_owned();
            let response = match host.strip_prefix("edge.test:") {
                Some(port) => Response::builder()
                    .status(302)
                    .header("location", format!("http://other.edge.test:{port}/")),
                None => Response::builder(),
            };
            response.body(String::new())
        });
        let http = auto::Builder::new(TokioExecutor::new());
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
    })
}

#[tokio::test]
async fn a_connection_that_a_redirect_leads_to_is_drained_too() {
    let edges = Edges::hosting(2, Scheme::Http, redirecting()).await;
    let world = World::of(edges, |builder| {
        builder.address_order(AddressOrder::Preserve)
    })
    .await;
    let ips = world.ips();
    world.dns.set("other.edge.test", &ips, 1800);
    let (client, _) = Protocol::Http1.client(&world, &world.resolver.drain_layer());
    for _ in 0..2 {
        send(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.accepted(), 2);
    let refused = Outcome::Refused;
    world.resolver.report("other.edge.test", ips[0], refused);
    for _ in 0..2 {
        send(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.edges.accepted(ips[1]), 1);
}

#[tokio::test]
async fn if_no_new_client_can_be_built_the_previous_client_serves() {
    let world = Protocol::Http1.world().await;
    let (edges, resolver, ips) = (world.edges.clone(), world.resolver.clone(), world.ips());
    let made = AtomicUsize::new(0);
    let layer = world.resolver.drain_layer();
    let client = layer.reqwest(move || {
        let builder = Protocol::Http1.builder(&edges).sidestep(&resolver);
        match made.fetch_add(1, Ordering::Relaxed) {
            0 => builder.build(),
            _ => builder.user_agent("\n").build(),
        }
    });
    let client = client.unwrap();
    assert_eq!(serving_edge(&client, &world).await, ips[0]);
    world.resolver.report(HOST, ips[0], Outcome::Refused);
    assert_eq!(serving_edge(&client, &world).await, ips[0]);
}

/// reqwest does not pass on the extensions of a request, so no connection of its pool can be captured. Therefore the
/// layer replaces whole clients. If this test fails, `Drain` can serve reqwest too.
#[tokio::test]
async fn no_connection_of_stock_reqwest_can_be_captured() {
    for protocol in PROTOCOLS {
        let world = protocol.world().await;
        let client = protocol.builder(&world.edges).sidestep(&world.resolver);
        let mut request = Request::get(world.url()).body("").unwrap();
        let captured = capture_connection(&mut request);
        let request = reqwest::Request::try_from(request).unwrap();
        let response = client.build().unwrap().execute(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(captured.connection_metadata().is_none(), "{protocol:?}");
    }
}
