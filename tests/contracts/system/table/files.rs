//! nsswitch.conf, and a resolv.conf that is missing, empty or odd.

use crate::system::scenario::{Answer, NS1, NS2, Scenario};

const ZONE: &str = "web.a.test A 127.0.0.2\nweb.a.test AAAA 2001:db8::2\nboth.a.test A 127.0.0.3";

const RETURN: &str = "a carriage return at the end of a line is a blank";

pub(super) fn scenarios() -> Vec<Scenario> {
    [nsswitch(), resolv()].concat()
}

fn nsswitch() -> Vec<Scenario> {
    let base = |title: &str| {
        Scenario::new(title)
            .resolv("nameserver 127.0.0.53\nsearch a.test\noptions timeout:1 attempts:1\n")
            .hosts("127.0.0.1 localhost\n127.0.0.7 both.a.test\n127.0.0.8 file.a.test\n")
            .server(
                NS1,
                format!("{ZONE}\n! fail.a.test * servfail\nempty.a.test NODATA"),
            )
    };
    let asked = |scenario: Scenario| {
        let names = [
            "web.a.test",
            "both.a.test",
            "file.a.test",
            "no.a.test",
            "empty.a.test",
            "fail.a.test",
            "localhost",
            "web",
            "box",
        ];
        let scenario = names
            .iter()
            .fold(scenario, |scenario, name| scenario.ask(name));
        scenario.or_for(
            "fail.a.test",
            Answer::Failed,
            "the failure of DNS is not hidden by another source",
        )
    };
    let new = |sources: &str| asked(base(&format!("nsswitch hosts: {sources}")).nsswitch(sources));
    let new_without_module = |sources: &str| {
        let reason = "DNS says no, and getaddrinfo fails for want of the module of the last source";
        let negative = ["no.a.test", "empty.a.test", "box"];
        let or = |scenario: Scenario, name: &&str| scenario.or_for(name, Answer::Negative, reason);
        negative.iter().fold(new(sources), or)
    };
    let sources = [
        "files dns",
        "dns files",
        "files",
        "dns",
        "",
        "files [NOTFOUND=return] dns",
        "files [!SUCCESS=return] dns",
        "dns [NOTFOUND=return] files",
        "dns [!UNAVAIL=return] files",
        "dns [TRYAGAIN=return] files",
        "dns [TRYAGAIN=continue NOTFOUND=continue] files",
        "files [SUCCESS=continue] dns",
        "files [SUCCESS=merge] dns",
        "files myhostname dns",
        "files mdns4_minimal [NOTFOUND=return] dns",
        "mymachines resolve [!UNAVAIL=return] files myhostname dns",
        "files unknown dns",
        "files unknown [UNAVAIL=return] dns",
        "files  \tdns  ",
        "FILES DNS",
        "files dns dns",
        "files [notfound=RETURN] dns",
        "files [NOTFOUND=return dns",
    ];
    let mut all: Vec<_> = sources.iter().map(|sources| new(sources)).collect();
    all.extend([
        new_without_module("files dns myhostname"),
        new_without_module("files dns # a comment"),
        asked(base("no nsswitch.conf").without("nsswitch.conf")),
        asked(base("an empty nsswitch.conf").file("nsswitch.conf", "")),
        asked(base("nsswitch.conf without hosts").file("nsswitch.conf", "passwd: files\n")),
        asked(
            base("two hosts lines in nsswitch.conf")
                .file("nsswitch.conf", "hosts: files\nhosts: files dns\n"),
        ),
        asked(
            base("nsswitch.conf with leading blanks")
                .file("nsswitch.conf", "  hosts:   files dns\n"),
        ),
        asked(base("nsswitch.conf in upper case").file("nsswitch.conf", "HOSTS: files\n")),
        asked(
            base("nsswitch.conf with carriage returns")
                .file("nsswitch.conf", "hosts: files dns\r\n"),
        ),
    ]);
    all
}

