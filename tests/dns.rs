//! `lookup::Dns` and `lookup::System` against real name servers on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use common::{Fault, HOST, NameServer, RecordType, World, asking, get};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{Name, RData, Record};
use sidestep::lookup::{Answer, Dns, FromService, Lookup, System};
use sidestep::{Event, ResolveError, Resolver};
use tokio::net::UdpSocket;

fn resolver(dns: &NameServer) -> Resolver {
    Resolver::builder().lookup(asking(dns)).build().unwrap()
}

fn ip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// hickory's own cache is off: an invalidation reaches the name server.
#[tokio::test]
async fn an_invalidation_reaches_the_name_server() {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1), V6], 1800);
    let resolver = resolver(&dns);
    for asked in 1..=3 {
        for _ in 0..5 {
            resolver.resolve(HOST).await.unwrap();
        }
        for family in [RecordType::A, RecordType::AAAA] {
            assert_eq!(dns.queries(HOST, family), asked);
        }
        resolver.invalidate(HOST);
    }
    dns.set(HOST, &[ip(2)], 1800);
    assert_eq!(resolver.resolve(HOST).await.unwrap().addrs(), [ip(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_misses_are_one_query_for_each_record_type() {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1), V6], 60);
    dns.hold();
    let resolver = resolver(&dns);
    let waiters: Vec<_> = (0..1_000)
        .map(|_| {
            let resolver = resolver.clone();
            tokio::spawn(async move { resolver.resolve(HOST).await.unwrap().addrs().len() })
        })
        .collect();
    dns.asked(HOST, RecordType::A, 1).await;
    dns.release();
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), 2);
    }
    assert_eq!(dns.total(), 2);
}

#[tokio::test]
async fn the_records_ttl_is_the_answers_life() {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1)], 17);
    let resolver = resolver(&dns);
    resolver.resolve(HOST).await.unwrap();
    let left = resolver.snapshot().host(HOST).unwrap().life_left.unwrap();
    assert!(
        left <= Duration::from_secs(17) && left > Duration::from_secs(10),
        "{left:?}"
    );
}

/// A host in use is asked for before its answer ends, so that no caller waits.
#[tokio::test]
async fn a_host_in_use_is_looked_up_ahead() {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1)], 1);
    let (tell, mut answered) = tokio::sync::mpsc::unbounded_channel();
    let observe = move |event: &Event<'_>| {
        if matches!(event, Event::LookupSucceeded { .. }) {
            tell.send(()).expect("the test listens");
        }
    };
    let builder = Resolver::builder().lookup(asking(&dns)).observe(observe);
    let resolver = builder.build().unwrap();
    resolver.resolve(HOST).await.unwrap();
    for asked in 1..=3 {
        answered.recv().await.unwrap();
        assert_eq!(dns.queries(HOST, RecordType::A), asked);
        let at_once = futures_util::FutureExt::now_or_never(resolver.resolve(HOST));
        assert!(at_once.is_some(), "after lookup {asked}");
    }
}

/// DNS rebinding: the name is public when it is looked at first, and private at the next lookup.
#[tokio::test]
async fn a_name_that_moves_into_the_private_network_is_refused() {
    let (public, private) = (ip(1), IpAddr::from([10, 0, 0, 7]));
    let dns = NameServer::start().await;
    dns.set(HOST, &[public], 1);
    let resolver = Resolver::builder()
        .lookup(asking(&dns))
        .filter(|_, addr| matches!(addr, IpAddr::V4(addr) if !addr.is_private()))
        .build()
        .unwrap();
    assert_eq!(resolver.resolve(HOST).await.unwrap().addrs(), [public]);
    dns.set(HOST, &[private], 1);
    resolver.invalidate(HOST);
    let error = resolver.resolve(HOST).await.unwrap_err();
    assert!(error.is_filtered());
    assert_eq!(
        error.to_string(),
        "edge.test: the address filter refused its only address (10.0.0.7)"
    );
    assert!(
        resolver.snapshot().host(HOST).unwrap().addrs.is_empty(),
        "the public address is the name's no longer"
    );
}

/// UDP says that the answer is cut off; TCP has it.
#[tokio::test]
async fn a_truncated_answer_is_fetched_over_tcp() {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1)], 60);
    dns.fault(Fault::Truncated);
    assert_eq!(resolver(&dns).resolve(HOST).await.unwrap().addrs(), [ip(1)]);
}

