//! Several name servers: order, failover, disagreement, and the options that concern them.

use crate::system::scenario::{Answer, NS1, NS2, NS3, Scenario};

const OVERTAKEN: &str = "the addresses of the next server end the wait for a slow one";
const TWO: &str = "nameserver 127.0.0.53\nnameserver 127.0.0.54\noptions timeout:1 attempts:1\n";
const RIGHT: &str = "web.a.test A 127.0.0.2\nweb.a.test AAAA 2001:db8::2\nv4.a.test A 127.0.0.3\nempty.a.test NODATA";
const OTHER: &str = "web.a.test A 127.0.0.9\nv4.a.test A 127.0.0.9\nno.a.test A 127.0.0.9\nempty.a.test A 127.0.0.9";

pub(super) fn scenarios() -> Vec<Scenario> {
    [failover(), memory(), disagreement(), options()].concat()
}

fn asked(scenario: Scenario) -> Scenario {
    scenario
        .ask("web.a.test")
        .ask("v4.a.test")
        .ask("no.a.test")
        .ask("empty.a.test")
}

/// Asks the same names, where the answer of the zone [`RIGHT`] is better than a failure.
fn asked_right(scenario: Scenario, reason: &str) -> Scenario {
    scenario
        .ask("web.a.test")
        .or(Answer::addrs(&["127.0.0.2", "2001:db8::2"]), reason)
        .ask("v4.a.test")
        .or(Answer::addrs(&["127.0.0.3"]), reason)
        .ask("no.a.test")
        .or(Answer::Negative, reason)
        .ask("empty.a.test")
        .or(Answer::Negative, reason)
}

/// The first server has each fault; the second one answers.
fn failover() -> Vec<Scenario> {
    let faults = [
        "servfail",
        "refused",
        "notimp",
        "formerr",
        "notauth",
        "lame",
        "referral",
        "silent",
        "wrong-question",
        "wrong-id",
        "garbage",
        "other-name",
        "loop",
        "bare-nodata",
        "no-recursion",
        "authoritative",
        "edns-formerr",
        "edns-silent",
    ];
    let new = |fault: &&str| {
        let first = format!("! * * {fault}\n{RIGHT}");
        let scenario = Scenario::new(format!("the first of two servers is {fault}"))
            .resolv(TWO)
            .server(NS1, first)
            .server(NS2, RIGHT);
        // An empty reply of a server that recurses is an answer: the second server is not asked.
        if *fault == "bare-nodata" {
            return asked(scenario);
        }
        asked_right(
            scenario,
            "the second server is asked after each failure of the first",
        )
    };
    let mut all: Vec<_> = faults.iter().map(new).collect();
    all.extend([
        asked(Scenario::new("port 53 of the first server is closed").resolv(TWO).server(NS2, RIGHT)),
        asked(Scenario::new("port 53 of every server is closed").resolv(TWO)),
        asked(
            Scenario::new("the first two of three servers fail in different ways")
                .resolv("nameserver 127.0.0.53\nnameserver 127.0.0.54\nnameserver 127.0.0.55\noptions timeout:1 attempts:1\n")
                .server(NS1, "! * * silent")
                .server(NS2, "! * * refused")
                .server(NS3, RIGHT),
        ),
        asked(
            Scenario::new("every server answers SERVFAIL")
                .resolv(TWO)
                .server(NS1, "! * * servfail")
                .server(NS2, "! * * servfail"),
        ),
        asked(
            Scenario::new("the only server fails once, then answers")
                .resolv("nameserver 127.0.0.53\noptions timeout:1 attempts:2\n")
                .server(NS1, format!("! web.a.test * servfail times:2\n! v4.a.test * silent times:2\n{RIGHT}")),
        ),
        asked(
            Scenario::new("a fourth name server is not asked")
                .resolv("nameserver 127.0.0.53\nnameserver 127.0.0.54\nnameserver 127.0.0.55\nnameserver 127.0.0.56\noptions timeout:1 attempts:1\n")
                .server(NS1, "! * * refused")
                .server(NS2, "! * * refused")
                .server(NS3, "! * * refused")
                .server("127.0.0.56", RIGHT),
        )
    ]);
    all
}

