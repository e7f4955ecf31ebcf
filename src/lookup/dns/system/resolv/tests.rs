use proptest::prelude::*;

use super::*;
use crate::lookup::dns::config::{IpStrategy, Protocol, Server};

fn machine(hostname: &str) -> Machine {
    Machine {
        hostname: Some(hostname.to_owned()),
        ..Machine::default()
    }
}

/// Returns the index of an interface, where `eth0` is 2, `br-lan` is 3, and `eth0.7` is 4.
fn interface(name: &str) -> Option<u32> {
    let place = ["eth0", "br-lan", "eth0.7"]
        .iter()
        .position(|it| *it == name)?;
    u32::try_from(place + 2).ok()
}

fn read(text: &str, libc: Libc) -> Resolv {
    parse(text.as_bytes(), libc, &machine("vm"), &interface)
}

/// Returns the settings with glibc. The file must have no obstacle.
fn stub(text: &str) -> StubConfig {
    let read = read(text, Libc::Glibc);
    assert_eq!(read.obstacle, None, "{text:?}");
    read.stub
}

fn servers(text: &str) -> Vec<String> {
    let servers = stub(text).servers;
    servers
        .iter()
        .map(|server| server.addr.to_string())
        .collect()
}

fn search(text: &str) -> Vec<String> {
    stub(text)
        .search
        .iter()
        .map(|domain| domain.to_string())
        .collect()
}

const LOCAL: &str = "127.0.0.1:53";

#[test]
fn name_servers_are_read_as_glibc_reads_them() {
    let cases: &[(&str, &[&str])] = &[
        ("", &[LOCAL]),
        ("# nameserver 192.0.2.1\n; nameserver 192.0.2.1", &[LOCAL]),
        ("nameserver", &[LOCAL]),
        ("nameserver \t ", &[LOCAL]),
        ("nameserver 192.0.2.1", &["192.0.2.1:53"]),
        ("nameserver\t192.0.2.1 # a comment", &["192.0.2.1:53"]),
        (
            "nameserver 192.0.2.1\r\nnameserver ::1\r\n",
            &["192.0.2.1:53", "[::1]:53"],
        ),
        ("  nameserver 192.0.2.1\n\tnameserver 192.0.2.2", &[LOCAL]),
        ("nameserver 192.0.2.1 192.0.2.2", &["192.0.2.1:53"]),
        (
            "nameserver 192.0.2.2\nnameserver 192.0.2.2",
            &["192.0.2.2:53", "192.0.2.2:53"],
        ),
        (
            "nameserver 192.0.2.3\nnameserver 192.0.2.2\nnameserver 192.0.2.1\nnameserver 192.0.2.0",
            &["192.0.2.3:53", "192.0.2.2:53", "192.0.2.1:53"],
        ),
        ("nameserver 2001:db8::53", &["[2001:db8::53]:53"]),
        ("nameserver fe80::53%eth0", &["[fe80::53%2]:53"]),
        ("nameserver fe80::53%br-lan", &["[fe80::53%3]:53"]),
        ("nameserver fe80::53%eth0.7", &["[fe80::53%4]:53"]),
        ("nameserver fe80::53%7", &["[fe80::53%7]:53"]),
        ("nameserver fe80::53%gone0", &["[fe80::53]:53"]),
        ("nameserver 2001:db8::53%eth0", &["[2001:db8::53]:53"]),
        ("nameserver fe80::53", &["[fe80::53]:53"]),
    ];
    for (text, expected) in cases {
        assert_eq!(servers(text), *expected, "{text:?}");
    }
}

