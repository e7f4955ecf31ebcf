//! What a reply means: aliases, referrals, records of other names.

use crate::system::scenario::{Answer, NS1, Scenario};

const FOLLOWED: &str = "an alias whose target the reply lacks is followed";
const LAME: &str = "the reply is a failure of the server, not an answer about the name";

pub(super) fn scenarios() -> Vec<Scenario> {
    let new = |title: &str, zone: &str| {
        let resolv = "nameserver 127.0.0.53\nsearch corp.test\noptions timeout:1 attempts:1\n";
        Scenario::new(title).resolv(resolv).server(NS1, zone)
    };
    let chain = |links: u32| {
        let link = |i| format!("c{i}.a.test CNAME c{}.a.test\n", i + 1);
        (1..=links).map(link).collect::<String>() + &format!("c{}.a.test A 127.0.0.2", links + 1)
    };
    let one = |title: &str, fault: &str| {
        new(
            title,
            &format!(
                "! bad.a.test * {fault}\nbad.a.test A 127.0.0.2\nbad.a.test.corp.test A 127.0.0.9"
            ),
        )
        .ask("bad.a.test")
        .or(Answer::Failed, LAME)
        .ask("bad.a.test.")
        .or(Answer::Failed, LAME)
    };
    vec![
        new("an alias", "www.a.test CNAME web.a.test\nweb.a.test A 127.0.0.2\nweb.a.test AAAA 2001:db8::2").ask("www.a.test"),
        new("an alias into another domain", "www.a.test CNAME edge.cdn.example\nedge.cdn.example A 127.0.0.2").ask("www.a.test"),
        new("an alias to a name that does not exist", "www.a.test CNAME gone.a.test\nwww.a.test.corp.test A 127.0.0.9")
            .ask("www.a.test")
            .ask("www.a.test."),
        new("an alias to a name without addresses", "www.a.test CNAME empty.a.test\nempty.a.test NODATA\nwww.a.test.corp.test A 127.0.0.9")
            .ask("www.a.test")
            .ask("www.a.test."),
        new("an alias of the first domain to nothing, an address in the second", "www.corp.test CNAME gone.corp.test\nwww A 127.0.0.9").ask("www"),
        new("an alias under a wildcard", "*.a.test CNAME web.b.test\nweb.b.test A 127.0.0.2").ask("x.a.test").ask("x.y.a.test"),
        new("an alias to a wildcard", "www.a.test CNAME x.b.test\n*.b.test A 127.0.0.2").ask("www.a.test"),
        new("an alias to a name with an underscore", "www.a.test CNAME _x.b.test\n_x.b.test A 127.0.0.2").ask("www.a.test"),
        new("a chain of 8 aliases", &chain(8)).ask("c1.a.test"),
        new("a chain of 15 aliases", &chain(15)).ask("c1.a.test"),
        new("one family's alias only", "! www.a.test AAAA nodata\nwww.a.test CNAME web.a.test\nweb.a.test A 127.0.0.2\nweb.a.test AAAA 2001:db8::2").ask("www.a.test"),
        new(
            "an alias whose target the reply lacks",
            "! www.a.test * alias-only\n! deep.a.test * alias-only\nwww.a.test CNAME web.a.test\n\
             deep.a.test CNAME www.a.test\nweb.a.test A 127.0.0.2\nweb.a.test AAAA 2001:db8::2\n\
             www.a.test.corp.test A 127.0.0.9",
        )
        .ask("www.a.test")
        .or(Answer::addrs(&["127.0.0.2", "2001:db8::2"]), FOLLOWED)
        .ask("deep.a.test")
        .or(Answer::addrs(&["127.0.0.2", "2001:db8::2"]), FOLLOWED),
        new(
            "an alias whose target the reply lacks and that does not exist",
            "! www.a.test * alias-only\nwww.a.test CNAME gone.a.test\nwww.a.test.corp.test A 127.0.0.9",
        )
        .ask("www.a.test")
        .ask("www.a.test."),
        one("a loop of aliases", "loop"),
        one("records of another name", "other-name"),
        one("a question that differs", "wrong-question"),
        one("a wrong transaction id", "wrong-id"),
        one("a referral to the root", "referral"),
        one("an empty reply without AA and RA", "lame"),
        one("an empty reply with RA without SOA", "bare-nodata"),
        one("NXDOMAIN without SOA", "bare-nxdomain"),
        one("a reply that is no DNS message", "garbage"),
        one("an authoritative server without recursion", "authoritative"),
        one("addresses with neither AA nor RA", "no-recursion"),
        new("the same address twice", "web.a.test A 127.0.0.2\nweb.a.test A 127.0.0.2").ask("web.a.test"),
        new("an IPv4-mapped address in AAAA", "web.a.test AAAA ::ffff:127.0.0.2").ask("web.a.test"),
        new("unspecified, broadcast and multicast addresses", "web.a.test A 0.0.0.0\nweb.a.test A 255.255.255.255\nweb.a.test A 224.0.0.1").ask("web.a.test"),
        new("a link-local address in AAAA", "web.a.test AAAA fe80::7").ask("web.a.test"),
    ]
}
