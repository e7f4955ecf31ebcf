//! Tests `lookup::Dns` and `lookup::System` with real name servers on loopback.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{Name, RData, Record};
use sidestep::lookup::{Answer, Dns, FromService, Lookup, System};
use sidestep::{Event, ResolveError, Resolver};
use testkit::{Fault, HOST, NameServer, RecordType, World, asking, get};
use tokio::net::UdpSocket;

fn resolver(dns: &NameServer) -> Resolver {
    Resolver::builder().lookup(asking(dns)).build().unwrap()
}

fn ip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// hickory's own cache is off, so the lookup after an invalidation reaches the name server.
#[tokio::test]
async fn an_invalidation_reaches_the_name_server() {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1), V6], 1800);
    let resolver = resolver(&dns);
    for lookups in 1..=3 {
        for _ in 0..5 {
            resolver.resolve(HOST).await.unwrap();
        }
        for family in [RecordType::A, RecordType::AAAA] {
            assert_eq!(dns.queries(HOST, family), lookups);
        }
        resolver.invalidate(HOST);
    }
    dns.set(HOST, &[ip(2)], 1800);
    assert_eq!(resolver.resolve(HOST).await.unwrap().addrs(), [ip(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_share_one_query_for_each_record_type() {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1), V6], 60);
    dns.hold();
    let resolver = resolver(&dns);
    let callers: Vec<_> = (0..1_000)
        .map(|_| {
            let resolver = resolver.clone();
            tokio::spawn(async move { resolver.resolve(HOST).await.unwrap().addrs().len() })
        })
        .collect();
    dns.asked(HOST, RecordType::A, 1).await;
    dns.release();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), 2);
    }
    assert_eq!(dns.total(), 2);
}

#[tokio::test]
async fn the_ttl_of_the_records_is_the_lifetime_of_the_answer() {
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

/// A host in use is looked up before its answer expires, so that no caller waits.
#[tokio::test]
async fn a_host_in_use_is_refreshed() {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1)], 1);
    let (sender, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let observe = move |event: &Event<'_>| {
        if matches!(event, Event::LookupSucceeded { .. }) {
            sender.send(()).expect("the test receives events");
        }
    };
    let builder = Resolver::builder().lookup(asking(&dns)).observe(observe);
    let resolver = builder.build().unwrap();
    resolver.resolve(HOST).await.unwrap();
    for lookups in 1..=3 {
        answers.recv().await.unwrap();
        assert_eq!(dns.queries(HOST, RecordType::A), lookups);
        let at_once = futures_util::FutureExt::now_or_never(resolver.resolve(HOST));
        assert!(at_once.is_some(), "after lookup {lookups}");
    }
}

/// DNS rebinding: the first lookup returns a public address, and the next lookup returns a private one.
#[tokio::test]
async fn a_host_that_moves_to_a_private_address_is_refused() {
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
        "the public address is not kept"
    );
}

/// If the reply over UDP is truncated, the same query over TCP gets the whole reply.
#[tokio::test]
async fn a_truncated_reply_is_followed_by_a_query_over_tcp() {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1)], 60);
    dns.fault(Fault::Truncated);
    assert_eq!(resolver(&dns).resolve(HOST).await.unwrap().addrs(), [ip(1)]);
}

#[tokio::test]
async fn a_failing_family_does_not_affect_the_other() {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1), V6], 60);
    dns.fault_for(RecordType::AAAA, Fault::ServFail);
    assert_eq!(resolver(&dns).resolve(HOST).await.unwrap().addrs(), [ip(1)]);
    dns.fault_for(RecordType::AAAA, Fault::None);
    dns.fault_for(RecordType::A, Fault::ServFail);
    assert_eq!(resolver(&dns).resolve(HOST).await.unwrap().addrs(), [V6]);
}

#[tokio::test]
async fn nxdomain_and_nodata_are_different_errors() {
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

/// For a local record, dnsmasq has an A record and an empty AAAA reply without an SOA record. hickory alone would
/// send a query at every connect.
#[tokio::test]
async fn a_missing_family_without_an_soa_is_not_queried_at_every_connect() {
    let world = World::http(2).await;
    world.dns.soa(false);
    let client = world.client();
    for _ in 0..20 {
        get(&client, &world.url()).await.unwrap();
    }
    assert_eq!(world.dns.queries(HOST, RecordType::AAAA), 1);
}

/// The lookup at a silent name server fails within its time limit.
#[tokio::test]
async fn a_lookup_at_a_silent_name_server_times_out() {
    let dns = NameServer::start().await;
    dns.fault(Fault::Silent);
    let builder = Resolver::builder().lookup(asking(&dns));
    let resolver = builder
        .lookup_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    assert!(resolver.resolve(HOST).await.unwrap_err().is_timeout());
}

/// The second server answers if the first is dead.
#[tokio::test]
async fn a_dead_name_server_is_skipped() {
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

/// Starts a name server that sends this reply to each query.
async fn serve(answer: impl Fn(&Message) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let message = Message::from_vec(&buffer[..len]).expect("hickory sends a valid message");
            let _ = socket.send_to(&answer(&message), from).await;
        }
    });
    addr
}

