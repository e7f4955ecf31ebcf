//! Candidates: search list, `ndots`, the root dot, and which families belong together.

use crate::system::scenario::{NS1, Scenario};

const CORP: &str = "nameserver 127.0.0.53\nsearch corp.test\n";
const TWO: &str = "nameserver 127.0.0.53\nsearch a.test b.test\n";
const KUBERNETES: &str =
    "nameserver 127.0.0.53\nsearch ns.svc.test svc.test corp.test\noptions ndots:5\n";

pub(super) fn scenarios() -> Vec<Scenario> {
    [families(), ndots(), lists()].concat()
}

/// Both families come from one candidate.
fn families() -> Vec<Scenario> {
    let new = |title| Scenario::new(title).resolv(TWO);
    vec![
        Scenario::new("an absolute name with A only is not mixed with a wildcard's AAAA")
            .resolv(CORP)
            .server(
                NS1,
                "github.example.com A 127.0.0.2\n*.corp.test AAAA 2001:db8::9",
            )
            .ask("github.example.com")
            .ask("github")
            .ask("no.example.com"),
        new("A of the first domain is not mixed with AAAA of the second")
            .server(NS1, "web.a.test A 127.0.0.2\nweb.b.test AAAA 2001:db8::9")
            .ask("web"),
        new("AAAA of the first domain is not mixed with A of the second")
            .server(NS1, "web.a.test AAAA 2001:db8::9\nweb.b.test A 127.0.0.2")
            .ask("web"),
        new("NODATA of the first domain goes on to the second")
            .server(
                NS1,
                "web.a.test NODATA\nweb.b.test A 127.0.0.2\nweb.b.test AAAA 2001:db8::2",
            )
            .ask("web"),
        new("an empty non-terminal of the first domain goes on to the second")
            .server(NS1, "x.web.a.test A 127.0.0.3\nweb.b.test A 127.0.0.2")
            .ask("web"),
        new("NODATA of every candidate is negative")
            .server(NS1, "web.a.test NODATA\nweb.b.test NODATA\nweb NODATA")
            .ask("web")
            .ask("web.a.test."),
        new("a name of a wildcard in the first domain hides the second")
            .server(NS1, "*.a.test A 127.0.0.9\nweb.b.test A 127.0.0.2")
            .ask("web")
            .ask("web.b.test")
            .ask("x.y"),
        new("A is NXDOMAIN while AAAA answers")
            .server(
                NS1,
                "! web.a.test A nxdomain\nweb.a.test AAAA 2001:db8::9\nweb.b.test A 127.0.0.2",
            )
            .ask("web"),
        new("AAAA is NXDOMAIN while A answers, as of broken load balancers")
            .server(
                NS1,
                "! web.a.test AAAA nxdomain\nweb.a.test A 127.0.0.2\nweb.b.test AAAA 2001:db8::9",
            )
            .ask("web")
            .ask("web.a.test."),
        new("A is NODATA and AAAA is NXDOMAIN")
            .server(
                NS1,
                "! web.a.test AAAA nxdomain\nweb.a.test NODATA\nweb.b.test A 127.0.0.2",
            )
            .ask("web")
            .ask("web.a.test."),
    ]
}

