//! Tests which replies end a cached answer: only those of a server that can know that a name does not exist.

use std::net::SocketAddr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record, rdata};
use sidestep::Resolver;
use sidestep::lookup::Dns;
use testkit::{Fault, RecordType};

use super::{MS, Stage, addrs, udp_server};

const HOST: &str = "edge.test";

/// A referral, an empty answer, a loop and records of another name say nothing about the name.
#[tokio::test]
async fn a_reply_that_does_not_describe_the_name_ends_no_answer() {
    for fault in [
        Fault::Referral,
        Fault::Lame,
        Fault::AliasLoop,
        Fault::OtherName,
        Fault::ServFail,
    ] {
        let (stage, resolver) = with_an_answer_and_then(fault).await;
        assert_eq!(stage.get(&resolver, HOST).await, stage.right(), "{fault:?}");
    }
}

/// Returns a resolver with an invalidated answer, whose name server now has this fault.
async fn with_an_answer_and_then(fault: Fault) -> (Stage, Resolver) {
    let stage = Stage::new(1).await;
    stage.dns().set(HOST, &[stage.right()], 60);
    let resolver = stage.resolver(|dns| dns, |builder| builder);
    assert_eq!(stage.get(&resolver, HOST).await, stage.right());
    stage.dns().fault(fault);
    resolver.invalidate(HOST);
    (stage, resolver)
}

/// NXDOMAIN and NODATA of an authoritative server end a cached answer.
#[tokio::test]
async fn a_negative_answer_ends_an_answer() {
    for fault in [Fault::KnowsNothing, Fault::Empty] {
        let (_stage, resolver) = with_an_answer_and_then(fault).await;
        let error = resolver.resolve(HOST).await.unwrap_err();
        let is_not_found = fault == Fault::KnowsNothing;
        assert_eq!(error.is_not_found(), is_not_found);
        assert_eq!(error.is_no_records(), !is_not_found);
    }
}

/// Each reply brings one more link; the resolver follows 16 links over all replies.
#[tokio::test]
async fn aliases_in_several_replies_are_followed_to_the_end() {
    let stage = Stage::new(1).await;
    let resolver = stage.resolver(|dns| dns, |builder| builder);
    for (links, first) in [(15, "a0.test"), (17, "b0.test")] {
        let name = |n: usize| format!("{}{n}.test", &first[..1]);
        for n in 0..links {
            stage.dns().alias(&name(n), &name(n + 1), 60);
        }
        // The reply with the last alias holds the address too.
        stage.dns().set(&name(links), &[stage.right()], 7);
        match resolver.resolve(first).await {
            Ok(resolved) => {
                assert_eq!((resolved.addrs(), links), (&[stage.right()][..], 15));
                let left = resolver.snapshot().host(first).unwrap().life_left;
                assert!(left.unwrap().as_secs() <= 7);
            }
            Err(error) => assert!(links == 17 && !error.is_no_records(), "{error}"),
        }
    }
    let queries = |name| stage.dns().queries(name, RecordType::A);
    assert_eq!(queries("b15.test"), 1);
}

#[tokio::test]
async fn an_alias_of_a_missing_name_has_no_records() {
    let stage = Stage::new(1).await;
    stage.dns().alias(HOST, "gone.test", 60);
    let resolver = stage.resolver(|dns| dns, |builder| builder);
    let error = resolver.resolve(HOST).await.unwrap_err();
    assert!(
        error.is_no_records(),
        "a name that is an alias exists: {error}"
    );
    assert!(stage.total() <= 4);
}

/// Starts a name server without EDNS, which replies to a query with EDNS by a header alone.
async fn old_server() -> SocketAddr {
    udp_server(|message| {
        let mut reply = Message::response(message.metadata.id, message.metadata.op_code);
        reply.metadata.recursion_available = true;
        if message.edns.is_some() {
            reply.metadata.response_code = ResponseCode::FormErr;
            return reply;
        }
        let query = message.queries[0].clone();
        if query.query_type() == RecordType::A {
            let addr = RData::A(rdata::A::new(127, 0, 0, 2));
            reply.add_answer(Record::from_rdata(query.name().clone(), 60, addr));
        }
        reply.add_query(query);
        reply
    })
    .await
}

/// A comment in glibc describes such servers: "FORMERR packet do not carry query section".
#[tokio::test]
async fn an_error_without_a_question_is_understood() {
    let lookup = Dns::with_servers([old_server().await]).unwrap();
    let builder = Resolver::builder().lookup(lookup);
    let resolver = builder.lookup_timeout(900 * MS).build().unwrap();
    let expected: [std::net::IpAddr; 1] = [[127, 0, 0, 2].into()];
    assert_eq!(addrs(&resolver, HOST).await, expected);
}
