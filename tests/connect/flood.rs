//! Memory stays bounded, however many hosts are looked up and fail.
//!
//! `cargo bench --bench flood` does the same with a million hosts, and measures the slowest call.

use std::future::ready;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
#[cfg(unix)]
use std::process::Command;
use std::time::Duration;

use sidestep::lookup::{Answer, Lookup, LookupFuture};
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{Outcome, Resolver};
#[cfg(unix)]
use testkit::in_new_process;

const REFUSES: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A lookup that returns one address for every host. The address refuses connects.
struct Refusing;

impl Lookup for Refusing {
    fn lookup<'a>(&'a self, _: &'a str) -> LookupFuture<'a> {
        let answer = Answer::new([REFUSES]).with_ttl(Duration::from_secs(60));
        Box::pin(ready(Ok(answer)))
    }
}

fn resolver(capacity: usize) -> Resolver {
    let builder = Resolver::builder().lookup(Refusing).max_hosts(capacity);
    builder.build().unwrap()
}

/// The fault that this test detects appeared with fifty thousand hosts. A million hosts would take too long here.
#[cfg(unix)]
#[test]
fn a_flood_of_failing_hosts_takes_bounded_memory() {
    let test = "a_flood_of_failing_hosts_takes_bounded_memory";
    let with_one_arena = |command: &mut Command| {
        let command = command.args(["--test-threads", "1"]);
        command.env("MALLOC_ARENA_MAX", "1");
    };
    if in_new_process(module_path!(), test, with_one_arena) {
        rlimit::Resource::AS.set(256 << 20, 256 << 20).unwrap();
        report_failures(5_000, 60_000);
    }
}

fn report_failures(capacity: usize, hosts: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let resolver = resolver(capacity);
        for n in 0..hosts {
            let host = format!("h{n}.example.test");
            resolver.resolve(&host).await.unwrap();
            resolver.report(&host, REFUSES, Outcome::Refused);
        }
        assert!(resolver.snapshot().hosts.len() <= capacity);
    });
}

#[tokio::test]
async fn a_client_whose_hosts_fail_keeps_no_more_than_max_hosts() {
    const CAPACITY: usize = 100;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let port = TcpListener::bind((REFUSES, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let resolver = resolver(CAPACITY);
    let builder = reqwest::Client::builder().no_proxy();
    let client = builder.sidestep(&resolver).build().unwrap();
    for n in 0..1_000 {
        let url = format!("http://h{n}.example.test:{}/", port.port());
        let error = client.get(url).send().await.unwrap_err();
        assert!(error.is_connect(), "{error:?}");
        assert!(resolver.snapshot().hosts.len() <= CAPACITY);
    }
}
