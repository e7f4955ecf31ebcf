//! The zone of a scripted name server and its faults, parsed from text.
//!
//! One line is one record, `web.a.test A 192.0.2.1`, `*.corp.test AAAA 2001:db8::9`,
//! `www.a.test CNAME web.a.test`, `empty.a.test NODATA`; or one fault,
//! `! web.a.test AAAA servfail`. `! * * silent` is a fault of the whole name server.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, NS, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// Records and faults of one scripted name server.
#[derive(Debug, Default)]
pub(crate) struct Zone {
    records: BTreeMap<String, Vec<Rdata>>,
    faults: Vec<Rule>,
    spent: Mutex<Vec<usize>>,
}

#[derive(Clone, Debug)]
enum Rdata {
    Addr(IpAddr),
    Alias(String),
    /// The name exists and has no addresses.
    Nothing,
}

/// One fault and the queries that it applies to.
#[derive(Clone, Debug)]
struct Rule {
    name: String,
    rtype: Option<RecordType>,
    fault: Fault,
    delay: Duration,
    /// How many queries the fault applies to.
    times: usize,
}

/// What a name server does instead of answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The answer is right, and only its delay is a fault.
    None,
    Silent,
    /// Replies with this code and nothing else.
    Code(ResponseCode),
    /// Replies with this code to a query with EDNS, and answers a query without.
    EdnsCode(ResponseCode),
    /// Drops a query with EDNS, and answers a query without.
    EdnsSilent,
    /// NXDOMAIN without an SOA record.
    BareNxDomain,
    /// NODATA with an SOA record.
    NoData,
    /// NOERROR without records, AA and RA.
    Lame,
    /// NOERROR without records, with RA.
    BareNoData,
    /// Refers to the root servers.
    Referral,
    /// The reply over UDP is cut off and has no records.
    Truncated,
    /// The reply over UDP is cut off after the first record.
    Partial,
    /// The question of the reply is another name.
    WrongQuestion,
    /// The transaction id of the reply is another one.
    WrongId,
    /// The records of the reply belong to another name.
    OtherName,
    /// The reply has the first alias and not its target.
    AliasOnly,
    /// Two aliases point at each other.
    Loop,
    /// The name server is authoritative and does not recurse: AA without RA.
    Authoritative,
    /// The reply has neither AA nor RA.
    NoRecursion,
    /// The reply is no DNS message.
    Garbage,
}

const FAULTS: &[(&str, Fault)] = &[
    ("right", Fault::None),
    ("silent", Fault::Silent),
    ("servfail", Fault::Code(ResponseCode::ServFail)),
    ("refused", Fault::Code(ResponseCode::Refused)),
    ("notimp", Fault::Code(ResponseCode::NotImp)),
    ("formerr", Fault::Code(ResponseCode::FormErr)),
    ("notauth", Fault::Code(ResponseCode::NotAuth)),
    ("edns-formerr", Fault::EdnsCode(ResponseCode::FormErr)),
    ("edns-notimp", Fault::EdnsCode(ResponseCode::NotImp)),
    ("edns-servfail", Fault::EdnsCode(ResponseCode::ServFail)),
    ("edns-silent", Fault::EdnsSilent),
    ("nxdomain", Fault::Code(ResponseCode::NXDomain)),
    ("bare-nxdomain", Fault::BareNxDomain),
    ("nodata", Fault::NoData),
    ("bare-nodata", Fault::BareNoData),
    ("lame", Fault::Lame),
    ("referral", Fault::Referral),
    ("truncated", Fault::Truncated),
    ("partial", Fault::Partial),
    ("wrong-question", Fault::WrongQuestion),
    ("wrong-id", Fault::WrongId),
    ("other-name", Fault::OtherName),
    ("alias-only", Fault::AliasOnly),
    ("loop", Fault::Loop),
    ("authoritative", Fault::Authoritative),
    ("no-recursion", Fault::NoRecursion),
    ("garbage", Fault::Garbage),
];

/// A reply and how long it is delayed.
pub(crate) type Reply = (Vec<u8>, Duration);

