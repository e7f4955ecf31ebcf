//! Tests bounds of lookups. A test that lowers the file descriptor limit has a process of its own.

use std::fs::File;
use std::net::IpAddr;
use std::time::Duration;

use rlimit::Resource;
use sidestep::Resolver;
use testkit::{NameServer, RecordType, asking, in_new_process};

fn ip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// 1 000 lookups start at once with 1 024 file descriptors, and the name server delays each reply.
#[test]
fn a_thousand_lookups_at_once_all_succeed() {
    let test = "a_thousand_lookups_at_once_all_succeed";
    if !in_new_process(module_path!(), test, |_| {}) {
        return;
    }
    let (_, hard) = rlimit::getrlimit(Resource::NOFILE).unwrap();
    rlimit::setrlimit(Resource::NOFILE, hard.min(1_024), hard).unwrap();
    let dns = NameServer::start_in_background();
    let names: Vec<_> = (0..1_000).map(|n| format!("h{n}.test")).collect();
    for name in &names {
        dns.set(name, &[ip(1)], 60);
    }
    dns.delay(Duration::from_millis(100));
    runtime().block_on(async {
        let resolver = Resolver::builder().lookup(asking(&dns)).build().unwrap();
        let lookups = names.iter().map(|name| resolver.resolve(name));
        for resolved in futures_util::future::join_all(lookups).await {
            assert_eq!(resolved.unwrap().addrs(), [ip(1)]);
        }
    });
    assert_eq!(dns.total(), 2_000);
}

/// The time limit of a lookup counts from when the lookup is sent, not from when it is queued.
#[test]
fn a_queued_lookup_keeps_its_whole_time_limit() {
    let dns = NameServer::start_in_background();
    for n in 0..5 {
        dns.set(&format!("h{n}.test"), &[ip(1)], 60);
    }
    dns.delay(Duration::from_millis(300));
    runtime().block_on(async {
        let builder = Resolver::builder().lookup(asking(&dns));
        let builder = builder.lookup_timeout(Duration::from_millis(700));
        let resolver = builder.lookups_at_once(1).build().unwrap();
        let lookups = (0..5).map(|n| {
            let resolver = resolver.clone();
            async move { resolver.resolve(&format!("h{n}.test")).await }
        });
        for resolved in futures_util::future::join_all(lookups).await {
            assert_eq!(resolved.unwrap().addrs(), [ip(1)]);
        }
    });
}

/// Without a free file descriptor a lookup fails. The error names this machine, ends no answer and is not kept.
#[test]
fn an_error_of_this_machine_is_no_negative_answer() {
    let test = "an_error_of_this_machine_is_no_negative_answer";
    if !in_new_process(module_path!(), test, |_| {}) {
        return;
    }
    let dns = NameServer::start_in_background();
    dns.set("known.test", &[ip(1)], 60);
    dns.set("new.test", &[ip(2)], 60);
    runtime().block_on(async {
        let resolver = Resolver::builder().lookup(asking(&dns)).build().unwrap();
        resolver.resolve("known.test").await.unwrap();
        resolver.invalidate("known.test");
        let (soft, hard) = rlimit::getrlimit(Resource::NOFILE).unwrap();
        let open: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok())
            .take(64)
            .collect();
        let used = std::os::fd::AsRawFd::as_raw_fd(open.last().unwrap());
        rlimit::setrlimit(Resource::NOFILE, used as u64, hard).unwrap();
        let stale = resolver.resolve("known.test").await;
        let error = resolver.resolve("new.test").await.unwrap_err();
        rlimit::setrlimit(Resource::NOFILE, soft, hard).unwrap();
        drop(open);
        assert_eq!(stale.unwrap().addrs(), [ip(1)]);
        assert!(!error.is_not_found() && !error.is_no_records() && !error.is_timeout());
        assert!(error.to_string().contains("this machine"), "{error}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("os error 24"), "{source}");
        assert_eq!(resolver.resolve("new.test").await.unwrap().addrs(), [ip(2)]);
    });
    assert_eq!(dns.queries("new.test", RecordType::A), 1);
}
