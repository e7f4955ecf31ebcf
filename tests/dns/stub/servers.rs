//! Tests which name server is queried, and what its failure costs.

use std::time::Instant;

use sidestep::lookup::Protocol;
use testkit::{Fault, NameServer, RecordType};
use tokio::net::UdpSocket;

use super::{MS, Stage, addrs};

const HOST: &str = "edge.test";

/// The first server answers after 20 ms. The second server would answer at once but gets no query.
#[tokio::test]
async fn the_answer_of_the_first_server_counts() {
    for fault in [
        Fault::Refused,
        Fault::ServFail,
        Fault::NotImp,
        Fault::KnowsNothing,
        Fault::Empty,
    ] {
        let stage = Stage::new(2).await;
        stage.dns().set(HOST, &[stage.right()], 60);
        stage.dns().delay(20 * MS);
        stage.servers[1].fault(fault);
        let resolver = stage.resolver(|dns| dns, |builder| builder);
        for _ in 0..5 {
            assert_eq!(stage.get(&resolver, HOST).await, stage.right());
            resolver.invalidate(HOST);
        }
        assert_eq!(stage.servers[1].total(), 0, "{fault:?}");
    }
}

/// If the first server cannot answer, the next one gets the query at once.
#[tokio::test]
async fn the_next_server_is_queried_at_once_after_a_failure() {
    for fault in [
        Fault::Refused,
        Fault::ServFail,
        Fault::NotImp,
        Fault::Lame,
        Fault::Referral,
        Fault::AliasLoop,
        Fault::OtherName,
    ] {
        let stage = Stage::new(2).await;
        stage.dns().fault(fault);
        stage.servers[1].set(HOST, &[stage.right()], 60);
        let resolver = stage.resolver(|dns| dns, |builder| builder);
        assert_eq!(stage.get(&resolver, HOST).await, stage.right(), "{fault:?}");
        // NOTIMP may concern EDNS, so the server gets another query without EDNS.
        let queries = if fault == Fault::NotImp { 2 } else { 1 };
        assert_eq!(stage.dns().queries(HOST, RecordType::A), queries);
    }
}

/// With one good server and two silent ones, in any order, only the first of twelve lookups waits. A slow
/// machine may miss the limit twice.
#[tokio::test]
async fn dead_servers_delay_only_one_lookup() {
    for good in 0..3 {
        let stage = Stage::new(3).await;
        for (place, server) in stage.servers.iter().enumerate() {
            if place != good {
                server.fault(Fault::Silent);
            }
        }
        let resolver = stage.resolver(|dns| dns, |builder| builder);
        let mut waited = 0;
        for n in 0..12 {
            let host = format!("h{n}.test");
            stage.servers[good].set(&host, &[stage.right()], 60);
            let began = Instant::now();
            assert_eq!(addrs(&resolver, &host).await, [stage.right()]);
            waited += usize::from(began.elapsed() > 200 * MS);
        }
        assert!(waited <= 1 + 2, "{good}: {waited}");
        assert_eq!(stage.get(&resolver, "h0.test").await, stage.right());
    }
}

/// The system reports that no socket listens at the first server's port, so the lookup does not wait.
#[tokio::test]
async fn a_server_whose_port_is_closed_delays_no_lookup() {
    let stage = Stage::new(1).await;
    stage.dns().set(HOST, &[stage.right()], 60);
    let dead = async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.local_addr().unwrap()
    };
    let dead = dead.await;
    let lookup = sidestep::lookup::Dns::with_servers([dead, stage.dns().addr()]).unwrap();
    let resolver = sidestep::Resolver::builder()
        .lookup(lookup)
        .build()
        .unwrap();
    let began = Instant::now();
    assert_eq!(addrs(&resolver, HOST).await, [stage.right()]);
    assert!(
        began.elapsed() < 250 * MS,
        "the lookup takes less than an overlap"
    );
    assert_eq!(stage.get(&resolver, HOST).await, stage.right());
}

/// The first query is repeated without EDNS (RFC 6891, section 7), and later queries have none.
#[tokio::test]
async fn a_server_that_refuses_edns_is_queried_without_edns() {
    let stage = Stage::new(1).await;
    stage.dns().fault(Fault::RefusesEdns);
    stage.dns().set(HOST, &[stage.right()], 60);
    let resolver = stage.resolver(|dns| dns, |builder| builder);
    assert_eq!(stage.get(&resolver, HOST).await, stage.right());
    assert_eq!(stage.total(), 4);
    resolver.invalidate(HOST);
    assert_eq!(stage.get(&resolver, HOST).await, stage.right());
    assert_eq!(stage.total(), 6);
}