impl Zone {
    /// Parses the text of a zone.
    pub(crate) fn parse(text: &str) -> Self {
        let mut zone = Self::default();
        for line in text.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                [] => {}
                ["!", name, rtype, ref faults @ ..] => zone.faults.push(rule(name, rtype, faults)),
                [name, "NODATA"] => zone.add(name, Rdata::Nothing),
                [name, "CNAME", to] => zone.add(name, Rdata::Alias(key(to))),
                [name, "A" | "AAAA", ip] => zone.add(name, Rdata::Addr(ip.parse().unwrap())),
                _ => panic!("{line:?} is not a line of a zone"),
            }
        }
        zone.spent = Mutex::new(vec![0; zone.faults.len()]);
        zone
    }

    fn add(&mut self, name: &str, rdata: Rdata) {
        self.records.entry(key(name)).or_default().push(rdata);
    }

    /// Resets the counters of faults that apply to a limited number of queries.
    pub(crate) fn reset(&self) {
        self.spent.lock().unwrap().fill(0);
    }

    /// Returns the reply to a query, or nothing if the name server keeps silent.
    pub(crate) fn reply(&self, query: &Message, over_tcp: bool) -> Option<Reply> {
        let question = query.queries.first()?;
        let (fault, delay) = self.fault(question);
        let mut reply = self.answer(query, question);
        let edns = query.edns.is_some();
        match fault {
            Fault::Silent => return None,
            Fault::EdnsSilent if edns => return None,
            Fault::EdnsCode(code) if edns => reply = bare(query, code),
            Fault::Code(ResponseCode::NXDomain) => {
                reply = bare(query, ResponseCode::NXDomain);
                reply.add_authority(soa(question.name()));
            }
            Fault::Code(code) => reply = bare(query, code),
            Fault::BareNxDomain => reply = bare(query, ResponseCode::NXDomain),
            Fault::NoData => {
                reply = bare(query, ResponseCode::NoError);
                reply.add_authority(soa(question.name()));
            }
            Fault::BareNoData => reply = bare(query, ResponseCode::NoError),
            Fault::Garbage => return Some((b"\x07garbage".to_vec(), delay)),
            _ => apply_fault(&mut reply, fault, question, over_tcp),
        }
        let mut bytes = reply.to_vec().unwrap();
        let max_len = usize::from(query.edns.as_ref().map_or(512, Edns::max_payload)).max(512);
        if !over_tcp && bytes.len() > max_len {
            // A name server sends only the records that fit.
            while bytes.len() > max_len {
                reply.metadata.truncation = true;
                reply.answers.pop();
                bytes = reply.to_vec().unwrap();
            }
        }
        Some((bytes, delay))
    }

    fn fault(&self, question: &Query) -> (Fault, Duration) {
        let name = text(question.name());
        let mut spent = self.spent.lock().unwrap();
        for (rule, spent) in self.faults.iter().zip(spent.iter_mut()) {
            if rule.covers(&name, question.query_type()) && *spent < rule.times {
                *spent += 1;
                return (rule.fault, rule.delay);
            }
        }
        (Fault::None, Duration::ZERO)
    }

    fn answer(&self, query: &Message, question: &Query) -> Message {
        let mut reply = bare(query, ResponseCode::NoError);
        let (mut owner, mut name) = (question.name().clone(), text(question.name()));
        for _ in 0..32 {
            let Some(records) = self.find(&name) else {
                reply.metadata.response_code = ResponseCode::NXDomain;
                break;
            };
            let Some(target) = records.iter().find_map(Rdata::alias) else {
                let addrs = records.iter().filter_map(Rdata::addr);
                let records = addrs.map(|ip| Record::from_rdata(owner.clone(), TTL, ip.into()));
                let of_type = |record: &Record| record.record_type() == question.query_type();
                reply.add_answers(records.filter(of_type));
                break;
            };
            let to = absolute(target);
            let alias = RData::CNAME(CNAME(to.clone()));
            reply.add_answer(Record::from_rdata(owner, TTL, alias));
            (owner, name) = (to, target.to_owned());
        }
        let is_addr = |record: &Record| record.record_type() == question.query_type();
        if !reply.answers.iter().any(is_addr) {
            reply.add_authority(soa(&owner));
        }
        reply
    }

    /// Finds the records of a name, those of a wildcard included (RFC 4592).
    fn find(&self, name: &str) -> Option<&[Rdata]> {
        if let Some(records) = self.records.get(name) {
            return Some(records);
        }
        let below = format!(".{name}");
        if self.records.keys().any(|key| key.ends_with(&below)) {
            return Some(&[]);
        }
        let (_, parent) = name.split_once('.')?;
        if let Some(records) = self.records.get(&format!("*.{parent}")) {
            return Some(records);
        }
        if self.records.contains_key(parent) {
            return None;
        }
        // A wildcard covers names of several labels too.
        let found = self.find_wildcard(parent);
        found.map(Vec::as_slice)
    }

    fn find_wildcard(&self, name: &str) -> Option<&Vec<Rdata>> {
        let below = format!(".{name}");
        if self.records.keys().any(|key| key.ends_with(&below)) {
            return None;
        }
        let (_, parent) = name.split_once('.')?;
        let wildcard = self.records.get(&format!("*.{parent}"));
        wildcard.or_else(|| self.find_wildcard(parent))
    }

    /// Returns the addresses that the zone has for a name, without its faults. `None` is NXDOMAIN.
    pub(crate) fn addrs(&self, name: &str) -> Option<Vec<IpAddr>> {
        let mut name = key(name);
        for _ in 0..17 {
            let records = self.find(&name)?;
            let Some(target) = records.iter().find_map(Rdata::alias) else {
                return Some(records.iter().filter_map(Rdata::addr).collect());
            };
            name = target.to_owned();
        }
        None
    }
}

