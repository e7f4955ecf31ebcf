#![expect(clippy::disallowed_methods, reason = "one test times itself")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn found(hosts: &HostsFile, name: &str) -> Vec<String> {
    let addrs = hosts.find(name).unwrap_or_default();
    addrs.iter().map(IpAddr::to_string).collect()
}

/// The hosts file of an experiment with glibc 2.36, `hosts: files` and `multi on`.
const FILE: &[u8] = b"127.0.0.7 one.test alias.test
127.0.0.8 ONE.test
::1 one.test
# 127.0.0.6 one.test
127.0.0.9 my_service.test dot.test.
127.1 short.test
10.1.2 short2.test
0x7f.1 hex.test
010.0.0.1 octal.test
127.0.0.010 octal2.test
fe80::1%lo scoped.test
fe80::1 link-local.test
::ffff:127.0.0.5 mapped.test
\t127.0.0.11 indented.test
127.0.0.12\ttab.test\ttab2.test#nocomment
127.0.0.13 semicolon.test ; semicolon2.test
127.0.0.15 crlf.test\r
127.0.0.16 bad\xff\xfe.test after-bad.test
127.0.0.17 vertical\x0bvertical2.test
127.0.0.18
localhost
127.0.0.19 nul\0x.test nul2.test
127.0.0.20 after-nul.test
127.0.0.7 one.test
127.0.0.21 last.test";

#[test]
fn a_hosts_file_is_read_as_glibc_reads_it() {
    let hosts = HostsFile::parse(FILE, Lines::All);
    let cases: &[(&str, &[&str])] = &[
        ("one.test", &["127.0.0.7", "127.0.0.8", "::1"]),
        ("One.TEST", &["127.0.0.7", "127.0.0.8", "::1"]),
        ("one.test.", &[]),
        ("alias.test", &["127.0.0.7"]),
        ("my_service.test", &["127.0.0.9"]),
        ("dot.test", &[]),
        ("dot.test.", &["127.0.0.9"]),
        ("short.test", &[]),
        ("short2.test", &[]),
        ("hex.test", &[]),
        ("octal.test", &[]),
        ("octal2.test", &[]),
        ("scoped.test", &[]),
        ("link-local.test", &["fe80::1"]),
        ("mapped.test", &["::ffff:127.0.0.5"]),
        ("indented.test", &["127.0.0.11"]),
        ("tab.test", &["127.0.0.12"]),
        ("tab2.test", &["127.0.0.12"]),
        ("tab2.test#nocomment", &[]),
        ("nocomment", &[]),
        ("semicolon.test", &["127.0.0.13"]),
        (";", &["127.0.0.13"]),
        ("semicolon2.test", &["127.0.0.13"]),
        ("crlf.test", &["127.0.0.15"]),
        ("after-bad.test", &["127.0.0.16"]),
        ("vertical", &["127.0.0.17"]),
        ("vertical2.test", &["127.0.0.17"]),
        ("localhost", &[]),
        ("nul", &["127.0.0.19"]),
        ("nul2.test", &[]),
        ("x.test", &[]),
        ("after-nul.test", &["127.0.0.20"]),
        ("last.test", &["127.0.0.21"]),
        ("", &[]),
    ];
    for (name, addrs) in cases {
        let expected: Vec<_> = addrs.iter().map(|addr| (*addr).to_owned()).collect();
        assert_eq!(found(&hosts, name), expected, "{name}");
    }
}

#[test]
fn only_the_first_line_of_a_name_counts_without_multi() {
    let hosts = HostsFile::parse(FILE, Lines::First);
    assert_eq!(found(&hosts, "one.test"), ["127.0.0.7"]);
}

#[test]
fn host_conf_decides_whether_all_lines_count() {
    for (text, lines) in [
        ("", Lines::First),
        ("multi on\n", Lines::All),
        ("# comment\n  MULTI\tOn\n", Lines::All),
        ("multi off", Lines::First),
        ("multi on\nmulti off", Lines::First),
        ("multi", Lines::First),
        ("reorder on", Lines::First),
        ("#multi on", Lines::First),
    ] {
        assert_eq!(Lines::of_host_conf(text.as_bytes()), lines, "{text:?}");
    }
}

#[test]
fn a_name_keeps_as_many_addresses_as_an_answer() {
    let mut text = String::new();
    for last in 0..=255 {
        writeln!(text, "127.0.0.{last} many.test").unwrap();
    }
    let hosts = HostsFile::parse(text.as_bytes(), Lines::All);
    assert_eq!(hosts.find("many.test").unwrap().len(), MAX_ADDRS);
}

#[test]
fn a_name_that_is_too_long_to_be_asked_is_ignored() {
    let (long, longest) = ("a".repeat(255), "a".repeat(254));
    let text = format!("127.0.0.1 {long} {longest}");
    let hosts = HostsFile::parse(text.as_bytes(), Lines::All);
    assert_eq!(hosts.find(&long), None);
    assert!(hosts.find(&longest).is_some());
}

/// The time limit is far above the need of a slow machine, and far below the need of a quadratic parser.
#[test]
fn a_file_of_200_000_lines_is_read_in_bounded_time() {
    let mut text = String::new();
    for line in 0..100_000 {
        writeln!(text, "0.0.0.0 advertisement-{line}.example.com").unwrap();
        let (high, low) = (line / 256 % 256, line % 256);
        writeln!(text, "10.0.{high}.{low} the-same-name.example.com").unwrap();
    }
    let start = Instant::now();
    let hosts = HostsFile::parse(text.as_bytes(), Lines::All);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(hosts.find("advertisement-99999.example.com").is_some());
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(text: Vec<u8>) {
        HostsFile::parse(&text, Lines::All);
    }

    #[test]
    fn each_name_of_each_line_is_found(
        lines in proptest::collection::vec((any::<IpAddr>(), "[a-z_.-]{1,20}", "[A-Z]{1,5}"), 0..20),
    ) {
        let mut text = String::new();
        for (addr, name, alias) in &lines {
            writeln!(text, "{addr}\t{name} {alias} # {name}x").unwrap();
        }
        let hosts = HostsFile::parse(text.as_bytes(), Lines::All);
        for (addr, name, alias) in &lines {
            prop_assert!(hosts.find(name).unwrap().contains(addr));
            prop_assert!(hosts.find(&alias.to_lowercase()).unwrap().contains(addr));
        }
    }
}
