//! Files that change while a process runs.

use crate::system::scenario::{NS1, NS2, Scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
    let zone = "web.a.test A 127.0.0.2\nweb.b.test A 127.0.0.3\nother.a.test A 127.0.0.4";
    vec![
        Scenario::new("resolv.conf is rewritten to another server")
            .resolv("nameserver 127.0.0.53\noptions timeout:1 attempts:1\n")
            .server(NS1, "! * * refused")
            .server(NS2, zone)
            .ask("web.a.test")
            .edit_then_ask("resolv.conf", "nameserver 127.0.0.54\n", "web.a.test"),
        Scenario::new("the search list is rewritten")
            .resolv("nameserver 127.0.0.53\nsearch a.test\n")
            .server(NS1, zone)
            .ask("web")
            .edit_then_ask(
                "resolv.conf",
                "nameserver 127.0.0.53\nsearch b.test\n",
                "web",
            ),
        Scenario::new("resolv.conf comes into being")
            .without("resolv.conf")
            .server(NS1, zone)
            .ask("web.a.test")
            .edit_then_ask("resolv.conf", "nameserver 127.0.0.53\n", "web.a.test"),
        Scenario::new("hosts is edited")
            .server(NS1, zone)
            .ask("web.a.test")
            .edit_then_ask("hosts", "127.0.0.7 web.a.test\n", "web.a.test")
            .edit_then_ask("hosts", "127.0.0.8 web.a.test\n", "web.a.test")
            .edit_then_ask("hosts", "", "web.a.test"),
        Scenario::new("nsswitch.conf is edited")
            .hosts("127.0.0.7 web.a.test\n")
            .server(NS1, zone)
            .nsswitch("files dns")
            .ask("web.a.test")
            .edit_then_ask("nsswitch.conf", "hosts: dns files\n", "web.a.test"),
        Scenario::new("resolv.conf says no-reload and is rewritten")
            .resolv("nameserver 127.0.0.53\nsearch a.test\noptions no-reload\n")
            .server(NS1, zone)
            .ask("web")
            .ask("other"),
    ]
}