#[tokio::test]
async fn one_failing_family_does_not_cost_the_other() {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1), V6], 60);
    dns.fault_for(RecordType::AAAA, Fault::ServFail);
    assert_eq!(resolver(&dns).resolve(HOST).await.unwrap().addrs(), [ip(1)]);
    dns.fault_for(RecordType::AAAA, Fault::None);
    dns.fault_for(RecordType::A, Fault::ServFail);
    assert_eq!(resolver(&dns).resolve(HOST).await.unwrap().addrs(), [V6]);
}

#[tokio::test]
async fn negative_answers_are_told_apart() {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1)], 60);
    let resolver = resolver(&dns);
    assert!(
        resolver
            .resolve("nobody.test")
            .await
            .unwrap_err()
            .is_not_found()
    );
    dns.set("empty.test", &[], 60);
    assert!(
        resolver
            .resolve("empty.test")
            .await
            .unwrap_err()
            .is_no_records()
    );
}

/// dnsmasq's local records come so: A with an address, AAAA empty and without an SOA. hickory
/// alone asks again at every connect.
#[tokio::test]
async fn a_missing_family_without_an_soa_is_not_asked_for_at_every_connect() {
    let world = World::http(2).await;
    world.dns.soa(false);
    let client = world.client();
    for _ in 0..20 {
        get(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.dns.queries(HOST, RecordType::AAAA), 1);
}

/// A name server that does not answer: the error comes in the time of one lookup.
#[tokio::test]
async fn a_silent_name_server_ends_in_a_timeout() {
    let dns = NameServer::start().await;
    dns.fault(Fault::Silent);
    let builder = Resolver::builder().lookup(asking(&dns));
    let resolver = builder
        .lookup_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    assert!(resolver.resolve(HOST).await.unwrap_err().is_timeout());
}

/// The second server answers when the first is dead.
#[tokio::test]
async fn a_dead_name_server_is_passed_over() {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1)], 60);
    let dead = UdpSocket::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let lookup = Dns::with_servers([dead, dns.addr()]).unwrap();
    let resolver = Resolver::builder().lookup(lookup).build().unwrap();
    assert_eq!(resolver.resolve(HOST).await.unwrap().addrs(), [ip(1)]);
}

/// A name server that answers each question in its own evil way.
async fn evil(answer: impl Fn(&Message) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut room = [0; 4096];
        while let Ok((len, from)) = socket.recv_from(&mut room).await {
            let asked = Message::from_vec(&room[..len]).expect("hickory asks well");
            let _ = socket.send_to(&answer(&asked), from).await;
        }
    });
    addr
}

async fn ask_evil(server: SocketAddr) -> Result<Vec<IpAddr>, ResolveError> {
    let lookup = Dns::with_servers([server]).unwrap();
    let builder = Resolver::builder().lookup(lookup);
    let resolver = builder
        .lookup_timeout(Duration::from_millis(500))
        .build()
        .unwrap();
    resolver
        .resolve(HOST)
        .await
        .map(|resolved| resolved.addrs().to_vec())
}

fn reply(asked: &Message, query: Query, records: Vec<Record>) -> Vec<u8> {
    let mut reply = Message::response(asked.metadata.id, asked.metadata.op_code);
    reply.add_query(query);
    reply.add_answers(records);
    reply.to_vec().unwrap()
}

fn a_record(name: &str) -> Record {
    let name = Name::from_ascii(name).unwrap();
    Record::from_rdata(name, 60, RData::A(A::new(203, 0, 113, 66)))
}

fn good_record(name: &str) -> Record {
    let name = Name::from_ascii(name).unwrap();
    Record::from_rdata(name, 60, RData::A(A::new(192, 0, 2, 1)))
}

/// Netty `testExpireWithDifferentTTLs`, Armeria `boundByCacheTtl`: an answer lives no longer than the
/// first of its records to go, be it an address or an alias on the way.
#[tokio::test]
async fn an_answer_lives_as_long_as_its_shortest_record() {
    for shortest in 0..3 {
        let server = evil(move |asked| {
            let [from, to] =
                ["EDGE.test.", "a.cdn.test."].map(|name| Name::from_ascii(name).unwrap());
            let alias = Record::from_rdata(from, 60, RData::CNAME(CNAME(to)));
            let mut records = vec![alias, good_record("a.cdn.test."), a_record("a.cdn.test.")];
            records[shortest].ttl = 7;
            reply(asked, asked.queries[0].clone(), records)
        });
        let lookup = Dns::with_servers([server.await]).unwrap();
        let resolver = Resolver::builder().lookup(lookup).build().unwrap();
        resolver.resolve(HOST).await.unwrap();
        let left = resolver.snapshot().host(HOST).unwrap().life_left.unwrap();
        assert!(left <= Duration::from_secs(7), "{shortest}: {left:?}");
    }
}