impl Rdata {
    fn addr(&self) -> Option<IpAddr> {
        match self {
            Self::Addr(ip) => Some(*ip),
            Self::Alias(_) | Self::Nothing => None,
        }
    }

    fn alias(&self) -> Option<&str> {
        match self {
            Self::Alias(to) => Some(to),
            Self::Addr(_) | Self::Nothing => None,
        }
    }
}

impl Rule {
    fn covers(&self, name: &str, rtype: RecordType) -> bool {
        let named = match self.name.strip_prefix('*') {
            Some(suffix) => name.ends_with(suffix),
            None => name == self.name,
        };
        named && self.rtype.is_none_or(|only| only == rtype)
    }
}

fn rule(name: &str, rtype: &str, words: &[&str]) -> Rule {
    let mut rule = Rule {
        name: key(name),
        rtype: (rtype != "*").then(|| rtype.parse().unwrap()),
        fault: Fault::None,
        delay: Duration::ZERO,
        times: usize::MAX,
    };
    for word in words {
        if let Some(millis) = word.strip_prefix("late:") {
            rule.delay = Duration::from_millis(millis.parse().unwrap());
        } else if let Some(times) = word.strip_prefix("times:") {
            rule.times = times.parse().unwrap();
        } else {
            let fault = FAULTS.iter().find(|(known, _)| known == word);
            rule.fault = fault.unwrap_or_else(|| panic!("{word:?} is not a fault")).1;
        }
    }
    rule
}

/// Returns a reply without records, as a recursive name server sends it.
fn bare(query: &Message, code: ResponseCode) -> Message {
    let mut reply = Message::new(
        query.metadata.id,
        MessageType::Response,
        query.metadata.op_code,
    );
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.metadata.response_code = code;
    reply.add_queries(query.queries.iter().cloned());
    if query.edns.is_some() && code != ResponseCode::FormErr && code != ResponseCode::NotImp {
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        reply.set_edns(edns);
    }
    reply
}

fn apply_fault(reply: &mut Message, fault: Fault, question: &Query, over_tcp: bool) {
    let other = || absolute("other.invalid-name.test");
    match fault {
        Fault::Truncated if !over_tcp => {
            reply.metadata.truncation = true;
            reply.answers.clear();
            reply.authorities.clear();
        }
        Fault::Partial if !over_tcp => {
            reply.metadata.truncation = true;
            reply.answers.truncate(1);
        }
        Fault::AliasOnly => {
            reply.answers.truncate(1);
            reply.metadata.response_code = ResponseCode::NoError;
        }
        Fault::WrongQuestion => reply.queries[0] = Query::query(other(), question.query_type()),
        Fault::WrongId => reply.metadata.id ^= 0x5555,
        Fault::OtherName => reply
            .answers
            .iter_mut()
            .for_each(|record| record.name = other()),
        Fault::Loop => {
            let (a, b) = (question.name().clone(), other());
            reply.answers = vec![
                Record::from_rdata(a.clone(), TTL, RData::CNAME(CNAME(b.clone()))),
                Record::from_rdata(b, TTL, RData::CNAME(CNAME(a))),
            ];
            reply.authorities.clear();
            reply.metadata.response_code = ResponseCode::NoError;
        }
        Fault::Referral | Fault::Lame => {
            reply.answers.clear();
            reply.authorities.clear();
            reply.metadata.recursion_available = false;
            reply.metadata.response_code = ResponseCode::NoError;
            if fault == Fault::Referral {
                let root = RData::NS(NS(absolute("a.root-servers.net")));
                reply.add_authority(Record::from_rdata(Name::root(), TTL, root));
            }
        }
        Fault::Authoritative => {
            reply.metadata.authoritative = true;
            reply.metadata.recursion_available = false;
        }
        Fault::NoRecursion => reply.metadata.recursion_available = false,
        _ => {}
    }
}

fn soa(name: &Name) -> Record {
    let zone = if name.num_labels() > 1 {
        name.base_name()
    } else {
        name.clone()
    };
    let soa = SOA::new(zone.clone(), zone.clone(), 1, 60, 60, 60, TTL);
    Record::from_rdata(zone, TTL, RData::SOA(soa))
}

/// The TTL of each record in seconds.
const TTL: u32 = 5;

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn text(name: &Name) -> String {
    key(&name.to_ascii())
}

fn absolute(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    name
}
