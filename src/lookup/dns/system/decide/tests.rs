use super::super::{nsswitch, resolv};
use super::*;

const STUB: &str = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch corp.test";
const OTHER: &str = "nameserver 192.0.2.53\nsearch corp.test";

fn machine() -> Machine {
    Machine {
        hostname: Some("vm.corp.test".to_owned()),
        ..Machine::default()
    }
}

fn verdict(
    libc: Libc,
    machine: &Machine,
    resolv: &str,
    nsswitch: &str,
    mdns_allow: bool,
) -> Verdict {
    let read = resolv::parse(resolv.as_bytes(), libc, machine, &|_| None);
    decide(Facts {
        libc,
        machine,
        stub: &read.stub,
        obstacle: read.obstacle,
        sources: nsswitch::hosts(nsswitch.as_bytes()),
        has_mdns_allow: mdns_allow,
    })
}

fn glibc(resolv: &str, nsswitch: &str) -> Verdict {
    verdict(Libc::Glibc, &machine(), resolv, nsswitch, false)
}

fn is_system(verdict: &Verdict) -> bool {
    matches!(verdict.decision, Decision::System { .. })
}

/// The cases are the lines of distributions, and lines that administrators write.
#[test]
fn the_stub_resolver_answers_where_it_finds_what_the_system_finds() {
    // The fields are the resolv.conf, the `hosts:` line, and whether names go to the system too.
    for (resolv, line, also_system) in [
        // Debian, Ubuntu servers, most containers.
        (OTHER, "hosts: files dns", false),
        (STUB, "hosts: files dns", false),
        (OTHER, "", false),
        (OTHER, "passwd: files", false),
        // Ubuntu and Debian desktops.
        (
            OTHER,
            "hosts: files mdns4_minimal [NOTFOUND=return] dns",
            false,
        ),
        (
            OTHER,
            "hosts: files mdns4_minimal [NOTFOUND=return] dns mdns4",
            false,
        ),
        (
            OTHER,
            "hosts: files mdns_minimal [NOTFOUND=return] dns",
            false,
        ),
        // Fedora, openSUSE, Arch.
        (
            STUB,
            "hosts: files myhostname mdns4_minimal [NOTFOUND=return] resolve [!UNAVAIL=return] dns",
            false,
        ),
        (OTHER, "hosts: files dns myhostname", false),
        (OTHER, "hosts: files myhostname dns", false),
        (
            STUB,
            "hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns",
            true,
        ),
        (STUB, "hosts: files resolve [!UNAVAIL=return] dns", false),
        (OTHER, "hosts: mymachines files dns", true),
        // Sources after DNS.
        (OTHER, "hosts: files dns nis", true),
        (OTHER, "hosts: files dns wins", true),
        (OTHER, "hosts: files dns [NOTFOUND=return] nis", true),
        (OTHER, "hosts: files dns [!SUCCESS=return] nis", false),
        (OTHER, "hosts: files dns resolve", true),
        (OTHER, "hosts: files dns # a comment", true),
        (OTHER, "hosts: files [!SUCCESS=continue] dns", false),
    ] {
        let found = glibc(resolv, line).decision;
        assert_eq!(found, Decision::Dns { also_system }, "{line}");
    }
}

#[test]
fn the_system_answers_where_another_source_may_answer_first() {
    for (resolv, line) in [
        (OTHER, "hosts:"),
        (OTHER, "hosts: files"),
        (OTHER, "hosts: dns files"),
        (OTHER, "hosts: dns [!UNAVAIL=return] files"),
        (OTHER, "hosts: nis dns files"),
        (OTHER, "hosts: dns # files"),
        (OTHER, "hosts: files nis dns"),
        (OTHER, "hosts: db files dns"),
        (OTHER, "hosts: compat dns"),
        (OTHER, "hosts: files wins dns"),
        (OTHER, "hosts: files sss dns"),
        (OTHER, "hosts: files libvirt dns"),
        (OTHER, "hosts: cache files dns"),
        (OTHER, "hosts: files [NOTFOUND=return] dns"),
        (OTHER, "hosts: files [SUCCESS=continue] dns"),
        (OTHER, "hosts: files [SUCCESS=merge] dns"),
        (OTHER, "hosts: files dns [SUCCESS=continue] nis"),
        (OTHER, "hosts: files mdns4 [UNAVAIL=return] dns"),
        (OTHER, "hosts: files myhostname [NOTFOUND=return] dns"),
        (OTHER, "hosts: files resolve [!UNAVAIL=return] dns"),
        (STUB, "hosts: files resolve"),
        (STUB, "hosts: files resolve dns"),
        (STUB, "hosts: files resolve [NOTFOUND=return] dns"),
        (
            "nameserver 127.0.0.53\nnameserver 192.0.2.53",
            "hosts: files resolve [!UNAVAIL=return] dns",
        ),
        (OTHER, "hosts: files dns\nhosts: files dns"),
        (OTHER, "hosts: files [ dns"),
        ("options no-tld-query", "hosts: files dns"),
        ("", "hosts: files resolve [!UNAVAIL=return] dns"),
    ] {
        assert!(is_system(&glibc(resolv, line)), "{line}");
    }
}

