use cpu_time::ThreadTime;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, NS, SOA};
use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Name {
    Name::from_labels(
        text.split('.')
            .filter(|it| !it.is_empty())
            .map(str::as_bytes),
    )
    .unwrap()
}

const ASKED: &str = "edge.test";

/// Returns a recursive server's reply to the question for A records of `edge.test`.
fn reply(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> Message {
    let mut reply = Message::response(1, OpCode::Query);
    reply.metadata.response_code = code;
    reply.metadata.recursion_available = true;
    reply.add_query(Query::query(name(ASKED), RecordType::A));
    reply.add_answers(answers);
    reply.add_authorities(authorities);
    reply
}

fn a(owner: &str, last: u8, ttl: u32) -> Record {
    Record::from_rdata(name(owner), ttl, RData::A(A::new(192, 0, 2, last)))
}

fn alias(owner: &str, target: &str, ttl: u32) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
}

fn soa(ttl: u32, minimum: u32) -> Record {
    let soa = SOA::new(name("test"), name("test"), 1, 60, 60, 60, minimum);
    Record::from_rdata(name("test"), ttl, RData::SOA(soa))
}

fn ns(owner: &str) -> Record {
    Record::from_rdata(name(owner), 60, RData::NS(NS(name("ns.test"))))
}

fn meaning(reply: &Message) -> Result<Meaning, Fault> {
    read(reply, &name(ASKED), RecordType::A, 0)
}

fn fault(reply: &Message) -> String {
    format!("{:?}", meaning(reply).unwrap_err())
}

use ResponseCode::{NXDomain, NoError};

fn addresses(last: &[u8], ttl: u32) -> Meaning {
    let addrs = last.iter().map(|&last| [192, 0, 2, last].into()).collect();
    Meaning::Addresses { addrs, ttl }
}

#[test]
fn addresses_live_as_long_as_their_shortest_record() {
    let both = reply(NoError, vec![a("EDGE.test", 1, 60), a(ASKED, 2, 7)], vec![]);
    assert_eq!(meaning(&both).unwrap(), addresses(&[1, 2], 7));
    let aliased = vec![alias(ASKED, "cdn.test", 3), a("cdn.test", 1, 60)];
    let aliased = reply(NoError, aliased, vec![]);
    assert_eq!(meaning(&aliased).unwrap(), addresses(&[1], 3));
}

#[test]
fn records_of_other_names_types_and_classes_are_left_out() {
    let mut chaos = a(ASKED, 9, 60);
    chaos.dns_class = DNSClass::CH;
    let v6 = RData::AAAA(AAAA("2001:db8::1".parse().unwrap()));
    let v6 = Record::from_rdata(name(ASKED), 1, v6);
    let answers = vec![a("evil.test", 66, 60), chaos, v6, a(ASKED, 1, 60)];
    assert_eq!(
        meaning(&reply(NoError, answers, vec![])).unwrap(),
        addresses(&[1], 60)
    );
    let others = reply(NoError, vec![a("evil.test", 66, 60)], vec![]);
    assert_eq!(fault(&others), "OtherName");
}

/// The TTL is the lesser of the SOA record's TTL and its MINIMUM field (RFC 2308, section 5).
#[test]
fn negative_answers_carry_their_ttl() {
    let secs = |secs| Some(Duration::from_secs(secs));
    let nx = reply(NXDomain, vec![], vec![soa(60, 7)]);
    assert_eq!(meaning(&nx).unwrap(), Meaning::NotFound(secs(7)));
    let nodata = reply(NoError, vec![], vec![soa(5, 60)]);
    assert_eq!(meaning(&nodata).unwrap(), Meaning::NoRecords(secs(5)));
    let bare = reply(NoError, vec![], vec![]);
    assert_eq!(meaning(&bare).unwrap(), Meaning::NoRecords(None), "dnsmasq");
    let of_alias = reply(
        NXDomain,
        vec![alias(ASKED, "gone.test", 3)],
        vec![soa(60, 60)],
    );
    assert_eq!(meaning(&of_alias).unwrap(), Meaning::NotFound(secs(3)));
    let of_alias = reply(NoError, vec![alias(ASKED, "v6.test", 60)], vec![soa(9, 60)]);
    assert_eq!(
        meaning(&of_alias).unwrap(),
        Meaning::AliasToNothing(secs(9))
    );
}

