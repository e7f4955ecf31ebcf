//! Races over real sockets in hyper-util's stock client, after OkHttp's `FastFallbackTest` and `RouteFailureTest`.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use hyper_util::rt::TokioIo;
use sidestep::{AddressState, ConnectError, Outcome};
use testkit::{DialLog, HOST, Mode, RecordType, Seen, World, while_pending};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::clients::{Client, EVERY, Kind, OVER_TLS, http};
use crate::stage::v4;

pub(crate) fn accepted(world: &World) -> Vec<usize> {
    let ips = world.ips();
    ips.iter().map(|&ip| world.edges.accepted(ip)).collect()
}

/// OkHttp tests the same in `failsWhenBothServersAreDown` and `http2OneBadHostRetryOnConnectionFailure`.
#[tokio::test]
async fn if_all_addresses_are_dead_the_error_lists_each() {
    for kind in EVERY {
        let world = kind.world(3).await;
        for ip in world.ips() {
            world.edges.set(ip, Mode::Refuse).await;
        }
        let error = kind.client(&world).get(&world.url()).await.unwrap_err();
        let connect =
            ConnectError::find(&*error).expect("the error has a `ConnectError` among its causes");
        assert_eq!(connect.host(), HOST);
        let results: Vec<_> = connect
            .attempts()
            .iter()
            .map(|attempt| (attempt.addr, attempt.outcome))
            .collect();
        let expected = world
            .ips()
            .into_iter()
            .map(|ip| (ip, Some(Outcome::Refused)));
        assert_eq!(results, expected.collect::<Vec<_>>(), "{kind:?}");
        assert!(!connect.is_given_up());
    }
}

/// What an edge does, the clients that notice, and the outcome that is recorded.
const DEATHS: [(Mode, &[Kind], Outcome); 6] = [
    (Mode::Refuse, &EVERY, Outcome::Refused),
    (Mode::BlackHole, &EVERY, Outcome::Slow),
    (Mode::TlsReset, &OVER_TLS, Outcome::TlsFailed),
    (Mode::AcceptAndClose, &OVER_TLS, Outcome::TlsFailed),
    (Mode::WrongCertificate, &OVER_TLS, Outcome::BadCertificate),
    (Mode::Hang, &OVER_TLS, Outcome::Slow),
];

/// The dead edge is attempted once, and the same request succeeds. OkHttp tests the same in
/// `http2OneBadHostOneGoodRetryOnConnectionFailure` and three similar tests.
#[tokio::test]
async fn if_one_edge_dies_no_request_fails() {
    for (mode, kinds, outcome) in DEATHS {
        for &kind in kinds {
            dies(mode, kind, outcome).await;
        }
    }
}

async fn dies(mode: Mode, kind: Kind, outcome: Outcome) {
    let case = format!("{mode:?} {kind:?}");
    let world = kind.world(3).await;
    let (client, dead) = (kind.client(&world), world.ips()[0]);
    world.edges.set(dead, mode).await;
    for _ in 0..5 {
        let body = client.gets(&world, &case).await;
        assert!(body.contains("127.0.0.3"), "{case}: {body}");
    }
    assert!(world.edges.accepted(dead) <= 1, "{case}");
    assert_eq!(world.journal.failures(), [(dead, outcome)], "{case}");
    assert_eq!(world.journal.count(|seen| *seen == Seen::ContextLost), 0);
}

/// Three of four edges die, each in another way.
#[tokio::test]
async fn one_request_succeeds_after_three_broken_addresses() {
    for kind in OVER_TLS {
        let world = kind.world(4).await;
        let ips = world.ips();
        for (ip, mode) in [
            (ips[0], Mode::TlsReset),
            (ips[1], Mode::WrongCertificate),
            (ips[2], Mode::Refuse),
        ] {
            world.edges.set(ip, mode).await;
        }
        let body = kind.client(&world).gets(&world, "three broken edges").await;
        assert!(body.contains("127.0.0.5"), "{kind:?}: {body}");
        let failed: Vec<_> = world.journal.failures();
        let expected = [
            (ips[0], Outcome::TlsFailed),
            (ips[1], Outcome::BadCertificate),
            (ips[2], Outcome::Refused),
        ];
        assert_eq!(failed, expected, "{kind:?}");
    }
}