fn ndots() -> Vec<Scenario> {
    let zone = "api.example.com A 127.0.0.2\n*.corp.test A 127.0.0.9\nweb.ns.svc.test A 127.0.0.3\n\
                db.svc.test A 127.0.0.4\nweb A 127.0.0.5\na.b.c.d.e A 127.0.0.6";
    let new = |title: &str, options: &str| {
        let resolv = format!("nameserver 127.0.0.53\nsearch corp.test\n{options}\n");
        Scenario::new(title).resolv(resolv).server(NS1, zone)
    };
    let asked = |scenario: Scenario| {
        let names = [
            "api.example.com",
            "api.example.com.",
            "web",
            "web.",
            "a.b.c.d.e",
            "no.such.name",
        ];
        names
            .iter()
            .fold(scenario, |scenario, name| scenario.ask(name))
    };
    vec![
        asked(
            Scenario::new("ndots:5 and a search list, as in Kubernetes")
                .resolv(KUBERNETES)
                .server(NS1, zone),
        )
        .ask("db")
        .ask("db.svc")
        .ask("web.ns.svc.test"),
        asked(new("ndots by default", "")),
        asked(new(
            "ndots:0 questions a single label as it is first",
            "options ndots:0",
        )),
        asked(new("ndots:1", "options ndots:1")),
        asked(new("ndots:2", "options ndots:2")),
        asked(new("ndots:15", "options ndots:15")),
        asked(new("ndots:16 is cut to 15", "options ndots:16")),
        asked(new(
            "ndots:99999999999 is more than a number holds",
            "options ndots:99999999999",
        )),
        asked(new("ndots without a number", "options ndots:")),
        asked(new("ndots with text behind the number", "options ndots:2x")),
        asked(new("ndots:-1", "options ndots:-1")),
        asked(new("two ndots", "options ndots:5 ndots:1")),
        asked(new(
            "options over several lines",
            "options ndots:3\noptions timeout:1\n",
        )),
        Scenario::new(
            "a name with enough dots that does not exist is asked with the search list too",
        )
        .resolv(CORP)
        .server(NS1, "x.y.corp.test A 127.0.0.8\nno.such NODATA")
        .ask("x.y")
        .ask("no.such"),
        Scenario::new(
            "a name with the root dot is absolute where a wildcard covers the search list",
        )
        .resolv(KUBERNETES)
        .server(NS1, "api.example.com A 127.0.0.2\n*.corp.test A 127.0.0.9")
        .ask("api.example.com.")
        .ask("no.example.com.")
        .ask("api.example.com"),
        Scenario::new("a single label that exists at the root only")
            .resolv(CORP)
            .server(NS1, "tld A 127.0.0.5\ntld AAAA 2001:db8::5")
            .ask("tld")
            .ask("tld."),
        Scenario::new("no-tld-query")
            .resolv("nameserver 127.0.0.53\nsearch corp.test\noptions no-tld-query\n")
            .server(NS1, "tld A 127.0.0.5")
            .ask("tld")
            .ask("tld."),
    ]
}

fn lists() -> Vec<Scenario> {
    let zone = "web.a.test A 127.0.0.2\nweb.b.test A 127.0.0.3\nweb.c.test A 127.0.0.4\nonly.b.test A 127.0.0.5\n\
                web A 127.0.0.6\nweb.d8.test A 127.0.0.8";
    let new = |title: &str, lines: &str| {
        let scenario = Scenario::new(title).resolv(format!("nameserver 127.0.0.53\n{lines}\n"));
        scenario
            .server(NS1, zone)
            .ask("web")
            .ask("only")
            .ask("web.")
    };
    vec![
        new("no search list", ""),
        new("domain", "domain a.test"),
        new("domain with two words", "domain a.test b.test"),
        new("domain after search", "search a.test\ndomain b.test"),
        new("search after domain", "domain a.test\nsearch b.test"),
        new("two search lines", "search a.test\nsearch b.test"),
        new(
            "an empty search line after a search line",
            "search a.test\nsearch",
        ),
        new(
            "search with tabs and trailing blanks",
            "search\ta.test \t b.test  ",
        ),
        new(
            "search with a root dot behind each domain",
            "search a.test. b.test.",
        ),
        new("search of the root alone", "search ."),
        new(
            "search with the root in the middle",
            "search c.test . b.test",
        ),
        new("search in upper case", "SEARCH A.TEST"),
        new("search domains in upper case", "search A.Test"),
        new("search with a leading dot", "search .a.test"),
        new(
            "more than six search domains",
            "search d1.test d2.test d3.test d4.test d5.test d6.test d7.test d8.test",
        ),
        new(
            "search with the same domain twice",
            "search b.test b.test a.test",
        ),
        new(
            "search with a comment at the end of the line",
            "search b.test # a.test",
        ),
        new("a line with leading blanks", "  search a.test"),
        new("the hostname's domain without search and domain", "").hostname("box.a.test"),
        new(
            "the hostname's domain is unused beside search",
            "search b.test",
        )
        .hostname("box.a.test"),
    ]
}
