//! Edges die; stock reqwest with `.sidestep()` does not notice.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::net::IpAddr;
use std::time::Duration;

use common::{Edges, Fault, HOST, Mode, RecordType, Seen, World, get, while_pending};
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressState, Outcome};
use tokio::time::Instant;
use tower::BoxError;
use tower::util::AndThenLayer;

/// The dead address goes behind the others at the first failure, which no caller sees.
#[tokio::test]
async fn one_of_two_edges_refuses() {
    let world = World::http(2).await;
    let client = world.client();
    get(&client, &world.url()).await.unwrap();
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::Refuse).await;
    world
        .get_until(&client, |world| world.is_penalized(dead))
        .await;
    for _ in 0..20 {
        assert!(
            get(&client, &world.url())
                .await
                .unwrap()
                .contains("127.0.0.3")
        );
    }
    assert_eq!(
        world.journal.failures(),
        [(dead, Outcome::Failed)],
        "it was dialled once"
    );
}

/// A black hole costs one caller the 300 ms of hyper-util's race and not minutes.
#[tokio::test]
async fn one_of_two_edges_is_black_holed() {
    let world = World::http(2).await;
    let client = world.client();
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::BlackHole).await;
    let requests = world.get_until(&client, |world| {
        world.standing(dead) != AddressState::Healthy
    });
    requests.await;
    assert_eq!(world.journal.failures(), [(dead, Outcome::Slow)]);
}

/// TCP is up and TLS fails: the request is sent again, to another edge.
#[tokio::test]
async fn one_of_two_edges_resets_in_tls() {
    let world = World::https(2).await;
    let client = world.client();
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::TlsReset).await;
    world
        .get_until(&client, |world| world.is_penalized(dead))
        .await;
    assert_eq!(world.journal.failures(), [(dead, Outcome::TlsFailed)]);
}

#[tokio::test]
async fn one_of_two_edges_shows_a_wrong_certificate() {
    let world = World::https(2).await;
    let client = world.client();
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::WrongCertificate).await;
    world
        .get_until(&client, |world| world.is_penalized(dead))
        .await;
    assert_eq!(world.journal.failures(), [(dead, Outcome::BadCertificate)]);
}

/// A wrong certificate is tried at two other addresses and never in a loop.
#[tokio::test]
async fn when_all_certificates_are_wrong_three_edges_are_tried() {
    let world = World::https(4).await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::WrongCertificate).await;
    }
    let error = get(&world.client(), &world.url()).await.unwrap_err();
    assert!(error.is_connect());
    assert_eq!(world.accepted(), 3);
}

/// Three of four edges fail in TLS at once; one request walks past them all.
#[tokio::test]
async fn one_request_walks_past_three_broken_edges() {
    let world = World::https(4).await;
    for ip in world.ips().into_iter().take(3) {
        world.edges.set(ip, Mode::TlsReset).await;
    }
    let client = world.client();
    for _ in 0..10 {
        assert!(
            get(&client, &world.url())
                .await
                .unwrap()
                .contains("127.0.0.5")
        );
    }
}

/// Soft: at the second strike the address is penalized; the healthy ones go first from the first.
#[tokio::test]
async fn one_of_two_edges_accepts_and_closes() {
    for mode in [Mode::AcceptAndClose, Mode::CloseAfterRequest] {
        let world = World::http(2).await;
        let client = world.client();
        let dead = world.ips()[0];
        world.edges.set(dead, mode).await;
        world
            .get_until(&client, |world| {
                world.standing(dead) != AddressState::Healthy
            })
            .await;
        for _ in 0..20 {
            get(&client, &world.url()).await.unwrap();
        }
        assert_eq!(
            world.journal.failures(),
            [(dead, Outcome::ClosedEarly)],
            "{mode:?}"
        );
    }
}

/// RFC 9110, section 9.2.2: idempotent methods are sent again once, others are not, and a retry
/// that fails is not retried.
#[tokio::test]
async fn after_an_early_close_a_request_is_sent_again_once_and_a_post_never() {
    let world = World::http(4).await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::CloseAfterRequest).await;
    }
    let client = world.client();
    client.get(world.url()).send().await.unwrap_err();
    assert_eq!(world.accepted(), 2);
    client
        .post(world.url())
        .body("once")
        .send()
        .await
        .unwrap_err();
    assert_eq!(world.accepted(), 3);
    client
        .put(world.url())
        .body("again")
        .send()
        .await
        .unwrap_err();
    assert_eq!(world.accepted(), 5);
}

