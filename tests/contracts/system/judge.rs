//! Compares what sidestep returned with what getaddrinfo returned.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::system::ask::{LookupResult, Method};
use crate::system::scenario::{Answer, Question};

/// How a result of sidestep compares with getaddrinfo's.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) enum Verdict {
    Equal,
    /// The result differs for a listed reason.
    Better(String),
    Wrong,
}

/// Judges one result.
pub(crate) fn judge(
    question: &Question,
    theirs: &LookupResult,
    ours: &LookupResult,
    method: Method,
) -> Verdict {
    let is_slow = question.within.is_some_and(|limit| ours.millis > limit);
    if ours.answer == Answer::Hung || (method == Method::Dns && is_slow) {
        return Verdict::Wrong;
    }
    if ours.answer == theirs.answer {
        return match &ours.first {
            Some(first) if *first != ours.answer => judge_first(first, &theirs.answer),
            _ => Verdict::Equal,
        };
    }
    let listed = question
        .better
        .iter()
        .find(|(answer, _)| *answer == ours.answer);
    let reason = listed.map(|(_, reason)| reason.as_str());
    let reason = reason.or_else(|| failure_is_better(question, theirs, ours));
    let reason = reason.or_else(|| always_better(question, theirs, ours, method));
    reason.map_or(Verdict::Wrong, |reason| Verdict::Better(reason.to_owned()))
}

fn failure_is_better<'a>(
    question: &'a Question,
    theirs: &LookupResult,
    ours: &LookupResult,
) -> Option<&'a str> {
    let is_failure = theirs.answer == Answer::Negative && ours.answer == Answer::Failed;
    question.failure_is_better.as_deref().filter(|_| is_failure)
}

/// Returns the reason of a difference that is listed for every configuration.
fn always_better(
    question: &Question,
    theirs: &LookupResult,
    ours: &LookupResult,
    method: Method,
) -> Option<&'static str> {
    let name = question.name.trim_end_matches('.').to_ascii_lowercase();
    let is_localhost = name == "localhost" || name.ends_with(".localhost");
    if is_localhost && ours.answer == Answer::addrs(&["127.0.0.1", "::1"]) {
        return Some("localhost is loopback in both families without a lookup (RFC 6761, 6.3)");
    }
    let is_reserved = name.ends_with("invalid") || name.ends_with(".onion");
    if is_reserved && ours.answer == Answer::Negative {
        return Some("a reserved name is never sent to a name server (RFC 6761, RFC 7686)");
    }
    if theirs.answer == Answer::Hung {
        return Some("getaddrinfo does not end");
    }
    if canonical(&theirs.answer) == ours.answer {
        return Some("an IPv4-mapped address is the IPv4 address that it maps");
    }
    let is_no_data = theirs.error.starts_with("No address associated");
    let uses_the_system = method == Method::System || ours.is_for_system;
    if uses_the_system && is_no_data && ours.answer == Answer::Failed {
        return Some("EAI_NODATA may stand for a failure, so System takes it for one");
    }
    (method == Method::Dns).then(|| left_to_the_system(&name, ours))?
}

/// Returns why `Dns` alone is not compared: `Resolver::new()` asks the system because of this configuration or name.
fn left_to_the_system(name: &str, ours: &LookupResult) -> Option<&'static str> {
    let has_addrs = matches!(ours.answer, Answer::Addrs(_));
    let last = name.rsplit('.').next().unwrap_or_default();
    match () {
        () if ours.is_for_system => Some("by default the system resolves names here"),
        () if ours.is_also_for_system && !has_addrs => Some("by default the system is tried next"),
        () if last.starts_with(|first: char| first.is_ascii_digit()) => {
            Some("by default the system reads addresses in older notations")
        }
        () => None,
    }
}

/// Returns whether a result lacks exactly one family, whose reply a busy machine may have delayed.
pub(crate) fn lacks_a_family(theirs: &LookupResult, ours: &LookupResult) -> bool {
    let (Answer::Addrs(whole), Answer::Addrs(part)) = (&theirs.answer, &ours.answer) else {
        return false;
    };
    part != whole && (*part == ipv4_of(whole) || *part == whole - &ipv4_of(whole))
}

fn canonical(answer: &Answer) -> Answer {
    match answer {
        Answer::Addrs(addrs) => Answer::Addrs(addrs.iter().map(IpAddr::to_canonical).collect()),
        other => other.clone(),
    }
}

/// Judges the first of two answers, which must be one whole family of the second.
fn judge_first(first: &Answer, whole: &Answer) -> Verdict {
    let (Answer::Addrs(first), Answer::Addrs(whole)) = (first, whole) else {
        return Verdict::Wrong;
    };
    if *first == ipv4_of(whole) || *first == whole - &ipv4_of(whole) {
        let reason = "one family was served first and the late half joined the answer";
        return Verdict::Better(reason.to_owned());
    }
    Verdict::Wrong
}

fn ipv4_of(addrs: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    addrs.iter().copied().filter(IpAddr::is_ipv4).collect()
}

#[test]
fn a_difference_that_is_not_listed_is_wrong() {
    let mut question = Question::new("web.a.test");
    let theirs = LookupResult::new(Answer::addrs(&["192.0.2.1"]), "");
    let ours = LookupResult::new(Answer::addrs(&["192.0.2.1", "2001:db8::1"]), "");
    assert_eq!(
        judge(&question, &theirs, &theirs, Method::Dns),
        Verdict::Equal
    );
    assert_eq!(
        judge(&question, &theirs, &ours, Method::Dns),
        Verdict::Wrong
    );
    question
        .better
        .push((ours.answer.clone(), "listed".to_owned()));
    assert_eq!(
        judge(&question, &theirs, &ours, Method::Dns),
        Verdict::Better("listed".to_owned())
    );
}

#[test]
fn a_first_answer_is_one_whole_family() {
    let question = Question::new("web.a.test");
    let whole = Answer::addrs(&["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    let theirs = LookupResult::new(whole, "");
    let first = |addrs: &[&str]| {
        let first = Some(Answer::addrs(addrs));
        judge(
            &question,
            &theirs,
            &LookupResult {
                first,
                ..theirs.clone()
            },
            Method::Dns,
        )
    };
    assert!(matches!(
        first(&["192.0.2.1", "192.0.2.2"]),
        Verdict::Better(_)
    ));
    assert!(matches!(first(&["2001:db8::1"]), Verdict::Better(_)));
    assert_eq!(first(&["192.0.2.1"]), Verdict::Wrong);
}