/// The race ends after two wrong certificates.
#[tokio::test]
async fn if_every_certificate_is_wrong_two_addresses_are_attempted() {
    for kind in OVER_TLS {
        let world = kind.world(4).await;
        for ip in world.ips() {
            world.edges.set(ip, Mode::WrongCertificate).await;
        }
        let error = kind.client(&world).get(&world.url()).await.unwrap_err();
        assert_eq!(
            Outcome::from_error(&*error),
            Outcome::BadCertificate,
            "{error:?}"
        );
        assert_eq!(accepted(&world), [1, 1, 0, 0], "{kind:?}");
    }
}

/// The handshake of the winner selects HTTP/2.
#[tokio::test]
async fn alpn_selects_the_http_version_of_the_winner() {
    for kind in EVERY {
        let world = kind.world(2).await;
        world.edges.set(world.ips()[0], Mode::BlackHole).await;
        let (version, _) = kind.client(&world).ask(&world.url()).await.unwrap();
        assert_eq!(version, kind.version(), "{kind:?}");
    }
}

/// The host has moved, and the old edges refuse or swallow packets. OkHttp tests the same in `proxyMoveTest`, gRPC in
/// `ResolverUpdates_DisjointLists`.
#[tokio::test]
async fn a_host_that_has_moved_is_found_in_the_same_request() {
    let cases = EVERY.map(|kind| [Mode::Refuse, Mode::BlackHole].map(|mode| (kind, mode)));
    for (kind, mode) in cases.into_iter().flatten() {
        let case = format!("{mode:?} {kind:?}");
        let world = kind.world(4).await;
        let (client, ips) = (kind.client(&world), world.ips());
        world.dns.set(HOST, &ips[..2], 1800);
        client.gets(&world, &case).await;
        world.dns.set(HOST, &ips[2..], 1800);
        for &ip in &ips[..2] {
            world.edges.set(ip, mode).await;
        }
        let body = client.gets(&world, &case).await;
        assert!(body.contains("127.0.0.4"), "{case}: {body}");
        assert_eq!(world.queries(), 2, "{case}");
    }
}

/// OkHttp tests the same in `singleRoute` and `singleRouteReturnsFailedRoute` (F9).
#[tokio::test]
async fn a_single_address_is_attempted_at_once_whether_dead_or_back() {
    for kind in EVERY {
        let world = kind.world(1).await;
        let (client, only) = (kind.client(&world), world.ips()[0]);
        world.edges.set(only, Mode::Refuse).await;
        for _ in 0..3 {
            let error = client.get(&world.url()).await.unwrap_err();
            assert_eq!(Outcome::from_error(&*error), Outcome::Refused, "{kind:?}");
        }
        assert!(world.is_penalized(only));
        world.edges.set(only, Mode::Serve).await;
        client.gets(&world, "the edge is back").await;
        assert_eq!(world.standing(only), AddressState::Healthy, "{kind:?}");
        assert_eq!(
            world.journal.count(|seen| *seen == Seen::Recovered(only)),
            1
        );
    }
}

/// The connector binds a local address that this machine does not have, so no other edge would connect.
#[tokio::test]
async fn a_local_fault_penalizes_no_address() {
    for kind in EVERY {
        let world = kind.world(2).await;
        let mut http = http(&world.resolver);
        http.set_local_address(Some([192, 0, 2, 1].into()));
        let client = Client::new(kind.around(&world, http), 0);
        let error = client.get(&world.url()).await.unwrap_err();
        assert_eq!(
            Outcome::from_error(&*error),
            Outcome::LocalError,
            "{error:?}"
        );
        let snapshot = world.resolver.snapshot();
        assert_eq!(
            (world.journal.failures(), snapshot.invalidations),
            (vec![], 0)
        );
        assert_eq!((world.queries(), accepted(&world)), (1, vec![0, 0]));
    }
}

/// No other client tests this on every path.
#[tokio::test]
async fn after_a_refused_connect_the_host_is_looked_up_again() {
    for kind in EVERY {
        let world = kind.world(2).await;
        let client = kind.client(&world);
        world.edges.set(world.ips()[0], Mode::Refuse).await;
        client.gets(&world, "one edge refuses").await;
        client.gets(&world, "the host is looked up again").await;
        world.dns.asked(HOST, RecordType::A, 2).await;
        assert_eq!(world.resolver.snapshot().invalidations, 1, "{kind:?}");
    }
}

