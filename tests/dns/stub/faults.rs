//! Tests name servers that fail for some names, for some packets, or for this machine.

use std::net::SocketAddr;

use hickory_server::proto::rr::{RData, Record, rdata::A};
use sidestep::Resolver;
use sidestep::lookup::Dns;
use testkit::{Fault, RecordType};

use super::{MS, Stage, addrs, udp_server};

/// Names that fail cost at most a tenth more queries than names that resolve.
#[tokio::test]
async fn names_that_fail_cost_few_more_queries_than_others() {
    for every in [1, 2] {
        let (stage, names) = (Stage::new(1).await, 400);
        for n in 0..names {
            let name = format!("h{n}.test");
            match n % every {
                0 => stage.dns().fault_of(&name, Fault::ServFail),
                _ => stage.dns().set(&name, &[stage.right()], 60),
            }
        }
        let resolver = stage.resolver(|dns| dns, |builder| builder);
        for n in 0..names {
            let resolved = resolver.resolve(&format!("h{n}.test")).await;
            assert_eq!(resolved.is_err(), n % every == 0);
        }
        let healthy = 2 * names;
        assert!(
            stage.total() * 10 <= healthy * 11,
            "{} queries",
            stage.total()
        );
    }
}

/// A packet filter or a prohibiting route concerns one server only.
#[tokio::test]
async fn the_next_server_is_queried_if_the_system_forbids_the_first() {
    let stage = Stage::new(1).await;
    stage.dns().set("a.test", &[stage.right()], 60);
    let forbidden = "255.255.255.255:53".parse().unwrap();
    let dns = Dns::with_servers([forbidden, stage.dns().addr()]).unwrap();
    let resolver = Resolver::builder().lookup(dns).build().unwrap();
    assert_eq!(addrs(&resolver, "a.test").await, [stage.right()]);
}

/// Starts a name server that sends this many A records in one datagram, whatever size the query allows.
async fn server_of_records(records: u8) -> SocketAddr {
    udp_server(move |message| {
        let query = message.queries[0].clone();
        let mut reply = message.into_response();
        reply.metadata.recursion_available = true;
        if query.query_type() == RecordType::A {
            for n in 0..records {
                let addr = RData::A(A::new(127, 0, 1, n));
                reply.add_answer(Record::from_rdata(query.name().clone(), 60, addr));
            }
        }
        reply
    })
    .await
}

/// getaddrinfo accepts such replies too, and the server may not support TCP.
#[tokio::test]
async fn a_reply_that_is_longer_than_allowed_is_read_whole() {
    for (edns, records) in [
        (false, 20),
        (false, 35),
        (false, 60),
        (true, 60),
        (true, 64),
    ] {
        let builder = Dns::builder().use_hosts(false).edns(edns);
        let dns = builder
            .server(server_of_records(records).await)
            .build()
            .unwrap();
        let resolver = Resolver::builder().lookup(dns).build().unwrap();
        let found = addrs(&resolver, "a.test").await.len();
        assert_eq!(found, usize::from(records), "EDNS: {edns}");
    }
}

/// If the server is silent for the names of one zone, the lookups of other names do not prefer the next server.
#[tokio::test]
async fn a_server_that_is_silent_for_one_name_stays_first_for_others() {
    let stage = Stage::new(2).await;
    let [one, two] = &stage.servers[..] else {
        panic!("there are two servers");
    };
    for n in 0..10 {
        one.set(&format!("internal{n}.test"), &[stage.right()], 60);
    }
    one.fault_of("evil.test", Fault::Silent);
    two.set("evil.test", &[stage.wrong()], 60);
    let resolver = stage.resolver(|dns| dns.timeout(1_000 * MS), |builder| builder);
    assert_eq!(addrs(&resolver, "internal0.test").await, [stage.right()]);
    assert_eq!(addrs(&resolver, "evil.test").await, [stage.wrong()]);
    for n in 1..10 {
        tokio::time::sleep(200 * MS).await;
        let name = format!("internal{n}.test");
        assert_eq!(addrs(&resolver, &name).await, [stage.right()], "{name}");
    }
}

/// NXDOMAIN of a later server does not count while an earlier server is only slow.
#[tokio::test]
async fn a_slow_first_server_counts_before_nxdomain_of_the_second() {
    let stage = Stage::new(2).await;
    for n in 0..5 {
        stage.dns().set(&format!("w{n}.test"), &[stage.right()], 60);
    }
    stage.dns().set("internal.test", &[stage.right()], 60);
    let resolver = stage.resolver(|dns| dns, |builder| builder);
    for n in 0..5 {
        addrs(&resolver, &format!("w{n}.test")).await;
    }
    stage.dns().delay(1_500 * MS);
    assert_eq!(addrs(&resolver, "internal.test").await, [stage.right()]);
}