/// A dead server costs one wait, and not one for each lookup.
fn memory() -> Vec<Scenario> {
    let names = ["a", "b", "c", "d", "e", "f"].map(|label| format!("{label}.many.test"));
    let zone = names
        .iter()
        .map(|name| format!("{name} A 127.0.0.2\n{name} AAAA 2001:db8::2\n"));
    let zone: String = zone.collect();
    let new = |(title, first, second, third): (&str, &str, &str, &str)| {
        let resolv = "nameserver 127.0.0.53\nnameserver 127.0.0.54\nnameserver 127.0.0.55\n\
                      options timeout:1 attempts:1\n";
        let zone = |fault| format!("! * * {fault}\n{zone}");
        let scenario = Scenario::new(format!("six names in turn, {title}"))
            .resolv(resolv)
            .server(NS1, zone(first))
            .server(NS2, zone(second))
            .server(NS3, zone(third));
        // The first question pays for every dead server, the others for none.
        let later = |scenario: Scenario, name: &String| scenario.ask(name).in_turn().within(900);
        names[1..].iter().fold(scenario.ask(&names[0]), later)
    };
    let places = [
        (
            "the first of three servers is silent",
            "silent",
            "right",
            "right",
        ),
        (
            "the first two of three servers are silent",
            "silent",
            "silent",
            "right",
        ),
        (
            "the last two of three servers are silent",
            "right",
            "silent",
            "silent",
        ),
        (
            "the first of three servers refuses",
            "refused",
            "right",
            "silent",
        ),
    ];
    places.into_iter().map(new).collect()
}

/// Of two servers that disagree the earlier one is right, however late.
fn disagreement() -> Vec<Scenario> {
    let faults = [
        "right",
        "nxdomain",
        "nodata",
        "servfail",
        "refused",
        "notimp",
        "bare-nodata",
        "lame",
    ];
    let new = |fault: &&str| {
        asked(
            Scenario::new(format!(
                "the first server answers after 20 ms, the second is {fault} at once"
            ))
            .resolv("nameserver 127.0.0.53\nnameserver 127.0.0.54\n")
            .server(NS1, format!("! * * late:20\n{RIGHT}"))
            .server(NS2, format!("! * * {fault}\n{OTHER}")),
        )
    };
    let mut all: Vec<_> = faults.iter().map(new).collect();
    all.extend([
        asked(
            Scenario::new(
                "the first server answers after 600 ms, the second at once with other addresses",
            )
            .resolv("nameserver 127.0.0.53\nnameserver 127.0.0.54\noptions timeout:2\n")
            .server(NS1, format!("! * * late:600\n{RIGHT}"))
            .server(NS2, OTHER),
        )
        .or_for("web.a.test", Answer::addrs(&["127.0.0.9"]), OVERTAKEN)
        .or_for("v4.a.test", Answer::addrs(&["127.0.0.9"]), OVERTAKEN)
        .or_for("no.a.test", Answer::addrs(&["127.0.0.9"]), OVERTAKEN)
        .or_for("empty.a.test", Answer::addrs(&["127.0.0.9"]), OVERTAKEN),
        asked(
            Scenario::new("two servers disagree, the first one fails in one family")
                .resolv(TWO)
                .server(NS1, format!("! * AAAA servfail\n{RIGHT}"))
                .server(NS2, OTHER),
        )
        .or(
            Answer::addrs(&["127.0.0.9"]),
            "the second server is asked for both families",
        ),
        asked(
            Scenario::new(
                "split horizon: the first server says NXDOMAIN, the second knows the name",
            )
            .resolv(TWO)
            .server(NS1, "")
            .server(NS2, RIGHT),
        ),
    ]);
    all
}

