//! Bounds of lookups: the limits of this process are lowered, so it is a test binary of its own.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::fs::File;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use common::{NameServer, RecordType, asking};
use rlimit::Resource;
use sidestep::Resolver;

/// Descriptors are of the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn ip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// 1 000 names at once with 1 024 file descriptors, while no name server answers for a while.
#[test]
fn a_thousand_names_at_once_all_resolve() {
    let _alone = ALONE.lock().unwrap_or_else(|it| it.into_inner());
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
        let asking = names.iter().map(|name| resolver.resolve(name));
        for resolved in futures_util::future::join_all(asking).await {
            assert_eq!(resolved.unwrap().addrs(), [ip(1)]);
        }
    });
    assert_eq!(dns.total(), 2_000);
}

/// The time limit of a lookup counts from its sending, and not from its waiting for a turn.
#[test]
fn a_lookup_that_waits_for_its_turn_keeps_its_time() {
    let dns = NameServer::start_in_background();
    for n in 0..5 {
        dns.set(&format!("h{n}.test"), &[ip(1)], 60);
    }
    dns.delay(Duration::from_millis(300));
    runtime().block_on(async {
        let builder = Resolver::builder().lookup(asking(&dns));
        let builder = builder.lookup_timeout(Duration::from_millis(700));
        let resolver = builder.lookups_at_once(1).build().unwrap();
        let asking = (0..5).map(|n| {
            let resolver = resolver.clone();
            async move { resolver.resolve(&format!("h{n}.test")).await }
        });
        for resolved in futures_util::future::join_all(asking).await {
            assert_eq!(resolved.unwrap().addrs(), [ip(1)]);
        }
    });
}

/// No file descriptor is left: the error says so, and neither ends an answer nor is kept for one.
#[test]
fn an_error_of_this_machine_is_no_answer_of_dns() {
    let _alone = ALONE.lock().unwrap_or_else(|it| it.into_inner());
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