#[test]
fn the_last_search_list_counts() {
    let cases: &[(&str, &[&str])] = &[
        ("", &[]),
        ("search a.test", &["a.test"]),
        (
            "search a.test\tb.test.  c.test",
            &["a.test", "b.test", "c.test"],
        ),
        ("search a.test b.test\r\n", &["a.test", "b.test"]),
        ("domain a.test", &["a.test"]),
        ("search a.test b.test\ndomain c.test", &["c.test"]),
        ("domain c.test\nsearch a.test b.test", &["a.test", "b.test"]),
        ("search a.test\nsearch b.test", &["b.test"]),
        ("search a.test\nsearch\ndomain \nsearch ", &["a.test"]),
        (" search a.test", &[]),
        ("search .", &[]),
        ("search a.test\nsearch .", &[]),
        ("search -- lan", &["--", "lan"]),
        ("search my_zone.test", &["my_zone.test"]),
        ("#search a.test", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(search(text), *expected, "{text:?}");
    }
}

#[test]
fn the_domain_of_the_hostname_stands_in_for_a_search_list() {
    for (hostname, libc, expected) in [
        ("vm.corp.test", Libc::Glibc, &["corp.test"][..]),
        ("vm.corp.test", Libc::Bsd, &["corp.test"]),
        ("vm.corp.test", Libc::Musl, &[]),
        ("vm", Libc::Glibc, &[]),
        ("vm.", Libc::Glibc, &[]),
    ] {
        let read = parse(b"", libc, &machine(hostname), &interface);
        assert_eq!(read.obstacle, None, "{hostname}");
        assert_eq!(
            read.stub.search,
            expected
                .iter()
                .map(|&it| it.into())
                .collect::<Vec<Box<str>>>()
        );
    }
    let root = parse(
        b"search .",
        Libc::Glibc,
        &machine("vm.corp.test"),
        &interface,
    );
    assert!(root.stub.search.is_empty(), "`search .` is a search list");
}

#[test]
fn numbers_are_kept_within_the_limits_of_glibc() {
    for (options, ndots, timeout, attempts) in [
        ("", 1, 5, 2),
        ("ndots:5 timeout:2 attempts:3", 5, 2, 3),
        ("ndots:0", 0, 5, 2),
        ("ndots:16", 15, 5, 2),
        ("ndots:4000000000 timeout:31 attempts:6", 15, 30, 5),
        ("timeout:0", 1, 1, 2),
        ("attempts:0", 1, 5, 1),
        ("ndots:3 ndots:2", 2, 5, 2),
        ("ndots:2\t\r", 2, 5, 2),
    ] {
        let stub = stub(&format!("options {options}"));
        let found = (stub.ndots, stub.timeout.as_secs(), stub.attempts);
        assert_eq!(found, (ndots, timeout, attempts), "{options}");
    }
}

#[test]
fn musl_divides_its_timeout_among_the_attempts() {
    for (options, seconds) in [("", 2.5), ("timeout:3 attempts:5", 1.0), ("timeout:0", 1.0)] {
        let read = read(&format!("options {options}"), Libc::Musl);
        assert_eq!(read.stub.timeout.as_secs_f64(), seconds, "{options}");
    }
}

#[test]
fn options_are_obeyed_or_say_nothing_about_addresses() {
    let base = stub("");
    let tcp = vec![Server {
        protocol: Protocol::Tcp,
        ..base.servers[0]
    }];
    let cases = [
        (
            "rotate",
            StubConfig {
                rotate: true,
                ..base.clone()
            },
        ),
        (
            "edns0",
            StubConfig {
                edns: true,
                ..base.clone()
            },
        ),
        (
            "single-request",
            StubConfig {
                single_request: true,
                ..base.clone()
            },
        ),
        (
            "use-vc",
            StubConfig {
                servers: tcp,
                ..base.clone()
            },
        ),
        (
            "no-aaaa",
            StubConfig {
                ip_strategy: IpStrategy::Ipv4Only,
                ..base.clone()
            },
        ),
        (
            "edns0 trust-ad",
            StubConfig {
                edns: true,
                ..base.clone()
            },
        ),
        ("trust-ad", base.clone()),
        ("single-request-reopen", base.clone()),
        ("inet6", base.clone()),
        ("debug", base.clone()),
        ("no-check-names", base.clone()),
        ("ip6-bytestring ip6-dotint no-ip6-dotint", base),
    ];
    for (options, expected) in cases {
        assert_eq!(stub(&format!("options {options}")), expected, "{options}");
    }
    let musl = read("options no-aaaa", Libc::Musl);
    assert_eq!(
        musl.stub.ip_strategy,
        IpStrategy::Both,
        "musl does not know it"
    );
}

#[test]
fn what_is_not_implemented_or_unusual_is_an_obstacle() {
    let long = format!("search {}", "a.test ".repeat(33));
    for text in [
        "options no-tld-query",
        "options no_tld_query",
        "options no-reload",
        "options unheard-of",
        "options ndots:many",
        "options ndots:-1",
        "options ndots",
        "options ndots:5 # a comment",
        "options rotated",
        "sortlist 192.0.2.0/255.255.255.0",
        "lookup file bind",
        "family inet6",
        "port 53",
        "nameservers 192.0.2.1",
        "Nameserver 192.0.2.1",
        "nameserver 127.1",
        "nameserver 192.0.2.1,192.0.2.2",
        "nameserver 192.0.2.1:53",
        "nameserver [::1]:53",
        "nameserver ns.test",
        "nameserver 192.0.2.1%eth0",
        "search a.test,b.test",
        "search a.test # a comment",
        "search a.test;b.test",
        "search .a.test",
        "search a..test",
        "search . a.test",
        "search m\u{fc}ller.test",
        "domain a.test b.test",
        &long,
    ] {
        let read = read(text, Libc::Glibc);
        assert!(read.obstacle.is_some(), "{text:?}");
    }
    let not_utf8 = parse(b"search \xff", Libc::Glibc, &machine("vm"), &interface);
    assert!(not_utf8.obstacle.is_some());
    let comment = parse(b"# \xff\n;\xff", Libc::Glibc, &machine("vm"), &interface);
    assert_eq!(comment.obstacle, None);
}

#[test]
fn an_obstacle_tells_the_line() {
    let read = read("nameserver 192.0.2.1\n\noptions unheard-of", Libc::Glibc);
    let obstacle = read.obstacle.unwrap();
    assert!(
        obstacle.ends_with("option at line 3 is not recognized"),
        "{obstacle}"
    );
    assert_eq!(read.stub.servers[0].addr.to_string(), "192.0.2.1:53");
}

#[test]
fn an_odd_hostname_is_an_obstacle_only_where_its_domain_is_used() {
    let odd = machine("mike.schulte's computer");
    assert!(parse(b"", Libc::Glibc, &odd, &interface).obstacle.is_some());
    assert_eq!(
        parse(b"search a.test", Libc::Glibc, &odd, &interface).obstacle,
        None
    );
    assert_eq!(parse(b"", Libc::Musl, &odd, &interface).obstacle, None);
}

#[test]
fn lists_that_a_libc_would_cut_are_obstacles_there() {
    let seven = format!("search {}", "a.test ".repeat(7));
    assert!(read(&seven, Libc::Bsd).obstacle.is_some());
    assert_eq!(read(&seven, Libc::Glibc).obstacle, None);
    let long = format!("search {}", "a-long-domain.test ".repeat(15));
    assert!(read(&long, Libc::Musl).obstacle.is_some());
    assert_eq!(read(&long, Libc::Glibc).obstacle, None);
}

#[test]
fn the_environment_overrides_the_file() {
    let text = b"search file.test\noptions ndots:2 rotate";
    let with = |local_domain: Option<&str>, res_options: Option<&str>, libc| {
        let machine = Machine {
            local_domain: local_domain.map(str::to_owned),
            res_options: res_options.map(str::to_owned),
            ..machine("vm.corp.test")
        };
        parse(text, libc, &machine, &interface)
    };
    let read = with(
        Some("a.test b.test\nc.test"),
        Some(" ndots:4 "),
        Libc::Glibc,
    );
    assert_eq!(read.obstacle, None);
    assert_eq!(
        read.stub.search,
        ["a.test".into(), "b.test".into()] as [Box<str>; 2]
    );
    assert_eq!((read.stub.ndots, read.stub.rotate), (4, true));
    let empty = with(Some(""), Some(""), Libc::Glibc);
    assert_eq!(empty.obstacle, None);
    assert!(empty.stub.search.is_empty());
    let musl = with(Some("a.test"), Some("ndots:4"), Libc::Musl);
    assert_eq!(musl.stub.search, ["file.test".into()] as [Box<str>; 1]);
    assert_eq!(musl.stub.ndots, 2);
    for odd in ["ndots:4\nnameserver 192.0.2.1", "unheard-of", "a;b"] {
        assert!(
            with(None, Some(odd), Libc::Glibc).obstacle.is_some(),
            "{odd:?}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_within_bounds(
        text in "((nameserver|search|options|domain|x)[ \t])?[a-z0-9:.%#;, \n\r\\-]*",
    ) {
        for libc in [Libc::Glibc, Libc::Musl, Libc::Bsd] {
            let stub = read(&text, libc).stub;
            prop_assert!((1..=3).contains(&stub.servers.len()));
            prop_assert!((1..=5).contains(&stub.attempts));
            prop_assert!(stub.ndots <= 15);
            prop_assert!(stub.search.len() <= 32);
            prop_assert!((1..=30).contains(&stub.timeout.as_secs()));
            prop_assert!(stub.search.iter().all(|it| !it.is_empty() && !it.ends_with('.')));
        }
    }
}
