//! The race over real sockets, in hyper-util's stock client: OkHttp's `FastFallbackTest` and
//! `RouteFailureTest`, and what a dead edge costs.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use hyper_util::rt::TokioIo;
use sidestep::{AddressState, ConnectError, Outcome};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::clients::{Client, EVERY, Kind, OVER_TLS, http};
use crate::common::{DialLog, HOST, Mode, RecordType, Seen, World, while_pending};
use crate::stage::v4;

pub(crate) fn accepted(world: &World) -> Vec<usize> {
    let ips = world.ips();
    ips.iter().map(|&ip| world.edges.accepted(ip)).collect()
}

/// OkHttp `failsWhenBothServersAreDown`, `http2OneBadHostRetryOnConnectionFailure`.
#[tokio::test]
async fn where_all_are_dead_the_error_tells_of_each() {
    for kind in EVERY {
        let world = kind.world(3).await;
        for ip in world.ips() {
            world.edges.set(ip, Mode::Refuse).await;
        }
        let error = kind.client(&world).get(&world.url()).await.unwrap_err();
        let connect = ConnectError::find(&*error).expect("it is behind hyper's own");
        assert_eq!(connect.host(), HOST);
        let told: Vec<_> = connect
            .attempts()
            .iter()
            .map(|it| (it.addr, it.outcome))
            .collect();
        let each = world
            .ips()
            .into_iter()
            .map(|ip| (ip, Some(Outcome::Refused)));
        assert_eq!(told, each.collect::<Vec<_>>(), "{kind:?}");
        assert!(!connect.is_given_up());
    }
}

/// What an edge does, under which kinds, and what is learned of it.
const DEATHS: [(Mode, &[Kind], Outcome); 6] = [
    (Mode::Refuse, &EVERY, Outcome::Refused),
    (Mode::BlackHole, &EVERY, Outcome::Slow),
    (Mode::TlsReset, &OVER_TLS, Outcome::TlsFailed),
    (Mode::AcceptAndClose, &OVER_TLS, Outcome::TlsFailed),
    (Mode::WrongCertificate, &OVER_TLS, Outcome::BadCertificate),
    (Mode::Hang, &OVER_TLS, Outcome::Slow),
];

/// OkHttp `http2OneBadHostOneGoodRetryOnConnectionFailure` and its three sisters: in the same call,
/// and the dead one is met once.
#[tokio::test]
async fn however_one_edge_dies_no_request_fails() {
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
        let answer = client.gets(&world, &case).await;
        assert!(answer.contains("127.0.0.3"), "{case}: {answer}");
    }
    assert!(world.edges.accepted(dead) <= 1, "{case}");
    assert_eq!(world.journal.failures(), [(dead, outcome)], "{case}");
    assert_eq!(world.journal.count(|seen| *seen == Seen::ContextLost), 0);
}

/// Three of four die, each in another way: one request walks past them.
#[tokio::test]
async fn one_request_walks_past_three_that_are_broken() {
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
        let answer = kind.client(&world).gets(&world, "walk").await;
        assert!(answer.contains("127.0.0.5"), "{kind:?}: {answer}");
        let failed: Vec<_> = world.journal.failures();
        let expected = [
            (ips[0], Outcome::TlsFailed),
            (ips[1], Outcome::BadCertificate),
            (ips[2], Outcome::Refused),
        ];
        assert_eq!(failed, expected, "{kind:?}");
    }
}

/// A wrong certificate everywhere: two are met, and that is all.
#[tokio::test]
async fn a_wrong_certificate_everywhere_is_met_twice() {
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

/// HTTP/2 is settled by the handshake of the one that won.
#[tokio::test]
async fn alpn_settles_on_what_the_winner_speaks() {
    for kind in EVERY {
        let world = kind.world(2).await;
        world.edges.set(world.ips()[0], Mode::BlackHole).await;
        let (version, _) = kind.client(&world).ask(&world.url()).await.unwrap();
        assert_eq!(version, kind.version(), "{kind:?}");
    }
}

/// OkHttp `proxyMoveTest`; gRPC `ResolverUpdates_DisjointLists`: old edges that refuse, or that are
/// gone without a word, and the name has moved.
#[tokio::test]
async fn a_name_that_has_moved_is_found_in_the_same_request() {
    let ways = EVERY.map(|kind| [Mode::Refuse, Mode::BlackHole].map(|mode| (kind, mode)));
    for (kind, mode) in ways.into_iter().flatten() {
        let case = format!("{mode:?} {kind:?}");
        let world = kind.world(4).await;
        let (client, ips) = (kind.client(&world), world.ips());
        world.dns.set(HOST, &ips[..2], 1800);
        client.gets(&world, &case).await;
        world.dns.set(HOST, &ips[2..], 1800);
        for &ip in &ips[..2] {
            world.edges.set(ip, mode).await;
        }
        let answer = client.gets(&world, &case).await;
        assert!(answer.contains("127.0.0.4"), "{case}: {answer}");
        assert_eq!(world.queries(), 2, "{case}");
    }
}

/// OkHttp `singleRoute`, `singleRouteReturnsFailedRoute`; behaviour F9.
#[tokio::test]
async fn a_single_address_is_dialled_at_once_dead_or_back() {
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
        client.gets(&world, "it is back").await;
        assert_eq!(world.standing(only), AddressState::Healthy, "{kind:?}");
        assert_eq!(
            world.journal.count(|seen| *seen == Seen::Recovered(only)),
            1
        );
    }
}