#[test]
fn a_file_for_mdns_leaves_names_to_the_system() {
    let with = |line| verdict(Libc::Glibc, &machine(), OTHER, line, true);
    assert!(is_system(&with(
        "hosts: files mdns4_minimal [NOTFOUND=return] dns"
    )));
    assert!(!is_system(&with("hosts: files dns")));
    let after = with("hosts: files dns mdns4");
    assert_eq!(after.decision, Decision::Dns { also_system: true });
}

#[test]
fn musl_has_no_nsswitch_and_other_systems_answer_themselves() {
    let musl = verdict(Libc::Musl, &machine(), OTHER, "hosts: nis", true);
    assert_eq!(musl.decision, Decision::Dns { also_system: false });
    assert!(!musl.exceptions.cover("printer.local"));
    assert!(!is_system(&verdict(
        Libc::Bsd,
        &machine(),
        OTHER,
        "hosts: files dns",
        false
    )));
    let other = verdict(
        Libc::Other("a reason"),
        &machine(),
        OTHER,
        "hosts: files dns",
        false,
    );
    assert_eq!(
        other.decision,
        Decision::System {
            reason: "a reason".into()
        }
    );
}

#[test]
fn variables_that_are_not_implemented_leave_names_to_the_system() {
    let machine = Machine {
        foreign: Some("HOSTALIASES"),
        ..machine()
    };
    let found = verdict(Libc::Glibc, &machine, OTHER, "hosts: files dns", false);
    let reason = "the environment variable HOSTALIASES is set".into();
    assert_eq!(found.decision, Decision::System { reason });
}

#[test]
fn an_unknown_hostname_leaves_names_to_the_system_where_it_is_a_name() {
    let machine = Machine::default();
    let with = |line| verdict(Libc::Glibc, &machine, OTHER, line, false);
    assert!(is_system(&with("hosts: files myhostname dns")));
    assert!(!is_system(&with("hosts: files dns")));
}

#[test]
fn some_names_are_exceptions() {
    let plain = "hosts: files dns";
    let mdns = "hosts: files mdns4_minimal [NOTFOUND=return] dns";
    let own = "hosts: files dns myhostname";
    let resolved = "hosts: files resolve [!UNAVAIL=return] dns";
    let machines = "hosts: mymachines files dns";
    // The fields are the `hosts:` line, the names that go to the system, and the names that do not.
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            plain,
            &["a\\b.test", "fe80::1%eth0"],
            &["web", "a.local", "vm.corp.test", "localhost"],
        ),
        (
            mdns,
            &["a.local", "A.b.LOCAL.", "local"],
            &["web", "a.locals", "xlocal", "local.test"],
        ),
        (
            own,
            &[
                "vm.corp.test",
                "VM.Corp.Test.",
                "localhost",
                "a.localhost",
                "localhost.localdomain",
                "a.localhost.localdomain",
                "_gateway",
                "gateway",
                "_outbound",
            ],
            &[
                "vm",
                "web",
                "a.local",
                "xlocalhost",
                "a.gateway",
                "x.vm.corp.test",
            ],
        ),
        (
            resolved,
            &["web", "web.", "a.local", "vm.corp.test", "_gateway"],
            &["a.b", "api.example.com"],
        ),
        (machines, &["web"], &["a.b", "a.local"]),
    ];
    for (line, covered, others) in cases {
        let exceptions = glibc(STUB, line).exceptions;
        for name in *covered {
            assert!(exceptions.cover(name), "{line}: {name}");
        }
        for name in *others {
            assert!(!exceptions.cover(name), "{line}: {name}");
        }
    }
}

/// systemd-resolved appends domains only to names without dots, and these names go to the system.
#[test]
fn the_search_list_and_the_hosts_file_are_used_as_the_sources_use_them() {
    for (line, reads_hosts, searches) in [
        ("hosts: files dns", true, true),
        ("hosts: dns", false, true),
        ("hosts: files resolve [!UNAVAIL=return] dns", true, false),
        ("hosts: resolve [!UNAVAIL=return] files dns", true, false),
    ] {
        let found = glibc(STUB, line);
        assert!(!is_system(&found), "{line}");
        assert_eq!(
            (found.reads_hosts, found.searches),
            (reads_hosts, searches),
            "{line}"
        );
    }
}
