//! Stock reqwest with `.sidestep()` reaches a live edge if other edges fail.

use std::net::IpAddr;
use std::time::Duration;

use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressState, Outcome};
use testkit::{Edges, Fault, HOST, Mode, RecordType, Seen, World, get, while_pending};
use tokio::time::Instant;
use tower::BoxError;
use tower::util::AndThenLayer;

/// The first failure orders the address last, and no caller sees that failure.
#[tokio::test]
async fn an_edge_that_refuses_fails_no_request() {
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
        "one connect attempts the edge"
    );
}

/// A black-holed edge delays one request by 300 ms, after which hyper-util starts its second lane.
#[tokio::test]
async fn a_black_holed_edge_fails_no_request() {
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

/// TCP connects and TLS fails. The client retries the request at the other edge.
#[tokio::test]
async fn an_edge_that_resets_in_tls_fails_no_request() {
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
async fn an_edge_with_a_wrong_certificate_fails_no_request() {
    let world = World::https(2).await;
    let client = world.client();
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::WrongCertificate).await;
    world
        .get_until(&client, |world| world.is_penalized(dead))
        .await;
    assert_eq!(world.journal.failures(), [(dead, Outcome::BadCertificate)]);
}

/// After a wrong certificate the client tries two other addresses, and then returns the error.
#[tokio::test]
async fn if_all_certificates_are_wrong_a_request_tries_three_edges() {
    let world = World::https(4).await;
    for ip in world.ips() {
        world.edges.set(ip, Mode::WrongCertificate).await;
    }
    let error = get(&world.client(), &world.url()).await.unwrap_err();
    assert!(error.is_connect());
    assert_eq!(world.accepted(), 3);
}

/// Three of four edges fail in TLS, and each request reaches the fourth.
#[tokio::test]
async fn one_request_reaches_the_fourth_edge_if_three_fail_in_tls() {
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

/// An early close is a soft strike. The first strike orders the other address first, and the second causes a penalty.
#[tokio::test]
async fn an_edge_that_accepts_and_closes_fails_no_request() {
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

/// The client retries only idempotent methods, and only once (RFC 9110, section 9.2.2).
#[tokio::test]
async fn after_an_early_close_a_get_is_retried_once_and_a_post_never() {
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

/// A failed connect sends no byte of the request, so that a retry of a POST is safe too.
#[tokio::test]
async fn after_a_failed_connect_a_post_is_retried_too() {
    let world = World::https(2).await;
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::TlsReset).await;
    let client = world.client();
    let url = world.url() + "echo";
    for _ in 0..200 {
        let response = client.post(&url).body("hello").send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "hello");
        if world.is_penalized(dead) {
            return;
        }
    }
    panic!("no connect has attempted the dead edge");
}

/// DNS names other edges and the old edges refuse, while the cached answer is fresh for half an hour.
#[tokio::test]
async fn after_dns_changes_all_addresses_requests_reach_the_new_edges() {
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
    assert_eq!(world.queries(), 2, "the first lookup and one re-resolution");
}

/// Makes the first edge fail until its address is penalized, then lets the edge serve, and waits until the penalty
/// ends.
async fn penalize_and_restore(world: &World, client: &reqwest::Client, mode: Mode) -> IpAddr {
    let dead = world.ips()[0];
    world.edges.set(dead, mode).await;
    world
        .get_until(client, |world| world.is_penalized(dead))
        .await;
    let penalty = world.penalty_left(dead);
    world.edges.set(dead, Mode::Serve).await;
    testkit::sleep(penalty).await;
    dead
}

/// After the penalty a probe finds that the edge serves again. No request is needed.
#[tokio::test]
async fn a_probe_finds_that_an_edge_serves_again() {
    let world = World::http(2).await;
    let client = world.client();
    let dead = penalize_and_restore(&world, &client, Mode::Refuse).await;
    let served = world.edges.served(dead);
    get(&client, &world.url()).await.unwrap();
    assert_eq!(
        world.edges.served(dead),
        served,
        "the request goes to the other edge"
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

/// If the edge still refuses after its penalty, the probe fails and the penalty doubles.
#[tokio::test]
async fn an_edge_that_still_refuses_after_its_penalty_fails_no_request() {
    let world = World::http(2).await;
    let client = world.client();
    let dead = penalize_and_restore(&world, &client, Mode::Refuse).await;
    world.edges.set(dead, Mode::Refuse).await;
    let failures = world.journal.failures().len();
    get(&client, &world.url()).await.unwrap();
    world.journal.saw(|seen| *seen == Seen::Probe(dead)).await;
    let refused = |seen: &Seen| *seen == Seen::Failed(dead, Outcome::Refused);
    world.journal.saw(refused).await;
    for _ in 0..20 {
        get(&client, &world.url()).await.unwrap();
    }
    assert_eq!(
        world.journal.failures().len(),
        failures + 1,
        "only the probe fails"
    );
    let penalty = world.penalty_left(dead);
    assert!(penalty > Duration::from_secs(7), "{penalty:?}");
}

/// A pending probe ends when the last resolver is dropped, before its timeout.
#[tokio::test]
async fn a_pending_probe_ends_with_the_last_resolver() {
    let world = World::http(2).await;
    let alive_tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = alive_tasks();
    let client = world.client();
    let dead = penalize_and_restore(&world, &client, Mode::Refuse).await;
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
        while alive_tasks() > before {
            testkit::sleep(Duration::from_millis(1)).await;
        }
    };
    let limit = Duration::from_secs(3);
    tokio::time::timeout(limit, ended)
        .await
        .expect("the probe ends before its timeout of 5 s");
}

/// One request tries the edge if probes are off, and also after the probe if the failure was in TLS.
#[tokio::test]
async fn one_request_tries_an_edge_without_probes_and_after_a_tls_failure() {
    let unprobed = World::of(Edges::http(2).await, |builder| {
        builder.background_probe(false)
    })
    .await;
    let in_tls = World::https(2).await;
    for (world, mode, probes) in [(unprobed, Mode::Refuse, 0), (in_tls, Mode::TlsReset, 1)] {
        let client = world.client();
        let dead = penalize_and_restore(&world, &client, mode).await;
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

/// If every address refuses, the caller gets a connect error of reqwest.
#[tokio::test]
async fn if_all_edges_refuse_a_request_fails_with_a_connect_error() {
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
        .expect("a request attempts penalized addresses if all are penalized");
}

/// A thousand connects fail at once and cause one re-resolution, with one query per record type.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_failures_at_once_cause_one_lookup() {
    let world = World::http(2).await;
    let client = world.client();
    get(&client, &world.url()).await.unwrap();
    let queries = world.queries();
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::Refuse).await;
    // The lookup stays in flight, since the requests may take longer than the 1 s until the next
    // re-resolution.
    world.dns.hold();
    let begun = Instant::now();
    let requests = (0..1_000).map(|_| {
        let (client, url) = (client.clone(), world.url());
        tokio::spawn(async move { get(&client, &url).await.expect("no request fails") })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap();
    }
    world.dns.asked(HOST, RecordType::A, queries + 1).await;
    world.dns.asked(HOST, RecordType::AAAA, 2).await;
    let lookups = world.journal.count(|seen| *seen == Seen::Asked);
    assert_eq!(lookups, 2, "the first lookup and one re-resolution");
    world.dns.release();
    let strikes = world.journal.failures();
    // On a busy machine the address may be slow first. That outcome does not count here.
    let failed = |strike: &&(IpAddr, Outcome)| **strike == (dead, Outcome::Failed);
    assert!(
        strikes.iter().any(|(addr, _)| *addr == dead),
        "a connect has attempted the edge"
    );
    let strikes = strikes.iter().filter(failed).count() as u64;
    // One strike, and one more for each penalty of at least 4 s that ends before the last request.
    let elapsed = (Instant::now() - begun).as_secs();
    assert!(strikes <= 1 + elapsed / 4, "{strikes} in {elapsed} s");
}

/// The `connect_timeout` of reqwest ends the connect, and no further attempt follows.
#[tokio::test]
async fn the_connect_timeout_ends_the_connect_without_another_attempt() {
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

/// The resolver and the connect layer need no retries if an edge refuses.
#[tokio::test]
async fn without_retries_an_edge_that_refuses_fails_no_request() {
    let world = World::http(2).await;
    let client = world.client_without_retries();
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::Refuse).await;
    world
        .get_until(&client, |world| world.is_penalized(dead))
        .await;
}

/// HTTP/2 uses the same connect layer and the same retries as HTTP/1.1.
#[tokio::test]
async fn over_http2_an_edge_that_resets_in_tls_fails_no_request() {
    let world = World::of(Edges::https(2).await, |builder| builder).await;
    let mut tls = world.edges.client_config();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let dead = world.ips()[0];
    world.edges.set(dead, Mode::TlsReset).await;
    for _ in 0..200 {
        // Each request has a client of its own, since HTTP/2 keeps its connection.
        let builder = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(tls.clone());
        let client = builder.sidestep(&world.resolver).build().unwrap();
        let response = client.get(world.url()).send().await.unwrap();
        assert_eq!(response.version(), reqwest::Version::HTTP_2);
        if world.is_penalized(dead) {
            return;
        }
    }
    panic!("no connect has attempted the dead edge");
}

/// A success in the second lane ends the penalty of an address too.
#[tokio::test]
async fn an_address_that_connects_in_the_second_lane_recovers() {
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

/// All addresses are penalized and one edge serves again. The first request reaches that edge, whatever the order.
#[tokio::test]
async fn if_all_addresses_are_penalized_a_request_reaches_the_edge_that_serves() {
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
        get(&client, &world.url())
            .await
            .expect("the request reaches the edge that serves");
    }
}

/// A layer of the program fails after the connect, with a text that reads like a TLS error. The last text is a real
/// error of OpenSSL.
#[tokio::test]
async fn an_error_of_a_layer_of_the_program_is_no_strike() {
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

/// Behavior F4: all edges die, and the name server names a live edge 20 s later. Requests reach that edge within 2 s,
/// and the resolver sends one query per record type in 2 s at most. The same holds if the name server fails
/// until then.
#[tokio::test]
async fn after_dns_names_a_live_edge_requests_succeed_within_2_seconds() {
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
        // The client sends a request every 200 ms, with a timeout of 200 ms.
        let send = async || {
            let next = Instant::now() + REQUEST;
            let request = client.get(world.url()).timeout(REQUEST);
            let response = while_pending(request.send()).await;
            testkit::sleep(next.saturating_duration_since(Instant::now())).await;
            response
        };
        world.dns.fault(fault);
        let died = Instant::now();
        while died.elapsed() < Duration::from_secs(20) {
            send().await.unwrap_err();
        }
        for rtype in [RecordType::A, RecordType::AAAA] {
            let queries = world.dns.queries(HOST, rtype) - 1;
            // The resolver may repeat a query at once after SERVFAIL.
            let max = if fault == Fault::ServFail { 24 } else { 12 };
            assert!(
                (9..=max).contains(&queries),
                "{mode:?}, {fault:?}: {queries}"
            );
        }
        world.dns.fault(Fault::None);
        world.dns.set(HOST, &[live], 1800);
        let moved = Instant::now();
        while send().await.is_err() {
            assert!(moved.elapsed() <= LONGEST + 2 * REQUEST, "{mode:?}");
        }
        assert!(moved.elapsed() <= LONGEST + 2 * REQUEST, "{mode:?}");
    }
}