/// No byte of it was sent, so a POST is safe to dial again too.
#[tokio::test]
async fn a_failed_connect_is_dialled_again_for_every_method() {
    let world = World::https(2).await;
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::TlsReset).await;
    let client = world.client();
    let url = world.url() + "echo";
    for _ in 0..200 {
        let answer = client.post(&url).body("hello").send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "hello");
        if world.is_penalized(dead) {
            return;
        }
    }
    panic!("the dead edge was never dialled");
}

/// DNS moved while half an hour of TTL was cached and the old edges are gone.
#[tokio::test]
async fn all_addresses_moved_in_dns() {
    let world = World::http(4).await;
    let client = world.client();
    let ips = world.ips();
    let (old, new) = ips.split_at(2);
    world.dns.set(HOST, old, 1800);
    get(&client, &world.url()).await.unwrap();
    world.dns.set(HOST, new, 1800);
    for &ip in old {
        world.edges.set(ip, Mode::Refuse).await;
    }
    for _ in 0..10 {
        get(&client, &world.url()).await.unwrap();
    }
    assert_eq!(
        world.queries(),
        2,
        "one lookup before, one because a connect failed"
    );
}

/// Makes the first edge fail until it is penalized, then serve again, and waits its penalty out.
async fn out_and_back(world: &World, client: &reqwest::Client, mode: Mode) -> IpAddr {
    let dead = world.ips()[0];
    world.edges.set(dead, mode).await;
    world
        .get_until(client, |world| world.is_penalized(dead))
        .await;
    let penalty = world.penalty_left(dead);
    world.edges.set(dead, Mode::Serve).await;
    common::sleep(penalty).await;
    dead
}

/// After its penalty a connect of our own finds that the edge is back, without a request.
#[tokio::test]
async fn an_edge_that_comes_back_is_found_by_a_probe() {
    let world = World::http(2).await;
    let client = world.client();
    let dead = out_and_back(&world, &client, Mode::Refuse).await;
    let served = world.edges.served(dead);
    get(&client, &world.url()).await.unwrap();
    assert_eq!(
        world.edges.served(dead),
        served,
        "this request went elsewhere"
    );
    world
        .journal
        .saw(|seen| *seen == Seen::Recovered(dead))
        .await;
    let count = |is: Seen| world.journal.count(|seen| *seen == is);
    assert_eq!((count(Seen::Probe(dead)), count(Seen::Trial(dead))), (1, 0));
    world
        .get_until(&client, |world| world.edges.served(dead) > served + 3)
        .await;
}

/// One that is still dead costs no request either: the probe fails, and its penalty doubles.
#[tokio::test]
async fn an_edge_that_is_still_dead_costs_no_request() {
    let world = World::http(2).await;
    let client = world.client();
    let dead = out_and_back(&world, &client, Mode::Refuse).await;
    world.edges.set(dead, Mode::Refuse).await;
    let failures = world.journal.failures().len();
    get(&client, &world.url()).await.unwrap();
    world.journal.saw(|seen| *seen == Seen::Probe(dead)).await;
    let refused = |seen: &Seen| *seen == Seen::Failed(dead, Outcome::Refused);
    world.journal.saw(refused).await;
    for _ in 0..20 {
        get(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.journal.failures().len(), failures + 1, "the probe's");
    let penalty = world.penalty_left(dead);
    assert!(penalty > Duration::from_secs(7), "{penalty:?}");
}

/// A probe that hangs ends with the last resolver, and not when its time is up.
#[tokio::test]
async fn a_probe_ends_with_the_last_resolver() {
    let world = World::http(2).await;
    let alive = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let others = alive();
    let client = world.client();
    let dead = out_and_back(&world, &client, Mode::Refuse).await;
    world.edges.set(dead, Mode::BlackHole).await;
    get(&client, &world.url()).await.unwrap();
    world.journal.saw(|seen| *seen == Seen::Probe(dead)).await;
    let World {
        dns: _dns,
        edges: _edges,
        resolver,
        ..
    } = world;
    drop((client, resolver));
    let ended = async {
        while alive() > others {
            common::sleep(Duration::from_millis(1)).await;
        }
    };
    let limit = Duration::from_secs(3);
    tokio::time::timeout(limit, ended)
        .await
        .expect("a probe by itself takes 5 s");
}

/// Without probes one request tries the edge, and so it does after a probe for what failed in TLS.
#[tokio::test]
async fn without_a_probe_one_request_tries_an_edge() {
    let unprobed = World::of(Edges::http(2).await, |builder| {
        builder.background_probe(false)
    })
    .await;
    let in_tls = World::https(2).await;
    for (world, mode, probes) in [(unprobed, Mode::Refuse, 0), (in_tls, Mode::TlsReset, 1)] {
        let client = world.client();
        let dead = out_and_back(&world, &client, mode).await;
        let count = |is: Seen| world.journal.count(|seen| *seen == is);
        world
            .get_until(&client, |world| {
                world.journal.count(|seen| *seen == Seen::Recovered(dead)) > 0
            })
            .await;
        assert_eq!(
            (count(Seen::Probe(dead)), count(Seen::Trial(dead))),
            (probes, 1)
        );
        assert_eq!(count(Seen::Recovered(dead)), 1);
        assert_eq!(world.standing(dead), AddressState::Healthy);
    }
}

/// When every address is dead the caller gets an error, soon, and it is reqwest's own.
#[tokio::test]
async fn when_all_are_dead_the_error_comes_soon_and_says_connect() {
    let world = World::http(4).await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::Refuse).await;
    }
    let client = world.client();
    for _ in 0..20 {
        let error = get(&client, &world.url()).await.unwrap_err();
        assert!(error.is_connect() && !error.is_timeout(), "{error:?}");
    }
    assert!(world.queries() <= 3, "{} lookups", world.queries());
    world.edges.set(world.ips()[2], Mode::Serve).await;
    get(&client, &world.url())
        .await
        .expect("penalized addresses are dialled when all are bad");
}

