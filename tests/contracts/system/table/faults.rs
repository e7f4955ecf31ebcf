//! What a failure of one candidate or of one family does to the walk.

use crate::system::scenario::{Answer, NS1, Scenario};

const HALF: &str = "half of an answer is kept although the other family failed";
const HIDDEN: &str = "the failure of a candidate is not hidden by NXDOMAIN or NODATA of another";

/// What a name server does that fails, or that cannot know the name.
const FAULTS: [&str; 8] = [
    "servfail",
    "refused",
    "notimp",
    "formerr",
    "silent",
    "lame",
    "referral",
    "bare-nodata",
];

pub(super) fn scenarios() -> Vec<Scenario> {
    [candidates(), families()].concat()
}

/// A failure may be returned where a candidate failed, and not where the server said no.
fn failed(fault: &str) -> Vec<(Answer, &'static str)> {
    let answers = ["nxdomain", "bare-nxdomain", "bare-nodata"];
    let is_failure = !answers.contains(&fault);
    is_failure
        .then_some((Answer::Failed, HIDDEN))
        .into_iter()
        .collect()
}

/// Each fault at the first candidate, for names with few and with enough dots.
fn candidates() -> Vec<Scenario> {
    let faults = FAULTS.iter().chain(&["bare-nxdomain"]);
    let new = |fault: &&str| {
        let resolv = "nameserver 127.0.0.53\nsearch a.test b.test\noptions timeout:1 attempts:1\n";
        Scenario::new(format!("the first candidate is {fault}")).resolv(resolv).server(
            NS1,
            format!(
                "! web.a.test * {fault}\n! none.a.test * {fault}\n! api.example.com * {fault}\n! no.example.com * {fault}\n\
                 web.a.test A 127.0.0.2\nweb.b.test A 127.0.0.3\napi.example.com.a.test A 127.0.0.4"
            ),
        )
        .ask("web")
        .or_all(&failed(fault))
        .ask("none")
        .or_all(&failed(fault))
        .ask("api.example.com")
        .ask("no.example.com")
        .or_all(&failed(fault))
    };
    let mut all: Vec<_> = faults.map(new).collect();
    all.push(
        Scenario::new("the last candidate fails after NXDOMAIN")
            .resolv("nameserver 127.0.0.53\nsearch a.test b.test\noptions timeout:1 attempts:1\n")
            .server(
                NS1,
                "! web.b.test * servfail\n! www * servfail\nwww.a.test NODATA",
            )
            .ask("web")
            .or(Answer::Failed, HIDDEN)
            .ask("www")
            .or(Answer::Failed, HIDDEN),
    );
    all.push(
        Scenario::new("a candidate fails that comes after a NODATA")
            .resolv("nameserver 127.0.0.53\nsearch a.test b.test\noptions timeout:1 attempts:1\n")
            .server(
                NS1,
                "web.a.test NODATA\n! web.b.test * servfail\nweb A 127.0.0.7",
            )
            .ask("web"),
    );
    all
}

/// Each fault in one family of the only candidate.
fn families() -> Vec<Scenario> {
    let faults = FAULTS.iter().chain(&["nxdomain"]);
    let new = |(fault, family): (&str, &str)| {
        let scenario = Scenario::new(format!("{family} of a name is {fault}"));
        let resolv = "nameserver 127.0.0.53\nsearch corp.test\noptions timeout:1 attempts:1\n";
        let good = if family == "A" {
            "2001:db8::2"
        } else {
            "127.0.0.2"
        };
        scenario
            .resolv(resolv)
            .server(
                NS1,
                format!(
                    "! web.corp.test {family} {fault}\n! one.corp.test {family} {fault}\n! none.corp.test {family} {fault}\n\
                     web.corp.test A 127.0.0.2\nweb.corp.test AAAA 2001:db8::2\n\
                     one.corp.test {} {good}\nnone.corp.test NODATA",
                    if family == "A" { "AAAA" } else { "A" },
                ),
            )
            .ask("web.corp.test")
            .or(Answer::addrs(&[good]), HALF)
            .ask("web")
            .or(Answer::addrs(&[good]), HALF)
            .ask("one.corp.test")
            .or(Answer::addrs(&[good]), HALF)
            .ask("none.corp.test")
            .or_all(&failed(fault))
    };
    let pairs = faults.flat_map(|fault| [(*fault, "A"), (*fault, "AAAA")]);
    let late = |(family, millis): (&str, u32)| {
        Scenario::new(format!("{family} is late by {millis} ms"))
            .resolv("nameserver 127.0.0.53\noptions timeout:2 attempts:1\n")
            .server(
                NS1,
                format!("! * {family} late:{millis}\nweb.corp.test A 127.0.0.2\nweb.corp.test AAAA 2001:db8::2"),
            )
            .ask("web.corp.test")
            .late_half()
    };
    let lates = [("A", 30), ("AAAA", 30), ("A", 700), ("AAAA", 700)]
        .into_iter()
        .map(late);
    pairs.map(new).chain(lates).collect()
}
