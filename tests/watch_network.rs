//! The watch of the system's own interfaces: it begins, notices and ends. Nothing of this machine is
//! changed: what is to be noticed happens in a network namespace of the test's own.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use sidestep::Resolver;

/// A resolver, and what ends when nothing of it is left.
fn resolver() -> (Resolver, Receiver<()>) {
    let (looked, ended) = channel();
    let resolver = Resolver::builder()
        // It belongs to the resolver and to its watch.
        .source_address(move |_| {
            let _ = looked.send(());
            None
        })
        .build()
        .unwrap();
    (resolver, ended)
}

/// Waits for the end of everything that could look; a watch that stays is an error.
fn ends(ended: &Receiver<()>) {
    loop {
        match ended.recv_timeout(Duration::from_secs(30)) {
            Ok(()) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => panic!("the watch outlives its resolver"),
        }
    }
}

/// It needs no runtime, begins once however often it is asked to, and ends with the last clone.
#[test]
fn a_watch_ends_with_the_last_resolver() {
    let (resolver, ended) = resolver();
    resolver.watch_network().unwrap();
    let clone = resolver.clone();
    clone.watch_network().unwrap();
    drop(resolver);
    ended.recv().unwrap();
    drop(clone);
    ends(&ended);
}

/// Each has a watch of its own.
#[test]
fn several_resolvers_watch_side_by_side() {
    let (one, one_ended) = resolver();
    let (other, other_ended) = resolver();
    one.watch_network().unwrap();
    other.watch_network().unwrap();
    drop(one);
    ends(&one_ended);
    other_ended.recv().unwrap();
    drop(other);
    ends(&other_ended);
}

/// Inside of a runtime as outside, and it outlives the runtime.
#[test]
fn a_watch_belongs_to_no_runtime() {
    let (resolver, ended) = resolver();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { resolver.watch_network().unwrap() });
    drop(runtime);
    ended.recv().unwrap();
    drop(resolver);
    ends(&ended);
}

/// The system's own notices, where one may change interfaces without being root.
#[cfg(target_os = "linux")]
mod in_a_namespace {
    use std::process::Command;

    use sidestep::Event;

    use super::*;

    /// Tells the inner test that it is inside.
    const INSIDE: &str = "SIDESTEP_TEST_IN_A_NAMESPACE";
    const NOTICED: &str = "noticed each move";

    /// In a namespace with nothing but a loopback interface the internet comes, and is another one.
    #[test]
    fn an_address_that_the_system_gets_is_another_network() {
        if std::env::var_os(INSIDE).is_some() {
            return inside();
        }
        let tried = namespace().args(["ip", "link", "set", "lo", "up"]).output();
        if !tried.is_ok_and(|done| done.status.success()) {
            eprintln!("skipped: unshare(1) and ip(8) can't make a network namespace here");
            return;
        }
        let inside = namespace()
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "in_a_namespace::an_address_that_the_system_gets_is_another_network",
            ])
            .env(INSIDE, "yes")
            .output()
            .unwrap();
        assert!(inside.status.success(), "{inside:?}");
        let said = String::from_utf8(inside.stdout).unwrap();
        assert!(said.contains(NOTICED), "{said}");
    }

    fn namespace() -> Command {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net"]);
        command
    }

    fn inside() {
        let (change, changed) = channel();
        let told = move |event: &Event<'_>| {
            if matches!(event, Event::NetworkChanged) {
                let _ = change.send(());
            }
        };
        let resolver = Resolver::builder().observe(told).build().unwrap();
        resolver.watch_network().unwrap();
        ip("link set lo up");
        for source in ["192.0.2.5", "198.51.100.5"] {
            ip(&format!("address add {source}/24 dev lo"));
            ip(&format!("route replace default dev lo src {source}"));
            changed.recv_timeout(Duration::from_secs(30)).unwrap();
        }
        println!("{NOTICED}");
    }

    fn ip(words: &str) {
        let done = Command::new("ip").args(words.split(' ')).output().unwrap();
        assert!(done.status.success(), "{words}: {done:?}");
    }
}