async fn resolve_at(server: SocketAddr) -> Result<Vec<IpAddr>, ResolveError> {
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

fn reply(message: &Message, query: Query, records: Vec<Record>) -> Vec<u8> {
    let mut reply = Message::response(message.metadata.id, message.metadata.op_code);
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

/// Netty `testExpireWithDifferentTTLs`, Armeria `boundByCacheTtl`: the lifetime of an answer is the shortest TTL of
/// its addresses and aliases.
#[tokio::test]
async fn an_answer_lives_as_long_as_its_shortest_record() {
    for shortest in 0..3 {
        let server = serve(move |message| {
            let [from, to] =
                ["EDGE.test.", "a.cdn.test."].map(|name| Name::from_ascii(name).unwrap());
            let alias = Record::from_rdata(from, 60, RData::CNAME(CNAME(to)));
            let mut records = vec![alias, good_record("a.cdn.test."), a_record("a.cdn.test.")];
            records[shortest].ttl = 7;
            reply(message, message.queries[0].clone(), records)
        });
        let lookup = Dns::with_servers([server.await]).unwrap();
        let resolver = Resolver::builder().lookup(lookup).build().unwrap();
        resolver.resolve(HOST).await.unwrap();
        let left = resolver.snapshot().host(HOST).unwrap().life_left.unwrap();
        assert!(left <= Duration::from_secs(7), "{shortest}: {left:?}");
    }
}

/// An alias may come after its target.
#[tokio::test]
async fn aliases_are_followed_in_any_order() {
    let alias = |from: &str, to: &str| {
        let [from, to] = [from, to].map(|name| Name::from_ascii(name).unwrap());
        Record::from_rdata(from, 60, RData::CNAME(CNAME(to)))
    };
    for turn in 0..3 {
        let server = serve(move |message| {
            let mut records = vec![
                alias("EDGE.test.", "a.cdn.test."),
                alias("a.cdn.test.", "b.cdn.test."),
                good_record("b.cdn.test."),
            ];
            records.rotate_left(turn);
            reply(message, message.queries[0].clone(), records)
        });
        assert_eq!(resolve_at(server.await).await.unwrap(), [ip(1)], "{turn}");
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
        let server = serve(move |_| garbage.clone()).await;
        resolve_at(server).await.unwrap_err();
    }
    let cut = serve(|message| {
        let mut reply = reply(
            message,
            message.queries[0].clone(),
            vec![a_record("edge.test.")],
        );
        reply.truncate(reply.len() - 2);
        reply
    });
    resolve_at(cut.await).await.unwrap_err();
}

/// A reply does not count if its question or id differs from the query. Records of another name do not count either.
#[tokio::test]
async fn a_reply_to_another_question_does_not_count() {
    let other_question = serve(|message| {
        let mut query = message.queries[0].clone();
        query.set_name(Name::from_ascii("evil.test.").unwrap());
        reply(message, query, vec![a_record("evil.test.")])
    });
    resolve_at(other_question.await).await.unwrap_err();
    let other_name = serve(|message| {
        reply(
            message,
            message.queries[0].clone(),
            vec![a_record("evil.test.")],
        )
    });
    resolve_at(other_name.await).await.unwrap_err();
    let beside = serve(|message| {
        let records = vec![a_record("evil.test."), good_record("edge.test.")];
        reply(message, message.queries[0].clone(), records)
    })
    .await;
    assert_eq!(resolve_at(beside).await.unwrap(), [ip(1)]);
    let other_id = serve(|message| {
        let mut reply = reply(
            message,
            message.queries[0].clone(),
            vec![a_record("edge.test.")],
        );
        reply[0] ^= 0x55;
        reply
    });
    resolve_at(other_id.await).await.unwrap_err();
}

/// Thousands of records over TCP are cut to 64 addresses. No DNS message can hold 10 000 records, so that lookup may
/// also fail.
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

/// `System` calls `getaddrinfo` directly, and the service is hyper-util's resolver. An IP literal needs no network.
#[tokio::test]
async fn the_system_and_a_service_are_lookups() {
    let by_service = FromService::new(hyper_util::client::legacy::connect::dns::GaiResolver::new());
    let by_system = System::new();
    let lookups: [&dyn Lookup; 2] = [&by_service, &by_system];
    for lookup in lookups {
        let answer = lookup.lookup("127.0.0.9").await.unwrap();
        assert_eq!(answer, Answer::new([IpAddr::from([127, 0, 0, 9])]));
    }
}

/// The service is a resolver of its own, behind another resolver.
#[tokio::test]
async fn the_addresses_of_a_service_reach_the_caller() {
    let dns = NameServer::start().await;
    dns.set(HOST, &[ip(1), ip(2)], 60);
    let inner = resolver(&dns);
    let outer = Resolver::builder()
        .lookup(FromService::new(inner))
        .build()
        .unwrap();
    let mut addrs = outer.resolve(HOST).await.unwrap().addrs().to_vec();
    addrs.sort();
    assert_eq!(addrs, [ip(1), ip(2)]);
}
