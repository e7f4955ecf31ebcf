//! Names as they are: underscores, digits, long labels, literals of addresses.

use crate::system::scenario::{Answer, NS1, Scenario};

const AS_IS: &str = "an ASCII name is taken as it is";

pub(super) fn scenarios() -> Vec<Scenario> {
    let label = "a".repeat(63);
    let long = [label.as_str(), &label, &label, &"b".repeat(61)].join(".");
    let too_long = format!("{long}c");
    let zone = format!(
        "my_service.test A 127.0.0.2\n_x.test A 127.0.0.3\n1and1.test A 127.0.0.4\n123.test A 127.0.0.5\n\
         xn--.test A 127.0.0.6\nxn--zzzzzz.test A 127.0.0.7\n{label}.test A 127.0.0.8\n{long} A 127.0.0.9\n\
         -x.test A 127.0.0.10\nx-.test A 127.0.0.11\nx.-y.test A 127.0.0.12\n1.2.3.test A 127.0.0.13\n\
         a--b.test A 127.0.0.14\nweb.corp.test A 127.0.0.15\n"
    );
    let new = |title: &str, names: &[&str]| {
        let resolv = "nameserver 127.0.0.53\nsearch corp.test\n";
        let scenario = Scenario::new(title)
            .resolv(resolv)
            .server(NS1, zone.as_str());
        names
            .iter()
            .fold(scenario, |scenario, name| scenario.ask(name))
    };
    vec![
        new(
            "underscores",
            &["my_service.test", "_x.test", "my_service.test."],
        ),
        new(
            "leading digits and digits alone",
            &["1and1.test", "123.test", "1.2.3.test"],
        ),
        new(
            "xn-- that is no valid punycode",
            &["xn--.test", "xn--zzzzzz.test", "a--b.test"],
        ),
        new("upper case", &["MY_Service.TEST", "1AND1.test", "WEB"]),
        new(
            "a label of 63 and of 64 bytes",
            &[&format!("{label}.test"), &format!("a{label}.test")],
        ),
        new(
            "a name of 253 and of 254 bytes",
            &[&long, &format!("{long}."), &too_long],
        ),
        new(
            "hyphens at the ends of labels",
            &["-x.test", "x-.test", "x.-y.test"],
        )
        .or_for("-x.test", Answer::addrs(&["127.0.0.10"]), AS_IS)
        .or_for("x.-y.test", Answer::addrs(&["127.0.0.12"]), AS_IS),
        new(
            "empty labels",
            &["a..test", ".test", "test..", ".", "my_service.test.."],
        ),
        new(
            "blanks and odd characters",
            &[
                "a b.test", "a*b.test", "*.test", "a@b.test", "a/b.test", "a:b",
            ],
        ),
        new(
            "addresses in other notations",
            &[
                "127.1",
                "0x7f.0.0.1",
                "2130706433",
                "0177.0.0.1",
                "127.0.0.1.",
                "1.2.3.4.5",
                "256.0.0.1",
            ],
        )
        .or_for(
            "127.0.0.1.",
            Answer::addrs(&["127.0.0.1"]),
            "a URL with this host is an address too",
        ),
        new("address literals", &["127.0.0.1", "::1", "2001:db8::1"]),
        new(
            "reserved names",
            &[
                "x.invalid",
                "invalid",
                "x.localhost",
                "foo.localhost.",
                "x.onion",
                "x.local",
            ],
        ),
        new("a unicode name", &["b\u{fc}cher.test"]),
        new(
            "the machine's own name",
            &["box", "box.", "box.corp.test", "_gateway"],
        ),
        new(
            "a name that the search list makes too long",
            &[&long[..247]],
        ),
    ]
}