fn options() -> Vec<Scenario> {
    let new = |option: &str| {
        let resolv = format!("nameserver 127.0.0.53\noptions timeout:1 attempts:1 {option}\n");
        let scenario = Scenario::new(format!("options {option}"));
        let scenario = scenario.resolv(resolv).server(NS1, RIGHT);
        match option {
            // getaddrinfo sends no query at all.
            "attempts:0" | "attempts:x" => {
                asked_right(scenario, "each server is asked at least once")
            }
            _ => asked(scenario),
        }
    };
    let many = |n: u32| {
        (1..=n)
            .map(|i| format!("many.a.test A 10.0.{}.{}\n", i / 250, i % 250))
            .collect::<String>()
    };
    let options = [
        "rotate",
        "edns0",
        "trust-ad",
        "use-vc",
        "single-request",
        "single-request-reopen",
        "no-aaaa",
        "inet6",
        "debug",
        "ip6-bytestring",
        "no-check-names",
        "no-reload",
        "insecure1",
        "unknown-option",
        "timeout:0",
        "attempts:0",
        "timeout:99",
        "attempts:99",
        "timeout:",
        "attempts:x",
    ];
    let mut all: Vec<_> = options.iter().map(|option| new(option)).collect();
    all.extend([
        asked(
            Scenario::new("rotate over two servers that agree, one of them dead")
                .resolv("nameserver 127.0.0.53\nnameserver 127.0.0.54\noptions rotate timeout:1 attempts:2\n")
                .server(NS1, "! * * refused")
                .server(NS2, RIGHT),
        ),
        asked_right(
            Scenario::new("edns0 and a server that answers FORMERR to EDNS")
                .resolv("nameserver 127.0.0.53\noptions edns0 timeout:1 attempts:1\n")
                .server(NS1, format!("! * * edns-formerr\n{RIGHT}")),
            "the query is sent again without EDNS",
        ),
        Scenario::new("edns0 and a server that answers NOTIMP to EDNS")
            .resolv("nameserver 127.0.0.53\noptions edns0 timeout:1 attempts:1\n")
            .server(NS1, format!("! * * edns-notimp\n{RIGHT}"))
            .ask("web.a.test")
            .or(Answer::addrs(&["127.0.0.2", "2001:db8::2"]), "the query is sent again without EDNS"),
        Scenario::new("a server that answers FORMERR to EDNS, where EDNS was not asked for")
            .resolv("nameserver 127.0.0.53\noptions timeout:1 attempts:1\n")
            .server(NS1, format!("! * * edns-formerr\n{RIGHT}"))
            .ask("web.a.test"),
        Scenario::new("a server that drops queries with EDNS, where EDNS was not asked for")
            .resolv("nameserver 127.0.0.53\noptions timeout:1 attempts:1\n")
            .server(NS1, format!("! * * edns-silent\n{RIGHT}"))
            .ask("web.a.test"),
        Scenario::new("an answer of 60 addresses is too long for UDP")
            .server(NS1, many(60))
            .ask("many.a.test"),
        Scenario::new("a cut off reply without records is asked again by TCP")
            .server(NS1, format!("! * * truncated\n{RIGHT}"))
            .ask("web.a.test")
            .ask("no.a.test"),
        Scenario::new("a cut off reply with one record is asked again by TCP")
            .server(NS1, format!("! * * partial\n{RIGHT}\nweb.a.test A 127.0.0.4\nweb.a.test AAAA 2001:db8::4"))
            .ask("web.a.test"),
        Scenario::new("only A is cut off")
            .server(NS1, format!("! * A truncated\n{RIGHT}"))
            .ask("web.a.test")
            .ask("v4.a.test"),
        asked(Scenario::new("an IPv6 name server").resolv("nameserver ::1\n").server("::1", RIGHT)),
        asked(
            Scenario::new("a link-local name server with its scope")
                .resolv("nameserver fe80::53%lo\noptions timeout:1 attempts:1\n")
                .server("fe80::53%lo", RIGHT),
        ),
        asked(
            Scenario::new("a link-local name server with the index of its link")
                .resolv("nameserver fe80::53%1\noptions timeout:1 attempts:1\n")
                .server("fe80::53%lo", RIGHT),
        ),
        asked(
            Scenario::new("a link-local name server on a link that does not exist, and a good one")
                .resolv("nameserver fe80::53%nolink\nnameserver 127.0.0.53\noptions timeout:1 attempts:1\n")
                .server(NS1, RIGHT),
        ),
        asked(
            Scenario::new("the same link-local address on two links")
                .resolv("nameserver fe80::53%link0\nnameserver fe80::53%lo\noptions timeout:1 attempts:1\n")
                .server("fe80::53%link0", RIGHT)
                .server("fe80::53%lo", OTHER),
        ),
        asked(
            Scenario::new("the name server 0.0.0.0")
                .resolv("nameserver 0.0.0.0\noptions timeout:1 attempts:1\n")
                .server("127.0.0.1", RIGHT),
        ),
    ]);
    all
}