/// A thousand tasks fail at once: one look-up-again per record type.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_failures_at_once_are_one_lookup() {
    let world = World::http(2).await;
    let client = world.client();
    get(&client, &world.url()).await.unwrap();
    let asked = world.queries();
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::Refuse).await;
    // The lookup stays in the air: so many may take longer than the second after which another is
    // due.
    world.dns.hold();
    let begun = Instant::now();
    let requests = (0..1_000).map(|_| {
        let (client, url) = (client.clone(), world.url());
        tokio::spawn(async move { get(&client, &url).await.expect("no request fails") })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap();
    }
    world.dns.asked(HOST, RecordType::A, asked + 1).await;
    world.dns.asked(HOST, RecordType::AAAA, 2).await;
    let lookups = world.journal.count(|seen| *seen == Seen::Asked);
    assert_eq!(
        lookups, 2,
        "one more, which is a query for each record type"
    );
    world.dns.release();
    let strikes = world.journal.failures();
    // On a busy machine the edge may have been slow first, which is no failure.
    let failed = |strike: &&(IpAddr, Outcome)| **strike == (dead, Outcome::Failed);
    assert!(strikes.iter().any(|(addr, _)| *addr == dead), "it was met");
    let strikes = strikes.iter().filter(failed).count() as u64;
    // One, and one more for each penalty that is over before the last request has ended: 4 s and more.
    let elapsed = (Instant::now() - begun).as_secs();
    assert!(strikes <= 1 + elapsed / 4, "{strikes} in {elapsed} s");
}

/// `connect_timeout` means what it says: it ends the connect, and nothing is tried after it.
#[tokio::test]
async fn the_users_connect_timeout_holds() {
    let world = World::http(1).await;
    world.edges.set(world.ips()[0], Mode::BlackHole).await;
    let timeout = Duration::from_millis(600);
    let client = world
        .builder()
        .connect_timeout(timeout)
        .sidestep(&world.resolver)
        .build()
        .unwrap();
    let begun = Instant::now();
    let error = get(&client, &world.url()).await.unwrap_err();
    assert!(error.is_connect() && error.is_timeout(), "{error:?}");
    let took = Instant::now() - begun;
    assert!(
        took >= timeout && took < 2 * timeout,
        "one connect timeout, not two: {took:?}"
    );
}

/// The two-line use works without retries too: refused and black-holed cost no request.
#[tokio::test]
async fn two_lines_do_what_a_connector_can() {
    let world = World::http(2).await;
    let client = world.client_without_retries();
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::Refuse).await;
    world
        .get_until(&client, |world| world.is_penalized(dead))
        .await;
}

/// HTTP/2 goes through the same layer and the same retry.
#[tokio::test]
async fn http2_is_no_different() {
    let world = World::of(Edges::https(2).await, |builder| builder).await;
    let mut tls = world.edges.client_config();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::TlsReset).await;
    for _ in 0..200 {
        // A client each: HTTP/2 keeps its one connection.
        let builder = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(tls.clone());
        let client = builder.sidestep(&world.resolver).build().unwrap();
        let answer = client.get(world.url()).send().await.unwrap();
        assert_eq!(answer.version(), reqwest::Version::HTTP_2);
        if world.is_penalized(dead) {
            return;
        }
    }
    panic!("the dead edge was never dialled");
}