/// Only a server that recurses or is authoritative can say that a name does not exist.
#[test]
fn a_server_that_can_not_know_says_nothing() {
    for code in [NoError, NXDomain] {
        let mut lame = reply(code, vec![], vec![soa(60, 60)]);
        lame.metadata.recursion_available = false;
        assert_eq!(fault(&lame), "Lame", "{code}");
        lame.metadata.authoritative = true;
        meaning(&lame).unwrap();
    }
    for recursion_available in [false, true] {
        let mut referral = reply(NoError, vec![], vec![ns("test")]);
        referral.metadata.recursion_available = recursion_available;
        assert_eq!(fault(&referral), "Referral");
    }
}

#[test]
fn codes_and_other_questions_are_faults() {
    for code in [
        ResponseCode::FormErr,
        ResponseCode::ServFail,
        ResponseCode::NotImp,
        ResponseCode::Refused,
        ResponseCode::NotAuth,
    ] {
        let error = reply(code, vec![a(ASKED, 1, 60)], vec![]);
        assert_eq!(fault(&error), format!("Code({code:?})"));
    }
    let mut other = reply(NoError, vec![a(ASKED, 1, 60)], vec![]);
    other.queries[0].set_name(name("evil.test"));
    assert_eq!(fault(&other), "OtherQuestion");
    other.queries.clear();
    assert_eq!(fault(&other), "OtherQuestion");
    other.metadata.response_code = ResponseCode::FormErr;
    assert_eq!(
        fault(&other),
        "Code(FormErr)",
        "it may leave the question out"
    );
}

/// If a reply lacks the target of its aliases, the meaning has the target and the number of aliases.
#[test]
fn an_alias_without_an_end_is_to_be_asked_for() {
    let open = vec![alias("b.test", "c.test", 60), alias(ASKED, "b.test", 5)];
    let open = reply(NoError, open, vec![]);
    let (to, links, ttl) = (name("c.test"), 2, 5);
    assert_eq!(meaning(&open).unwrap(), Meaning::Alias { to, links, ttl });
}

#[test]
fn loops_and_endless_chains_are_faults() {
    let itself = reply(NoError, vec![alias(ASKED, ASKED, 60)], vec![]);
    assert_eq!(fault(&itself), "AliasLoop");
    let pair = vec![alias(ASKED, "b.test", 60), alias("b.test", ASKED, 60)];
    assert_eq!(fault(&reply(NoError, pair, vec![])), "AliasLoop");
    let chain = |links: usize| {
        let owner = |n: usize| {
            if n == 0 {
                ASKED.to_owned()
            } else {
                format!("n{n}.test")
            }
        };
        let links_of = (0..links).map(|n| alias(&owner(n), &owner(n + 1), 60));
        let end = a(&owner(links), 1, 60);
        reply(NoError, links_of.chain([end]).collect(), vec![])
    };
    assert_eq!(meaning(&chain(MAX_LINKS)).unwrap(), addresses(&[1], 60));
    assert_eq!(fault(&chain(MAX_LINKS + 1)), "AliasChain");
    let followed = read(&chain(2), &name(ASKED), RecordType::A, MAX_LINKS - 1);
    assert!(
        matches!(followed, Err(Fault::AliasChain)),
        "over all replies"
    );
}

#[test]
fn no_more_addresses_are_read_than_are_kept() {
    let many = (0..1_000_u16)
        .map(|n| a(ASKED, n.to_be_bytes()[1], 60))
        .collect();
    let Meaning::Addresses { addrs, .. } = meaning(&reply(NoError, many, vec![])).unwrap() else {
        panic!("they are addresses");
    };
    assert_eq!(addrs.len(), MAX_ADDRS);
}

/// 2 800 aliases of one name held a thread for 0.36 s (issue 11).
///
/// A debug build takes ten times as long as a release build.
#[test]
fn a_whole_message_of_aliases_takes_linear_time() {
    let of_one = (0..2_800)
        .map(|n| alias(ASKED, &format!("n{n}.test"), 60))
        .collect();
    let backwards = (0..2_800)
        .rev()
        .map(|n| alias(&format!("n{n}.test"), &format!("n{}.test", n + 1), 60))
        .chain([alias(ASKED, "n0.test", 60)])
        .collect();
    for answers in [of_one, backwards] {
        let reply = reply(NoError, answers, vec![]);
        let took = |_| {
            let began = ThreadTime::now();
            let _ = meaning(&reply);
            began.elapsed()
        };
        // The processor time of the best of several tries counts, because other threads use the same caches.
        let took = (0..10).map(took).min().unwrap();
        assert!(took < Duration::from_millis(10), "{took:?}");
    }
}

