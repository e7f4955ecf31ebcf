use proptest::prelude::*;

use super::Action::{Continue, Merge, Return};
use super::*;

fn names(text: &str) -> Vec<Box<str>> {
    let sources = hosts(text.as_bytes()).unwrap().unwrap();
    sources.into_iter().map(|source| source.name).collect()
}

#[test]
fn the_line_for_hosts_is_found_and_split() {
    let cases: &[(&str, &[&str])] = &[
        ("hosts: files dns", &["files", "dns"]),
        ("hosts:files\tdns\r\n", &["files", "dns"]),
        ("  hosts :\tdns  ", &["dns"]),
        ("hosts files", &["files"]),
        (
            "passwd: files\nhosts: dns # nis\nnetworks: nis",
            &["dns", "#", "nis"],
        ),
        ("hosts:", &[]),
        ("hosts", &[]),
        ("hosts: files[NOTFOUND=return]dns", &["files", "dns"]),
        (
            "hosts: mymachines resolve [!UNAVAIL=return] files",
            &["mymachines", "resolve", "files"],
        ),
    ];
    for (text, expected) in cases {
        let found = names(text);
        assert_eq!(
            found.iter().map(|name| &**name).collect::<Vec<_>>(),
            *expected,
            "{text:?}"
        );
    }
}

#[test]
fn a_file_without_a_line_for_hosts_names_no_sources() {
    for text in [
        "",
        "\n\n",
        "# hosts: nis",
        "passwd: files",
        "hostsx: nis",
        "xhosts: nis",
    ] {
        assert_eq!(hosts(text.as_bytes()), Ok(None), "{text:?}");
    }
}

#[test]
fn actions_change_what_follows_a_result() {
    // The actions are those after success, not found, unavailable and try again.
    for (text, expected) in [
        ("", [Return, Continue, Continue, Continue]),
        ("[NOTFOUND=return]", [Return, Return, Continue, Continue]),
        ("[!UNAVAIL=return]", [Return, Return, Continue, Return]),
        (
            "[!SUCCESS=continue]",
            [Return, Continue, Continue, Continue],
        ),
        (
            "[ success = CONTINUE tryagain=Return ]",
            [Continue, Continue, Continue, Return],
        ),
        ("[SUCCESS=merge]", [Merge, Continue, Continue, Continue]),
        (
            "[!NOTFOUND=return NOTFOUND=return]",
            [Return, Return, Return, Return],
        ),
    ] {
        let text = format!("hosts: x {text} dns");
        let source = hosts(text.as_bytes()).unwrap().unwrap().remove(0);
        let actions = [
            source.success,
            source.not_found,
            source.unavailable,
            source.try_again,
        ];
        assert_eq!(actions, expected, "{text}");
    }
}

#[test]
fn a_line_that_systems_read_differently_is_unclear() {
    for text in [
        "hosts: files dns\nhosts: files",
        "hosts: files \\\n dns",
        "hosts: files [NOTFOUND=return dns",
        "hosts: files [NOTFOUND] dns",
        "hosts: files [] dns",
        "hosts: files [MAYBE=return] dns",
        "hosts: files [NOTFOUND=stop] dns",
        "hosts: files [NOTFOUND=] dns",
        "hosts: files [NOTFOUND=return] [UNAVAIL=return] dns",
        "hosts: [NOTFOUND=return] dns",
    ] {
        assert!(hosts(text.as_bytes()).is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in "(hosts)?[: ]*[a-z\\[\\]!= \\n#\\\\\u{e9}]*") {
        let _ = hosts(text.as_bytes());
    }
}
