//! A real recursive name server, unbound, in front of zones and of scripted name servers.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use std::{fs, io};

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use tokio::net::UdpSocket;
use tokio::process::{Child, Command};

use crate::system::namespace::program;
use crate::system::scenario::{Answer, NS1, Scenario};

/// A running unbound.
#[derive(Debug)]
pub(crate) struct Unbound(Child);

impl Unbound {
    /// Starts unbound and waits until it answers.
    pub(crate) async fn start(folder: &Path, conf: &str) -> Self {
        let path = folder.join("unbound.conf");
        fs::write(folder.join("root.zone"), ROOT).unwrap();
        fs::write(folder.join("corp.zone"), CORP).unwrap();
        fs::write(&path, conf.replace("FOLDER", folder.to_str().unwrap())).unwrap();
        let mut command = Command::new(program(NAME));
        command
            .args(["-d", "-p", "-c"])
            .arg(path)
            .stdout(Stdio::null());
        let child = command.kill_on_drop(true).spawn();
        let unbound = Self(child.unwrap_or_else(|error| panic!("{NAME}: {error}")));
        for _ in 0..200 {
            if answers().await.is_ok() {
                return unbound;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("unbound does not answer within 10 s; its configuration:\n{conf}");
    }

    /// Stops unbound and frees its port.
    pub(crate) async fn stop(mut self) {
        self.0.kill().await.unwrap();
    }
}

const NAME: &str = "unbound";

/// Returns an error if unbound is not installed.
pub(crate) fn version() -> io::Result<()> {
    let mut command = std::process::Command::new(program(NAME));
    let version = command
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    version.status().map(|_| ())
}

async fn answers() -> io::Result<()> {
    let mut query = Message::query();
    query.add_query(Query::query(Name::root(), RecordType::SOA));
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect((NS1, 53)).await?;
    socket
        .send(&query.to_vec().map_err(io::Error::other)?)
        .await?;
    let mut buffer = [0; 4096];
    let reply = tokio::time::timeout(Duration::from_millis(500), socket.recv(&mut buffer));
    reply.await??;
    Ok(())
}

/// The root zone, which delegates to a good scripted server, a lame one, and one that does not exist.
const ROOT: &str = "\
. 60 IN SOA ns. root. 1 60 60 60 5
. 60 IN NS ns.
ns. 60 IN A 127.0.0.60
test. 60 IN NS ns.test.
ns.test. 60 IN A 127.0.0.60
example. 60 IN NS ns.example.
ns.example. 60 IN A 127.0.0.60
lame. 60 IN NS ns.lame.
ns.lame. 60 IN A 127.0.0.61
dead. 60 IN NS ns.dead.
ns.dead. 60 IN A 127.0.0.62
half. 60 IN NS ns1.half.
half. 60 IN NS ns2.half.
ns1.half. 60 IN A 127.0.0.61
ns2.half. 60 IN A 127.0.0.60
tld. 60 IN A 192.0.2.80
";

/// A zone that unbound itself is authoritative for.
const CORP: &str = "\
corp.test. 5 IN SOA ns.corp.test. root.corp.test. 1 60 60 60 5
corp.test. 5 IN NS ns.corp.test.
ns.corp.test. 5 IN A 127.0.0.53
web.corp.test. 5 IN A 192.0.2.1
web.corp.test. 5 IN AAAA 2001:db8::1
v6.corp.test. 5 IN AAAA 2001:db8::2
alias.corp.test. 5 IN CNAME www.example.
gone.corp.test. 5 IN CNAME no.corp.test.
out.corp.test. 5 IN CNAME www.lame.
txt.corp.test. 5 IN TXT \"no address\"
*.wild.corp.test. 5 IN A 192.0.2.9
my_service.corp.test. 5 IN A 192.0.2.10
";

const CONF: &str = "\
server:
  interface: 127.0.0.53
  interface: ::1
  directory: \"FOLDER\"
  username: \"\"
  chroot: \"\"
  pidfile: \"\"
  use-syslog: no
  verbosity: 0
  num-threads: 1
  do-not-query-localhost: no
  access-control: 127.0.0.0/8 allow
  module-config: \"iterator\"
  local-zone: \"test.\" nodefault
  local-zone: \"redirect.example.\" redirect
  local-data: \"redirect.example. 5 IN A 192.0.2.20\"
  local-zone: \"refused.example.\" always_refuse
  local-zone: \"nodata.example.\" always_nodata
  local-zone: \"blocked.example.\" always_nxdomain
  local-zone: \"null.example.\" always_null
  local-zone: \"silent.example.\" always_deny
  local-zone: \"static.example.\" static
  local-data: \"web.static.example. 5 IN A 192.0.2.21\"
remote-control:
  control-enable: no
auth-zone:
  name: \".\"
  zonefile: \"FOLDER/root.zone\"
  for-upstream: yes
  for-downstream: no
  fallback-enabled: no
auth-zone:
  name: \"corp.test.\"
  zonefile: \"FOLDER/corp.zone\"
  for-upstream: yes
  for-downstream: yes
  fallback-enabled: no
";

/// The zone of the scripted authoritative server.
const DELEGATED: &str = "\
! * * authoritative
test NODATA
example NODATA
half NODATA
web.a.test A 192.0.2.30
web.a.test AAAA 2001:db8::30
v4.a.test A 192.0.2.31
empty.a.test NODATA
web.b.test A 192.0.2.32
www.example A 192.0.2.33
www.example AAAA 2001:db8::33
www.half A 192.0.2.34
chain.a.test CNAME alias.corp.test
*.wild.a.test CNAME web.b.test
";

/// Returns the scenarios behind unbound.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let names: &[&str] = &[
        "web",
        "web.corp.test",
        "web.corp.test.",
        "v6",
        "alias",
        "gone",
        "gone.corp.test.",
        "out",
        "txt",
        "x.wild",
        "x.y.wild.corp.test",
        "my_service",
        "web.a.test",
        "v4.a.test",
        "empty.a.test",
        "no.a.test",
        "chain.a.test",
        "x.wild.a.test",
        "www.example",
        "www.example.",
        "www.half",
        "www.lame",
        "www.lame.",
        "tld",
        "tld.",
        "no.such",
        "redirect.example",
        "x.redirect.example",
        "refused.example",
        "nodata.example",
        "blocked.example",
        "null.example",
        "web.static.example",
        "no.static.example",
        "x.invalid",
        "x.onion",
        "1.0.0.127.in-addr.arpa",
        "corp.test",
        "localhost",
    ];
    let new = |title: &str, lines: &str| {
        let resolv = format!("nameserver 127.0.0.53\n{lines}\n");
        let mut scenario = Scenario::new(format!("unbound, {title}"))
            .resolv(resolv)
            .server("127.0.0.60", DELEGATED)
            .server("127.0.0.61", "! * * refused");
        scenario.unbound = Some(CONF.to_owned());
        scenario.rerun = format!(
            "SIDESTEP_SYSTEM_ONLY={:?} cargo test --test contracts unbound",
            scenario.title
        );
        scenario
    };
    let hidden = "the failure of a candidate is not hidden by NXDOMAIN or NODATA of another";
    let with_names = |scenario: Scenario| {
        let ask =
            |scenario: Scenario, name: &&str| scenario.ask(name).or_negative_is_failure(hidden);
        names.iter().fold(scenario, ask)
    };
    // unbound returns an alias of its own zone without the target.
    let aliased = |scenario: Scenario| {
        let target = Answer::addrs(&["192.0.2.33", "2001:db8::33"]);
        with_names(scenario).or_for(
            "alias",
            target,
            "an alias whose target the reply lacks is followed",
        )
    };
    vec![
        with_names(new("no search list", "")),
        aliased(new("a search list", "search corp.test a.test")),
        aliased(new(
            "ndots:5 and a search list",
            "search a.test corp.test\noptions ndots:5",
        )),
        aliased(new(
            "edns0 and trust-ad",
            "search corp.test\noptions edns0 trust-ad",
        )),
        aliased(new("use-vc", "search corp.test\noptions use-vc")),
        aliased(new(
            "single-request and rotate",
            "search corp.test\noptions single-request rotate",
        )),
        aliased(new("a lame search domain", "search lame corp.test")),
        with_names(new(
            "a search domain that refuses",
            "search refused.example corp.test",
        )),
        with_names(new(
            "a search domain under a redirect",
            "search redirect.example corp.test",
        )),
        aliased(new("over IPv6", "search corp.test").resolv("nameserver ::1\nsearch corp.test\n")),
        aliased(
            new("and a dead server before it", "search corp.test")
                .resolv("nameserver 127.0.0.99\nnameserver 127.0.0.53\nsearch corp.test\n"),
        ),
        // unbound tries a dead server for longer than any client waits.
        new(
            "a dead search domain last",
            "search corp.test dead\noptions timeout:1 attempts:1",
        )
        .ask("web")
        .ask("no.a.test")
        .or(Answer::Failed, hidden)
        .ask("tld"),
        new(
            "a dead delegation",
            "search corp.test\noptions timeout:1 attempts:1",
        )
        .ask("www.dead")
        .or(Answer::Failed, hidden)
        .ask("www.dead.")
        .ask("web.a.test"),
        new("a zone that is dropped", "options timeout:1 attempts:1")
            .ask("x.silent.example")
            .or(Answer::Failed, hidden)
            .ask("web.a.test"),
    ]
}
