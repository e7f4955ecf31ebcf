//! The hosts file.

use crate::system::scenario::{NS1, Scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
    let dns = "api.example.com A 127.0.0.2\napi.example.com AAAA 2001:db8::2\nweb.corp.test A 127.0.0.9\n\
               other.example.com A 127.0.0.3";
    let new = |title: &str, hosts: &str| {
        let resolv = "nameserver 127.0.0.53\nsearch corp.test\n";
        Scenario::new(title)
            .resolv(resolv)
            .server(NS1, dns)
            .hosts(hosts)
    };
    let odd = |title: &str, line: &str| {
        let hosts = format!("127.0.0.1 localhost\n{line}\n127.0.0.8 api.example.com\n");
        new(title, &hosts)
            .ask("api.example.com")
            .ask("other.example.com")
            .ask("localhost")
    };
    vec![
        new(
            "hosts beats DNS in both families",
            "127.0.0.7 api.example.com\n",
        )
        .ask("api.example.com")
        .ask("other.example.com"),
        new("hosts has IPv6 only", "2001:db8::7 api.example.com\n").ask("api.example.com"),
        new("hosts under ndots:5", "127.0.0.7 foo.remote\n")
            .resolv("nameserver 127.0.0.53\nsearch ns.svc.test corp.test\noptions ndots:5\n")
            .ask("foo.remote")
            .ask("foo.remote."),
        new(
            "both families on two lines",
            "127.0.0.7 api.example.com\n2001:db8::7 api.example.com\n",
        )
        .ask("api.example.com"),
        new(
            "two lines of one family",
            "127.0.0.7 api.example.com\n127.0.0.8 api.example.com\n",
        )
        .ask("api.example.com"),
        new(
            "two lines of one family, without multi",
            "127.0.0.7 api.example.com\n127.0.0.8 api.example.com\n",
        )
        .file("host.conf", "multi off\n")
        .ask("api.example.com"),
        new(
            "two lines of one family, without host.conf",
            "127.0.0.7 api.example.com\n127.0.0.8 api.example.com\n2001:db8::7 api.example.com\n",
        )
        .without("host.conf")
        .ask("api.example.com"),
        new(
            "the same line twice",
            "127.0.0.7 api.example.com\n127.0.0.7 api.example.com\n",
        )
        .ask("api.example.com"),
        new(
            "aliases",
            "127.0.0.7 canonical.test alias.test ALIAS2.test\n127.0.0.8 alias.test\n",
        )
        .ask("canonical.test")
        .ask("alias.test")
        .ask("alias2.test"),
        new(
            "upper case in the file and in the question",
            "127.0.0.7 Api.Example.COM\n",
        )
        .ask("api.example.com")
        .ask("API.example.com"),
        new(
            "the root dot in the question",
            "127.0.0.7 api.example.com\n",
        )
        .ask("api.example.com."),
        new("the root dot in the file", "127.0.0.7 api.example.com.\n")
            .ask("api.example.com")
            .ask("api.example.com."),
        new("a single label of hosts is not searched", "127.0.0.7 web\n")
            .ask("web")
            .ask("web."),
        new(
            "a single label is not found by its domain in hosts",
            "127.0.0.7 web.corp.test\n",
        )
        .ask("web")
        .ask("web.corp.test"),
        new(
            "only in hosts by its domain",
            "127.0.0.7 printer.corp.test\n",
        )
        .ask("printer")
        .ask("printer.corp.test"),
        new("underscores", "127.0.0.7 my_service.test\n").ask("my_service.test"),
        new(
            "names of digits and with hyphens",
            "127.0.0.7 1and1.test -x.test x-.test 123\n",
        )
        .ask("1and1.test")
        .ask("-x.test")
        .ask("x-.test")
        .ask("123"),
        odd(
            "a comment at the end of a line",
            "127.0.0.7 api.example.com # 127.0.0.6 other.example.com",
        ),
        odd("a comment without a blank", "127.0.0.7 api.example.com#x"),
        odd(
            "a line of comment with leading blanks",
            "   # 127.0.0.7 api.example.com",
        ),
        odd(
            "leading blanks and tabs",
            " \t127.0.0.7\t\tapi.example.com  ",
        ),
        odd("a line without a name", "127.0.0.7"),
        odd("a line with a bad address", "127.0.0.999 api.example.com"),
        odd("an address of three numbers", "127.0.7 api.example.com"),
        odd(
            "an address with leading zeros",
            "127.0.0.010 api.example.com",
        ),
        odd("an IPv6 address with a scope", "fe80::7%lo api.example.com"),
        odd("an IPv4-mapped address", "::ffff:127.0.0.7 api.example.com"),
        odd("a carriage return", "127.0.0.7 api.example.com\r"),
        odd("an empty line with a carriage return", "\r"),
        odd(
            "a unicode name",
            "127.0.0.7 b\u{fc}cher.test api.example.com",
        ),
        odd(
            "a very long line",
            &format!("127.0.0.7 {}api.example.com", "x.test ".repeat(3000)),
        ),
        odd(
            "unspecified address, as of block lists",
            "0.0.0.0 other.example.com",
        ),
        odd("IPv6 unspecified address", ":: other.example.com"),
        new("no hosts file", "")
            .without("hosts")
            .ask("api.example.com")
            .ask("localhost")
            .ask("localhost."),
        new("an empty hosts file", "")
            .ask("localhost")
            .ask("x.localhost")
            .ask("api.example.com"),
        new("no newline at the end", "127.0.0.7 api.example.com").ask("api.example.com"),
        new(
            "localhost by the file",
            "127.0.0.1 localhost localhost.localdomain\n::1 localhost ip6-localhost\n",
        )
        .ask("localhost")
        .ask("LOCALHOST")
        .ask("localhost.localdomain")
        .ask("ip6-localhost")
        .ask("localhost."),
        new("localhost with IPv4 alone", "127.0.0.1 localhost\n").ask("localhost"),
        new("localhost with IPv6 alone", "::1 localhost\n").ask("localhost"),
        new(
            "localhost with ::1 and IPv4 of another",
            "::1 localhost other\n127.0.0.1 x\n",
        )
        .ask("localhost")
        .ask("other"),
        new("localhost elsewhere", "127.0.0.77 localhost\n").ask("localhost"),
    ]
}