fn record() -> impl Strategy<Value = Record> {
    let names = prop::sample::select(vec![ASKED, "b.test", "c.test", "d.test"]);
    (names.clone(), names, 0_u8..4, 0_u32..100).prop_map(|(owner, target, kind, ttl)| match kind {
        0 => a(owner, 1, ttl),
        1 => soa(ttl, ttl),
        2 => ns(owner),
        _ => alias(owner, target, ttl),
    })
}

proptest! {
    /// For any reply, addresses belong to the name or to the end of its aliases. Negative answers come from
    /// servers that recurse or are authoritative. No alias is followed beyond the limit.
    #[test]
    fn a_reply_is_never_over_interpreted(
        answers in prop::collection::vec(record(), 0..8),
        authorities in prop::collection::vec(record(), 0..3),
        (aa, ra) in (any::<bool>(), any::<bool>()),
        code in 0_u16..8,
        links in 0_usize..20,
    ) {
        let mut reply = reply(ResponseCode::from(0, code as u8), answers, authorities);
        reply.metadata.authoritative = aa;
        reply.metadata.recursion_available = ra;
        match read(&reply, &name(ASKED), RecordType::A, links) {
            Ok(Meaning::Addresses { addrs, ttl }) => {
                prop_assert!(!addrs.is_empty() && ttl < 100);
                prop_assert_eq!(reply.response_code, NoError);
            }
            Ok(Meaning::NotFound(_)) => prop_assert!(code == 3 && (aa || ra)),
            Ok(Meaning::NoRecords(_) | Meaning::AliasToNothing(_)) => {
                prop_assert!(code == 0 && (aa || ra));
            }
            Ok(Meaning::Alias { to, links: more, .. }) => {
                prop_assert!(to != name(ASKED) && more > 0 && links + more <= MAX_LINKS);
            }
            Err(_) => {}
        }
    }
}

/// The records of a message, each with kind, owner and target, and how often the list repeats.
#[derive(Debug, bolero::TypeGenerator)]
struct Shape {
    records: Vec<(u8, u8, u8)>,
    times: u8,
    flags: u8,
    code: u8,
}

impl Shape {
    fn message(&self) -> Message {
        let name_of = |n: u8| {
            if n == 0 {
                ASKED.to_owned()
            } else {
                format!("n{n}.test")
            }
        };
        let record = |&(kind, owner, target): &(u8, u8, u8)| match kind % 5 {
            0 => a(&name_of(owner), target, 60),
            1 => soa(60, target.into()),
            2 => ns(&name_of(owner)),
            _ => alias(&name_of(owner), &name_of(target), 60),
        };
        let records: Vec<_> = self.records.iter().map(record).collect();
        // 64 KiB hold no more than 5 000 records.
        let all = records.iter().cycle().cloned();
        let all = all.take((records.len() * usize::from(self.times)).min(5_000));
        let mut reply = reply(ResponseCode::from(0, self.code % 8), all.collect(), records);
        reply.metadata.authoritative = self.flags & 1 != 0;
        reply.metadata.recursion_available = self.flags & 2 != 0;
        reply
    }
}

/// `cargo bolero test lookup::dns::reply::tests::any_reply_is_read_in_its_time` runs this test as a fuzzer.
#[test]
fn any_reply_is_read_in_its_time() {
    // A debug build is about ten times slower.
    let budget = Duration::from_millis(if cfg!(debug_assertions) { 20 } else { 1 });
    bolero::check!()
        .with_type::<Shape>()
        .with_iterations(300)
        .with_test_time(Duration::from_secs(3))
        .for_each(|shape| {
            let reply = shape.message();
            let took = || {
                let began = ThreadTime::now();
                let _ = meaning(&reply);
                began.elapsed()
            };
            // The processor time of the best of several tries counts, because other threads use the same caches.
            assert!(
                (0..20).any(|_| took() < budget),
                "{} records",
                reply.answers.len()
            );
        });
}