/// The request is dropped while two attempts are pending.
#[tokio::test]
async fn a_dropped_request_starts_no_more_attempts() {
    let log = DialLog::start();
    for kind in OVER_TLS {
        let world = kind.world(3).await;
        for ip in world.ips() {
            world.edges.set(ip, Mode::Hang).await;
        }
        let connecting = kind.connector(&world).oneshot(world.url().parse().unwrap());
        let connecting = tokio::spawn(connecting);
        while_pending(world.edges.accepts(world.ips()[1], 1)).await;
        connecting.abort();
        assert!(connecting.await.unwrap_err().is_cancelled());
        let before = log.to_port(world.edges.port()).len();
        assert_eq!(
            world.journal.failures(),
            [],
            "a race that is dropped soon records nothing"
        );
        for _ in 0..20 {
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        let after = log.to_port(world.edges.port()).len();
        assert_eq!(after, before, "{kind:?}: no address is attempted later");
    }
}

/// As in tonic, the connector has no pool around it, and one HTTP/2 connection carries many requests.
#[tokio::test]
async fn a_raced_connection_carries_many_http2_requests() {
    let kind = Kind::AlpnTold;
    let world = kind.world(3).await;
    world.edges.set(world.ips()[0], Mode::TlsReset).await;
    world.edges.set(world.ips()[1], Mode::BlackHole).await;
    let stream = kind.connector(&world).oneshot(world.url().parse().unwrap());
    let stream = while_pending(stream).await.unwrap();
    let http2 = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    let (sender, connection) = http2.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let requests = (0..100).map(|_| {
        let (mut sender, url) = (sender.clone(), world.url());
        async move {
            let request = hyper::Request::get(url);
            let request = request.body(http_body_util::Empty::<bytes::Bytes>::new());
            sender
                .send_request(request.unwrap())
                .await
                .unwrap()
                .status()
        }
    });
    let all = join_all(requests).await;
    assert!(all.iter().all(hyper::StatusCode::is_success));
    assert_eq!(accepted(&world)[2], 1, "all requests use one connection");
}

/// Only the first request waits for one delay.
#[tokio::test]
async fn only_the_first_request_attempts_a_black_hole() {
    let log = DialLog::start();
    for kind in EVERY {
        let world = kind.world(2).await;
        let (client, ips) = (kind.client(&world), world.ips());
        // Edges of another test may have used this port before.
        let old = log.to_port(world.edges.port()).len();
        world.edges.set(ips[0], Mode::BlackHole).await;
        let begun = Instant::now();
        client.gets(&world, "the first request").await;
        let first = Instant::now() - begun;
        assert!(first >= Duration::from_millis(250), "{kind:?}: {first:?}");
        assert!(first < Duration::from_millis(300), "{kind:?}: {first:?}");
        for _ in 0..3 {
            client.gets(&world, "the next request").await;
        }
        let attempted = log.to_port(world.edges.port()).into_iter().skip(old);
        let attempted: Vec<IpAddr> = attempted.map(|attempt| attempt.addr).collect();
        assert_eq!(attempted[..2], ips, "{kind:?}");
        assert!(!attempted[1..].contains(&ips[0]), "{kind:?}: {attempted:?}");
    }
}

/// The user's connector makes every socket of the race.
#[tokio::test]
async fn the_options_of_the_connector_apply_to_every_attempt() {
    let world = Kind::Http.world(2).await;
    world.edges.set(world.ips()[0], Mode::Refuse).await;
    let mut http = http(&world.resolver);
    http.set_local_address(Some(v4(9)));
    http.set_nodelay(true);
    let stream = Kind::Http
        .around(&world, http)
        .oneshot(world.url().parse().unwrap());
    let hyper_rustls::MaybeHttpsStream::Http(stream) = stream.await.unwrap() else {
        panic!("the connection has no TLS");
    };
    let stream: TokioIo<TcpStream> = stream;
    assert_eq!(stream.inner().local_addr().unwrap().ip(), v4(9));
    assert_eq!(stream.inner().peer_addr().unwrap().ip(), world.ips()[1]);
    assert!(stream.inner().nodelay().unwrap());
}