/// A local address that is not this machine's: no other edge would fare better.
#[tokio::test]
async fn a_fault_of_this_machine_blames_nobody() {
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

/// Bun's holes, end to end: refused, and the next lookup asks again.
#[tokio::test]
async fn a_refusal_has_the_host_asked_for_again() {
    for kind in EVERY {
        let world = kind.world(2).await;
        let client = kind.client(&world);
        world.edges.set(world.ips()[0], Mode::Refuse).await;
        client.gets(&world, "one refuses").await;
        client.gets(&world, "it is asked again").await;
        world.dns.asked(HOST, RecordType::A, 2).await;
        assert_eq!(world.resolver.snapshot().invalidations, 1, "{kind:?}");
    }
}

/// What is dropped in the middle leaves no connection behind: the edges accept nobody later.
#[tokio::test]
async fn a_request_that_is_dropped_leaves_no_dial_behind() {
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
        assert_eq!(world.journal.failures(), [], "it says nothing yet");
        for _ in 0..20 {
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        let after = log.to_port(world.edges.port()).len();
        assert_eq!(after, before, "{kind:?}: no address is dialled later");
    }
}

/// As tonic does: the connector alone, one HTTP/2 connection, many calls on it.
#[tokio::test]
async fn a_raced_connection_carries_many_http2_calls() {
    let kind = Kind::AlpnTold;
    let world = kind.world(3).await;
    world.edges.set(world.ips()[0], Mode::TlsReset).await;
    world.edges.set(world.ips()[1], Mode::BlackHole).await;
    let stream = kind.connector(&world).oneshot(world.url().parse().unwrap());
    let stream = while_pending(stream).await.unwrap();
    let http2 = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    let (sender, connection) = http2.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let calls = (0..100).map(|_| {
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
    let all = join_all(calls).await;
    assert!(all.iter().all(hyper::StatusCode::is_success));
    assert_eq!(accepted(&world)[2], 1, "on one connection");
}

/// A black hole, end to end: the first request waits one delay, and the second does not dial it.
#[tokio::test]
async fn a_black_hole_is_dialled_by_the_first_request_alone() {
    let log = DialLog::start();
    for kind in EVERY {
        let world = kind.world(2).await;
        let (client, ips) = (kind.client(&world), world.ips());
        // Edges of another test may have had this port before.
        let old = log.to_port(world.edges.port()).len();
        world.edges.set(ips[0], Mode::BlackHole).await;
        let begun = Instant::now();
        client.gets(&world, "the first").await;
        let first = Instant::now() - begun;
        assert!(first >= Duration::from_millis(250), "{kind:?}: {first:?}");
        assert!(first < Duration::from_millis(300), "{kind:?}: {first:?}");
        for _ in 0..3 {
            client.gets(&world, "the second").await;
        }
        let dialled = log.to_port(world.edges.port()).into_iter().skip(old);
        let dialled: Vec<IpAddr> = dialled.map(|dial| dial.addr).collect();
        assert_eq!(dialled[..2], ips, "{kind:?}");
        assert!(!dialled[1..].contains(&ips[0]), "{kind:?}: {dialled:?}");
    }
}

/// A socket of the race is one of the user's connector: its options hold for every attempt.
#[tokio::test]
async fn the_connectors_own_options_hold_for_every_attempt() {
    let world = Kind::Http.world(2).await;
    world.edges.set(world.ips()[0], Mode::Refuse).await;
    let mut http = http(&world.resolver);
    http.set_local_address(Some(v4(9)));
    http.set_nodelay(true);
    let stream = Kind::Http
        .around(&world, http)
        .oneshot(world.url().parse().unwrap());
    let hyper_rustls::MaybeHttpsStream::Http(stream) = stream.await.unwrap() else {
        panic!("it is in the clear");
    };
    let stream: TokioIo<TcpStream> = stream;
    assert_eq!(stream.inner().local_addr().unwrap().ip(), v4(9));
    assert_eq!(stream.inner().peer_addr().unwrap().ip(), world.ips()[1]);
    assert!(stream.inner().nodelay().unwrap());
}