/// An alias may come after what it leads to.
#[tokio::test]
async fn aliases_are_followed_in_any_order() {
    let alias = |from: &str, to: &str| {
        let [from, to] = [from, to].map(|name| Name::from_ascii(name).unwrap());
        Record::from_rdata(from, 60, RData::CNAME(CNAME(to)))
    };
    for turn in 0..3 {
        let server = evil(move |asked| {
            let mut records = vec![
                alias("EDGE.test.", "a.cdn.test."),
                alias("a.cdn.test.", "b.cdn.test."),
                good_record("b.cdn.test."),
            ];
            records.rotate_left(turn);
            reply(asked, asked.queries[0].clone(), records)
        });
        assert_eq!(ask_evil(server.await).await.unwrap(), [ip(1)], "{turn}");
    }
}

#[tokio::test]
async fn garbage_is_an_error_and_no_panic() {
    for garbage in [
        vec![],
        vec![0xff; 3],
        vec![0; 12],
        vec![0xc0; 512],
        b"GET / HTTP/1.1".to_vec(),
    ] {
        let server = evil(move |_| garbage.clone()).await;
        ask_evil(server).await.unwrap_err();
    }
    let cut = evil(|asked| {
        let mut reply = reply(
            asked,
            asked.queries[0].clone(),
            vec![a_record("edge.test.")],
        );
        reply.truncate(reply.len() - 2);
        reply
    });
    ask_evil(cut.await).await.unwrap_err();
}

/// An answer to another question, and records of another name beside the right question.
#[tokio::test]
async fn lies_about_the_question_are_not_believed() {
    let other_question = evil(|asked| {
        let mut query = asked.queries[0].clone();
        query.set_name(Name::from_ascii("evil.test.").unwrap());
        reply(asked, query, vec![a_record("evil.test.")])
    });
    ask_evil(other_question.await).await.unwrap_err();
    let other_name = evil(|asked| {
        reply(
            asked,
            asked.queries[0].clone(),
            vec![a_record("evil.test.")],
        )
    });
    ask_evil(other_name.await).await.unwrap_err();
    let beside = evil(|asked| {
        let records = vec![a_record("evil.test."), good_record("edge.test.")];
        reply(asked, asked.queries[0].clone(), records)
    })
    .await;
    assert_eq!(ask_evil(beside).await.unwrap(), [ip(1)]);
    let other_id = evil(|asked| {
        let mut reply = reply(
            asked,
            asked.queries[0].clone(),
            vec![a_record("edge.test.")],
        );
        reply[0] ^= 0x55;
        reply
    });
    ask_evil(other_id.await).await.unwrap_err();
}

/// Thousands of records over TCP are cut to 64 addresses. Of 10 000, which no DNS message can
/// hold, what arrives is as good, or an error.
#[tokio::test]
async fn an_answer_of_thousands_of_records_is_bounded() {
    let dns = NameServer::start().await;
    dns.fault(Fault::Truncated);
    for records in [1_500_u16, 10_000] {
        let [high, low] = [|n: u16| n.to_be_bytes()[0], |n: u16| n.to_be_bytes()[1]];
        let many: Vec<IpAddr> = (0..records)
            .map(|n| [10, 1, high(n), low(n)].into())
            .collect();
        dns.set(HOST, &many, 60);
        match resolver(&dns).resolve(HOST).await {
            Ok(resolved) => assert_eq!(resolved.addrs().len(), 64, "{records} records"),
            Err(error) => assert_eq!(records, 10_000, "{error:?}"),
        }
    }
}

/// `getaddrinfo`, asked directly and through hyper-util's resolver; an address needs no network.
#[tokio::test]
async fn the_system_and_a_service_are_lookups_too() {
    let by_service = FromService::new(hyper_util::client::legacy::connect::dns::GaiResolver::new());
    let by_system = System::new();
    let lookups: [&dyn Lookup; 2] = [&by_service, &by_system];
    for lookup in lookups {
        let answer = lookup.lookup("127.0.0.9").await.unwrap();
        assert_eq!(answer, Answer::new([IpAddr::from([127, 0, 0, 9])]));
    }
}

/// A service's answers are cached, shuffled and kept like any.
#[tokio::test]
async fn a_services_answers_reach_the_caller() {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1), ip(2)], 60);
    let below = resolver(&dns);
    let above = Resolver::builder()
        .lookup(FromService::new(below))
        .build()
        .unwrap();
    let mut addrs = above.resolve(HOST).await.unwrap().addrs().to_vec();
    addrs.sort();
    assert_eq!(addrs, [ip(1), ip(2)]);
}
