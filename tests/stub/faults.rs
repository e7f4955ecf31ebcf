//! Name servers that work for some names, for some packets, or not from here.

use std::net::SocketAddr;

use hickory_server::proto::rr::{RData, Record, rdata::A};
use sidestep::Resolver;
use sidestep::lookup::Dns;

use super::common::{Fault, RecordType};
use super::{MS, Stage, addrs, udp_server};

/// Names that fail cost a tenth more queries than names that resolve.
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

/// A packet filter or a prohibiting route is about one server.
#[tokio::test]
async fn a_server_that_this_machine_may_not_ask_is_followed_by_the_next() {
    let stage = Stage::new(1).await;
    stage.dns().set("a.test", &[stage.right()], 60);
    let forbidden = "255.255.255.255:53".parse().unwrap();
    let dns = Dns::with_servers([forbidden, stage.dns().addr()]).unwrap();
    let resolver = Resolver::builder().lookup(dns).build().unwrap();
    assert_eq!(addrs(&resolver, "a.test").await, [stage.right()]);
}

/// Answers with so many A records in one datagram, whatever size was asked for.
async fn talkative_server(records: u8) -> SocketAddr {
    udp_server(move |asked| {
        let query = asked.queries[0].clone();
        let mut reply = asked.into_response();
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

/// getaddrinfo accepts such replies, and TCP may not be there.
#[tokio::test]
async fn a_reply_longer_than_asked_for_is_read_whole() {
    for (edns, records) in [
        (false, 20),
        (false, 35),
        (false, 60),
        (true, 60),
        (true, 64),
    ] {
        let builder = Dns::builder().use_hosts(false).edns(edns);
        let dns = builder
            .server(talkative_server(records).await)
            .build()
            .unwrap();
        let resolver = Resolver::builder().lookup(dns).build().unwrap();
        let found = addrs(&resolver, "a.test").await.len();
        assert_eq!(found, usize::from(records), "EDNS: {edns}");
    }
}

/// A zone whose owner lets queries go unanswered does not put the server behind for other names.
#[tokio::test]
async fn a_name_that_a_server_does_not_answer_leaves_its_place() {
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

/// A later server's NXDOMAIN is no answer while an earlier server that works is only slow.
#[tokio::test]
async fn a_slow_first_server_is_right_though_the_second_knows_no_such_name() {
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