fn resolv() -> Vec<Scenario> {
    let asked = |scenario: Scenario| {
        let names = ["web.a.test", "web", "no.a.test", "localhost"];
        names
            .iter()
            .fold(scenario, |scenario, name| scenario.ask(name))
    };
    let new =
        |title: &str, resolv: &str| asked(Scenario::new(title).resolv(resolv).server(NS1, ZONE));
    let local = |scenario: Scenario| asked(scenario.server("127.0.0.1", ZONE));
    vec![
        local(Scenario::new("no resolv.conf").without("resolv.conf")),
        local(Scenario::new("no resolv.conf and a hostname with a domain").without("resolv.conf").hostname("box.a.test")),
        asked(Scenario::new("no resolv.conf and no server on 127.0.0.1").without("resolv.conf")),
        local(Scenario::new("an empty resolv.conf").resolv("")),
        local(Scenario::new("resolv.conf with comments alone").resolv("# nameserver 127.0.0.53\n; x\n")),
        local(Scenario::new("resolv.conf with a search line alone").resolv("search a.test\n")),
        local(Scenario::new("resolv.conf with a bad server alone").resolv("nameserver 127.0.0.256\nnameserver x\nnameserver\n")),
        new("trailing blanks", "nameserver 127.0.0.53   \nsearch a.test   \n"),
        new("tabs", "nameserver\t127.0.0.53\nsearch\ta.test\n"),
        new("carriage returns", "nameserver 127.0.0.53\r\nsearch a.test\r\noptions timeout:1\r\n")
            .or_for("web.a.test", Answer::addrs(&["127.0.0.2", "2001:db8::2"]), RETURN)
            .or_for("web", Answer::addrs(&["127.0.0.2", "2001:db8::2"]), RETURN)
            .or_for("no.a.test", Answer::Negative, RETURN),
        new("a carriage return in the search line alone", "nameserver 127.0.0.53\nsearch a.test\r\n")
            .or_for("web", Answer::addrs(&["127.0.0.2", "2001:db8::2"]), RETURN),
        new("leading blanks", "  nameserver 127.0.0.53\nnameserver 127.0.0.53\n"),
        new("a comment behind a server", "nameserver 127.0.0.53 # x\nsearch a.test\n"),
        new("a comment without a blank behind a server", "nameserver 127.0.0.53#x\nnameserver 127.0.0.53\n"),
        new("text behind a server", "nameserver 127.0.0.53 127.0.0.54\nsearch a.test\n"),
        new("a server with a port", "nameserver 127.0.0.53:53\nnameserver 127.0.0.53\n"),
        new("a server in brackets", "nameserver [127.0.0.53]:53\nnameserver 127.0.0.53\n"),
        new("a server of two numbers", "nameserver 127.53\nsearch a.test\noptions timeout:1 attempts:1\n"),
        new("no newline at the end", "search a.test\nnameserver 127.0.0.53"),
        new("unknown lines", "lookup file bind\nfamily inet4\nnameserver 127.0.0.53\nsearch a.test\nfoo\n"),
        new("sortlist", "nameserver 127.0.0.53\nsortlist 127.0.0.0/255.0.0.0\nsearch a.test\n"),
        new("options before servers, with unknown ones", "options foo:1 ndots:1 bar\nnameserver 127.0.0.53\nsearch a.test\n"),
        new("options with tabs and a comment", "options\tndots:1\ttimeout:1 # rotate\nnameserver 127.0.0.53\nsearch a.test\n"),
        new("option names in upper case", "OPTIONS NDOTS:5\nnameserver 127.0.0.53\nsearch a.test\n"),
        new("the same server twice", "nameserver 127.0.0.53\nnameserver 127.0.0.53\nsearch a.test\n"),
        new("an unusable server and a good one", "nameserver 255.255.255.255\nnameserver 127.0.0.53\nsearch a.test\noptions timeout:1 attempts:1\n"),
        asked(
            Scenario::new("an IPv6 server without a route and a good one")
                .resolv("nameserver 2001:db8::53\nnameserver 127.0.0.54\nsearch a.test\noptions timeout:1 attempts:1\n")
                .server(NS2, ZONE),
        )
        .or(Answer::addrs(&["127.0.0.1"]), "localhost is answered without a name server"),
    ]
}
