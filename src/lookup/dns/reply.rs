//! Decides what the reply of a name server means.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::fault::Fault;

/// The meaning of a reply for the name of the query.
///
/// A duration is the time for which the cache may keep a negative answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The name has these addresses.
    Addresses {
        addrs: Vec<IpAddr>,
        /// The shortest TTL of the addresses and of the aliases that lead to them, in seconds.
        ttl: u32,
    },
    /// The name, or the name that its aliases lead to, does not exist (NXDOMAIN).
    NotFound(Option<Duration>),
    /// The name has no addresses (NODATA).
    NoRecords(Option<Duration>),
    /// The name is an alias of a name without addresses.
    AliasToNothing(Option<Duration>),
    /// The name is an alias, and the reply lacks the addresses of its target.
    Alias {
        /// The name to query next.
        to: Name,
        /// The number of aliases that lead to this name.
        links: usize,
        /// The shortest TTL of these aliases, in seconds.
        ttl: u32,
    },
}

/// The maximum number of aliases that one question follows, over all replies.
pub(super) const MAX_LINKS: usize = 16;
/// The maximum number of addresses that are read from one reply.
///
/// An answer keeps fewer addresses, but duplicates are dropped later.
const MAX_ADDRS: usize = 256;

/// Reads a reply to the question for `rtype` records of `name`.
///
/// `links` is the number of aliases that the question has followed before.
///
/// # Errors
///
/// Returns a [`Fault`] if the reply says nothing about the name. Another server's reply may be usable.
pub(super) fn read(
    reply: &Message,
    name: &Name,
    rtype: RecordType,
    links: usize,
) -> Result<Meaning, Fault> {
    check(reply, name, rtype)?;
    let trail = follow(reply, name, links)?;
    if reply.response_code == ResponseCode::NXDomain {
        let ttl = negative_ttl(reply, trail.ttl);
        return answers_for_the_zone(reply).map(|()| Meaning::NotFound(ttl));
    }
    let (addrs, ttl) = addresses(reply, trail.end, rtype, trail.ttl);
    if !addrs.is_empty() {
        return Ok(Meaning::Addresses { addrs, ttl });
    }
    without_addresses(reply, name, &trail)
}

/// Checks that the reply belongs to the question and has no error code.
fn check(reply: &Message, name: &Name, rtype: RecordType) -> Result<(), Fault> {
    let is_ours = match &reply.queries[..] {
        [query] => {
            query.name() == name
                && query.query_type() == rtype
                && query.query_class() == DNSClass::IN
        }
        _ => false,
    };
    match reply.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        // An error reply may omit the question.
        code if is_ours || reply.queries.is_empty() => return Err(Fault::Code(code)),
        _ => {}
    }
    let is_reply = reply.message_type == MessageType::Response && reply.op_code == OpCode::Query;
    match is_ours && is_reply {
        true => Ok(()),
        false => Err(Fault::OtherQuestion),
    }
}

/// The end of the aliases of a reply, with their number and shortest TTL.
struct Trail<'a> {
    end: &'a Name,
    links: usize,
    ttl: u32,
}

/// Follows the aliases from the name to their end, in any order of the records.
///
/// `follow` takes time linear in the number of records.
fn follow<'a>(reply: &'a Message, name: &'a Name, before: usize) -> Result<Trail<'a>, Fault> {
    let mut trail = Trail {
        end: name,
        links: 0,
        ttl: u32::MAX,
    };
    let aliases = aliases(reply);
    while let Some(&(target, ttl)) = aliases.get(trail.end) {
        trail.links += 1;
        if target == name || trail.links > aliases.len() {
            return Err(Fault::AliasLoop);
        }
        if before + trail.links > MAX_LINKS {
            return Err(Fault::AliasChain);
        }
        trail.end = target;
        trail.ttl = trail.ttl.min(ttl);
    }
    Ok(trail)
}

/// Returns the first alias of each name, with its TTL.
fn aliases(reply: &Message) -> HashMap<&Name, (&Name, u32)> {
    let mut aliases = HashMap::new();
    for record in in_class(&reply.answers) {
        if let RData::CNAME(target) = &record.data {
            aliases
                .entry(&record.name)
                .or_insert((&target.0, record.ttl));
        }
    }
    aliases
}

fn in_class(records: &[Record]) -> impl Iterator<Item = &Record> {
    records
        .iter()
        .filter(|record| record.dns_class == DNSClass::IN)
}

/// Returns the addresses of a name, and the shortest of their TTLs and `ttl`.
fn addresses(reply: &Message, name: &Name, rtype: RecordType, mut ttl: u32) -> (Vec<IpAddr>, u32) {
    let mut addrs = Vec::new();
    for record in in_class(&reply.answers) {
        let addr = match record.data {
            RData::A(addr) if rtype == RecordType::A => IpAddr::V4(addr.0),
            RData::AAAA(addr) if rtype == RecordType::AAAA => IpAddr::V6(addr.0),
            _ => continue,
        };
        if record.name == *name {
            addrs.push(addr);
            ttl = ttl.min(record.ttl);
        }
        if addrs.len() == MAX_ADDRS {
            break;
        }
    }
    (addrs, ttl)
}

/// Reads a NOERROR reply without addresses as NODATA, as an alias to follow, or as a fault.
fn without_addresses(reply: &Message, name: &Name, trail: &Trail<'_>) -> Result<Meaning, Fault> {
    let has = |rtype| in_class(&reply.authorities).any(|record| record.record_type() == rtype);
    let has_soa = has(RecordType::SOA);
    if trail.links > 0 && !has_soa {
        return Ok(Meaning::Alias {
            to: trail.end.clone(),
            links: trail.links,
            ttl: trail.ttl,
        });
    }
    let is_of_others = |record: &Record| record.name != *name;
    if !reply.answers.is_empty() && reply.answers.iter().all(is_of_others) {
        return Err(Fault::OtherName);
    }
    // A NODATA reply without an SOA record has no NS record either (RFC 2308, section 2.2).
    if !has_soa && has(RecordType::NS) && !reply.authoritative {
        return Err(Fault::Referral);
    }
    let ttl = negative_ttl(reply, trail.ttl);
    answers_for_the_zone(reply).map(|()| match trail.links {
        0 => Meaning::NoRecords(ttl),
        _ => Meaning::AliasToNothing(ttl),
    })
}

/// Checks that the server recurses or is authoritative, because no other server can deny a name.
fn answers_for_the_zone(reply: &Message) -> Result<(), Fault> {
    match reply.authoritative || reply.recursion_available {
        true => Ok(()),
        false => Err(Fault::Lame),
    }
}

/// Returns how long the cache may keep a negative answer.
///
/// This is the least of the SOA record's TTL, its MINIMUM field (RFC 2308, section 5) and the TTLs of the aliases.
fn negative_ttl(reply: &Message, of_aliases: u32) -> Option<Duration> {
    let soa = in_class(&reply.authorities).find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    });
    soa.map(|ttl| Duration::from_secs(ttl.min(of_aliases).into()))
}

#[cfg(test)]
mod tests;
