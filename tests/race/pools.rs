//! A race under hyper-util's pool, with connections that are pooled, that die, and that become idle during a race.
//! After OkHttp's pooled plans, and gRPC's `StopConnectedServer_*` and `Reconnection`.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::Request;
use hyper::body::Frame;
use hyper_util::client::legacy::Client as Legacy;
use hyper_util::rt::TokioExecutor;
use sidestep::Outcome;
use testkit::{HOST, Mode, RecordType, Seen};
use tokio::sync::oneshot;

use crate::clients::{EVERY, Kind};

/// The pool keeps the connection of the winner. OkHttp tests the same in `takeConnectedConnection` and
/// `preferCallConnectionOverDeferredConnection`.
#[tokio::test]
async fn the_connection_that_won_is_reused_without_a_new_connect() {
    for kind in EVERY {
        let world = kind.world(2).await;
        let (client, ips) = (kind.keeping(&world), world.ips());
        world.edges.set(ips[0], Mode::BlackHole).await;
        for _ in 0..5 {
            let body = client.gets(&world, "pooled").await;
            assert!(body.contains("127.0.0.3"), "{kind:?}: {body}");
        }
        assert_eq!(world.edges.accepted(ips[1]), 1, "{kind:?}");
        assert_eq!(
            world.queries(),
            1,
            "{kind:?}: a pooled connection needs no lookup"
        );
    }
}

/// hyper-util lets the race go on in the background, and its outcomes are recorded. OkHttp tests the same in
/// `secondPlanAlreadyConnected` and `thirdPlanAlreadyConnected`.
#[tokio::test]
async fn a_pooled_connection_that_becomes_idle_during_a_race_serves_the_request() {
    let kind = Kind::Http;
    let world = kind.world(3).await;
    let ips = world.ips();
    world.dns.set(HOST, &ips[..1], 1800);
    let client = Legacy::builder(TokioExecutor::new()).build(kind.connector(&world));
    let (end, ended) = oneshot::channel::<()>();
    let frame = async move { ended.await.map(|()| Frame::data(Bytes::from("x"))) };
    let body = StreamBody::new(futures_util::stream::once(frame)).boxed();
    let busy = client.request(Request::post(world.url() + "echo").body(body).unwrap());
    let busy = tokio::spawn(busy);
    world.edges.accepts(ips[0], 1).await;
    world.edges.set(ips[1], Mode::Refuse).await;
    world.dns.set(HOST, &ips[1..], 1800);
    world.dns.hold();
    world.resolver.invalidate(HOST);
    let empty = Empty::new().map_err(|never| match never {}).boxed();
    let second = client.request(Request::get(world.url()).body(empty).unwrap());
    let second = tokio::spawn(second);
    world.dns.asked(HOST, RecordType::A, 2).await;
    end.send(()).unwrap();
    let first = busy.await.unwrap().unwrap().into_body().collect().await;
    assert_eq!(first.unwrap().to_bytes(), "x");
    let second = second.await.unwrap().unwrap().into_body().collect().await;
    let second = second.unwrap().to_bytes();
    assert!(second.starts_with(b"edge 127.0.0.2"), "{second:?}");
    world.dns.release();
    let recorded = world
        .journal
        .saw(|seen| *seen == Seen::Failed(ips[1], Outcome::Refused));
    recorded.await;
}

/// The connected edge dies, and the other edge serves the next request. Then that edge dies, and the first one is back.
/// gRPC tests the same in `StopConnectedServer_*` and `Reconnection`, OkHttp in `proxyMoveTest` with clean and unclean
/// closes.
#[tokio::test]
async fn after_a_pooled_connection_dies_the_next_request_uses_the_live_edge() {
    let cases = EVERY.map(|kind| [Mode::Refuse, Mode::BlackHole].map(|mode| (kind, mode)));
    for (kind, mode) in cases.into_iter().flatten() {
        let case = format!("{mode:?} {kind:?}");
        let world = kind.world(2).await;
        let (client, ips) = (kind.keeping(&world), world.ips());
        let body = client.gets(&world, &case).await;
        assert!(body.starts_with("edge 127.0.0.2 "), "{case}: {body}");
        for (dies, lives) in [(0, 1), (1, 0), (0, 1)] {
            world.edges.set(ips[lives], Mode::Serve).await;
            world.edges.set(ips[dies], mode).await;
            let body = client.gets(&world, &case).await;
            let live = format!("edge {} ", ips[lives]);
            assert!(body.starts_with(&live), "{case}: {body}");
        }
    }
}

/// The edge is down and back before the client notices. gRPC tests the same in
/// `StopConnectedServer_SecondServerRestart`.
#[tokio::test]
async fn after_an_edge_restarts_the_next_request_connects_to_it_again() {
    for kind in EVERY {
        let world = kind.world(1).await;
        let (client, only) = (kind.keeping(&world), world.ips()[0]);
        client.gets(&world, "before").await;
        world.edges.set(only, Mode::Refuse).await;
        world.edges.set(only, Mode::Serve).await;
        client.gets(&world, "after").await;
        assert_eq!(world.edges.accepted(only), 2, "{kind:?}");
        assert!(!world.is_penalized(only));
    }
}

/// gRPC tests the same in `ResolverError_WithPreviousUpdate_Ready`.
#[tokio::test]
async fn a_pooled_connection_serves_while_dns_has_no_address() {
    for kind in EVERY {
        let world = kind.world(1).await;
        let client = kind.keeping(&world);
        client.gets(&world, "before").await;
        world.dns.remove(HOST);
        world.resolver.invalidate(HOST);
        client.gets(&world, "after").await;
        assert_eq!(world.accepted(), 1, "{kind:?}");
    }
}