/// The end of a connect in the second lane clears the address too.
#[tokio::test]
async fn a_winner_of_the_second_lane_is_cleared() {
    let world = World::http(2).await;
    let client = world.client();
    let (slow, back) = (world.ips()[0], world.ips()[1]);
    world.edges.set(back, Mode::Refuse).await;
    world
        .get_until(&client, |world| world.is_penalized(back))
        .await;
    world.edges.set(back, Mode::Serve).await;
    world.edges.set(slow, Mode::BlackHole).await;
    get(&client, &world.url()).await.unwrap();
    assert_eq!(
        world.journal.count(|seen| *seen == Seen::Recovered(back)),
        1
    );
}

/// All are penalized and one is back: it is found by the first request, whichever leads.
#[tokio::test]
async fn an_edge_that_is_back_is_found_though_all_are_penalized() {
    for seed in 0..8 {
        let world = World::https(3).await;
        let client = world.client();
        for ip in world.ips() {
            world.edges.set(ip, Mode::TlsReset).await;
        }
        for _ in 0..3 {
            get(&client, &world.url()).await.unwrap_err();
        }
        assert!(world.ips().into_iter().all(|ip| world.is_penalized(ip)));
        world.edges.set(world.ips()[seed % 3], Mode::Serve).await;
        get(&client, &world.url()).await.expect("it is dialled");
    }
}

/// A layer of the user refuses what was connected, in words that TLS errors use too. The last text is OpenSSL's own.
#[tokio::test]
async fn an_error_of_the_users_own_is_held_against_no_address() {
    let tls = "error:0A000086:SSL routines:f:certificate verify failed:a.c:1:";
    for (text, expected) in [
        ("policy: host alerts.example.com is not allowed", None),
        ("rate limit of certificate-api.example.com", None),
        (tls, Some(Outcome::BadCertificate)),
    ] {
        let world = World::http(1).await;
        let policy = AndThenLayer::new(move |connection| async move {
            match text.is_empty() {
                true => Ok(connection),
                false => Err(BoxError::from(text)),
            }
        });
        let client = world
            .builder()
            .connector_layer(policy)
            .sidestep(&world.resolver);
        let client = client.build().unwrap();
        get(&client, &world.url()).await.unwrap_err();
        let failures = world.journal.failures();
        let outcome = failures.first().map(|(_, outcome)| *outcome);
        assert_eq!(outcome, expected, "{text}: {failures:?}");
        assert_eq!(world.queries() > 1, expected.is_some(), "{text}");
    }
}

/// Behaviour F4 where DNS is late: all edges die, and the name server names a live one 20 s later. Requests find it
/// within 2 s, and the name server is asked no more than once in that time. Whether it answers until then makes no
/// difference.
#[tokio::test]
async fn when_dns_follows_later_requests_recover_within_2_seconds() {
    const REQUEST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(2);
    for (mode, fault) in [
        (Mode::Refuse, Fault::None),
        (Mode::BlackHole, Fault::None),
        (Mode::Refuse, Fault::Refused),
        (Mode::BlackHole, Fault::ServFail),
    ] {
        let slow_connect_after = Duration::from_millis(100);
        let world = World::of(Edges::http(3).await, |builder| {
            builder.slow_connect_after(slow_connect_after)
        });
        let world = world.await;
        let (dead, live) = (&world.ips()[..2], world.ips()[2]);
        world.dns.set(HOST, dead, 1800);
        let client = world.client();
        get(&client, &world.url()).await.unwrap();
        for &ip in dead {
            world.edges.set(ip, mode).await;
        }
        // One request every 200 ms, as a client that gives up after that time.
        let asks = async || {
            let next = Instant::now() + REQUEST;
            let request = client.get(world.url()).timeout(REQUEST);
            let answer = while_pending(request.send()).await;
            common::sleep(next.saturating_duration_since(Instant::now())).await;
            answer
        };
        world.dns.fault(fault);
        let died = Instant::now();
        while died.elapsed() < Duration::from_secs(20) {
            asks().await.unwrap_err();
        }
        for rtype in [RecordType::A, RecordType::AAAA] {
            let asked = world.dns.queries(HOST, rtype) - 1;
            // A query that is answered with SERVFAIL may be repeated at once.
            let most = if fault == Fault::ServFail { 24 } else { 12 };
            assert!((9..=most).contains(&asked), "{mode:?}, {fault:?}: {asked}");
        }
        world.dns.fault(Fault::None);
        world.dns.set(HOST, &[live], 1800);
        let moved = Instant::now();
        while asks().await.is_err() {
            assert!(moved.elapsed() <= LONGEST + 2 * REQUEST, "{mode:?}");
        }
        assert!(moved.elapsed() <= LONGEST + 2 * REQUEST, "{mode:?}");
    }
}