/// A server that answers SERVFAIL gets no more queries for many hosts than a healthy server.
#[tokio::test]
async fn a_failing_server_gets_no_more_queries_than_a_healthy_one() {
    let stage = Stage::new(1).await;
    stage.dns().fault(Fault::ServFail);
    let resolver = stage.resolver(|dns| dns, |builder| builder);
    for n in 0..100 {
        let error = resolver.resolve(&format!("h{n}.test")).await.unwrap_err();
        assert!(!error.is_not_found() && !error.is_timeout());
    }
    let healthy = 200;
    assert!(stage.total() <= healthy * 11 / 10, "{}", stage.total());
}

/// A lookup that fails sends each server one query for each attempt, family and candidate.
#[tokio::test]
async fn queries_to_silent_servers_are_bounded() {
    let stage = Stage::new(2).await;
    for server in &stage.servers {
        server.fault(Fault::Silent);
    }
    let set = |dns: sidestep::lookup::DnsBuilder| dns.attempts(2).timeout(1_000 * MS);
    let resolver = stage.resolver(set, |builder| builder);
    let error = resolver.resolve(HOST).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    for server in &stage.servers {
        assert_eq!(server.queries(HOST, RecordType::A), 2);
        assert_eq!(server.total(), 4);
    }
}

/// The error names the server and its reply.
#[tokio::test]
async fn an_error_names_the_server() {
    let stage = Stage::new(1).await;
    stage.dns().fault(Fault::Refused);
    let resolver = stage.resolver(|dns| dns, |builder| builder);
    let error = resolver.resolve(HOST).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    let server = stage.dns().addr();
    assert_eq!(source, format!("name server {server} answered Refused"));
}

#[tokio::test]
async fn rotate_queries_the_servers_in_turn() {
    let stage = Stage::new(3).await;
    let resolver = stage.resolver(|dns| dns.rotate(true), |builder| builder);
    for n in 0..6 {
        let host = format!("h{n}.test");
        for server in &stage.servers {
            server.set(&host, &[stage.right()], 60);
        }
        resolver.resolve(&host).await.unwrap();
    }
    let totals: Vec<_> = stage.servers.iter().map(NameServer::total).collect();
    assert_eq!(totals, [4, 4, 4]);
}

#[tokio::test]
async fn a_server_can_be_queried_over_tcp_alone() {
    let stage = Stage::new(1).await;
    stage.dns().set(HOST, &[stage.right()], 60);
    // Over UDP the reply would have no record, and a second query would follow.
    stage.dns().fault(Fault::Truncated);
    let dns = sidestep::lookup::Dns::builder().server_by(stage.dns().addr(), Protocol::Tcp);
    let lookup = dns.build().unwrap();
    let resolver = sidestep::Resolver::builder()
        .lookup(lookup)
        .build()
        .unwrap();
    assert_eq!(addrs(&resolver, HOST).await, [stage.right()]);
    assert_eq!(stage.total(), 2);
}

/// The trial returns for each server whether it works, how long its reply took, and its problem.
#[tokio::test]
async fn a_trial_queries_each_server_separately() {
    let stage = Stage::new(4).await;
    stage.servers[1].fault(Fault::Refused);
    stage.servers[2].fault(Fault::Silent);
    stage.servers[3].fault(Fault::RefusesEdns);
    let lookup = stage.lookup(|dns| dns.timeout(1_000 * MS));
    let trials = lookup.trial().await;
    let works: Vec<_> = trials.iter().map(|trial| trial.works()).collect();
    assert_eq!(works, [true, false, false, true]);
    for (trial, server) in trials.iter().zip(&stage.servers) {
        assert_eq!(trial.addr(), server.addr());
        let text = trial.to_string();
        assert!(text.contains(&server.addr().to_string()), "{text}");
    }
    assert_eq!(trials[1].problem().unwrap(), "answered Refused");
    assert_eq!(trials[2].problem().unwrap(), "did not answer in time");
    assert!(trials[2].took() >= 1_000 * MS);
}
