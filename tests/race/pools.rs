//! A race under hyper-util's pool: connections that are kept, that die, and that come free while a
//! race runs. OkHttp's pooled plans; gRPC's `StopConnectedServer_*` and `Reconnection`.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::Request;
use hyper::body::Frame;
use hyper_util::client::legacy::Client as Legacy;
use hyper_util::rt::TokioExecutor;
use sidestep::Outcome;
use tokio::sync::oneshot;

use crate::clients::{EVERY, Kind};
use crate::common::{HOST, Mode, RecordType, Seen};

/// OkHttp `takeConnectedConnection`, `preferCallConnectionOverDeferredConnection`: the winner is kept,
/// and a loser is nowhere.
#[tokio::test]
async fn the_connection_that_won_is_kept_and_nobody_is_dialled() {
    for kind in EVERY {
        let world = kind.world(2).await;
        let (client, ips) = (kind.keeping(&world), world.ips());
        world.edges.set(ips[0], Mode::BlackHole).await;
        for _ in 0..5 {
            let answer = client.gets(&world, "kept").await;
            assert!(answer.contains("127.0.0.3"), "{kind:?}: {answer}");
        }
        assert_eq!(world.edges.accepted(ips[1]), 1, "{kind:?}");
        assert_eq!(
            world.queries(),
            1,
            "{kind:?}: who does not dial does not ask"
        );
    }
}

/// OkHttp `secondPlanAlreadyConnected`, `thirdPlanAlreadyConnected`: a kept connection comes free in
/// the middle of a race and serves. hyper-util lets the race go on behind it, and it is learned from.
#[tokio::test]
async fn a_connection_that_comes_free_while_a_race_runs_serves() {
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
    let learned = world
        .journal
        .saw(|seen| *seen == Seen::Failed(ips[1], Outcome::Refused));
    learned.await;
}

/// gRPC `StopConnectedServer_*`, `Reconnection`; OkHttp `proxyMoveTest`, clean and unclean close: what
/// is connected dies, the next request is served elsewhere; then that one dies and the first is back.
#[tokio::test]
async fn when_what_is_connected_dies_the_next_request_goes_to_who_is_there() {
    let ways = EVERY.map(|kind| [Mode::Refuse, Mode::BlackHole].map(|mode| (kind, mode)));
    for (kind, mode) in ways.into_iter().flatten() {
        let case = format!("{mode:?} {kind:?}");
        let world = kind.world(2).await;
        let (client, ips) = (kind.keeping(&world), world.ips());
        let answer = client.gets(&world, &case).await;
        assert!(answer.starts_with("edge 127.0.0.2 "), "{case}: {answer}");
        for (dies, lives) in [(0, 1), (1, 0), (0, 1)] {
            world.edges.set(ips[lives], Mode::Serve).await;
            world.edges.set(ips[dies], mode).await;
            let answer = client.gets(&world, &case).await;
            let live = format!("edge {} ", ips[lives]);
            assert!(answer.starts_with(&live), "{case}: {answer}");
        }
    }
}

/// gRPC `StopConnectedServer_SecondServerRestart`: it is down and back before anybody noticed.
#[tokio::test]
async fn one_that_restarts_is_connected_to_again() {
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

/// gRPC `ResolverError_WithPreviousUpdate_Ready`: while DNS says nothing good a kept connection serves.
#[tokio::test]
async fn a_kept_connection_serves_whatever_dns_says() {
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
