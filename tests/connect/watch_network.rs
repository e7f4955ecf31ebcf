//! Tests when the network monitor starts, reports a change and ends. Changes are made in a network namespace of the
//! test, so the network of the machine stays as it is.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use sidestep::Resolver;

/// Returns a resolver, and a channel that disconnects when the resolver and its monitor have ended.
fn resolver() -> (Resolver, Receiver<()>) {
    let (sender, ended) = channel();
    let resolver = Resolver::builder()
        // The resolver and its monitor own this closure.
        .source_address(move |_| {
            let _ = sender.send(());
            None
        })
        .build()
        .unwrap();
    (resolver, ended)
}

/// Waits until the resolver and its monitor have ended. Panics if the monitor stays.
fn assert_ends(ended: &Receiver<()>) {
    loop {
        match ended.recv_timeout(Duration::from_secs(30)) {
            Ok(()) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => panic!("the monitor outlives its resolver"),
        }
    }
}

/// A monitor needs no runtime, starts once for several calls, and ends with the last clone of the resolver.
#[test]
fn a_monitor_ends_with_the_last_clone_of_its_resolver() {
    let (resolver, ended) = resolver();
    resolver.watch_network().unwrap();
    let clone = resolver.clone();
    clone.watch_network().unwrap();
    drop(resolver);
    ended.recv().unwrap();
    drop(clone);
    assert_ends(&ended);
}

/// Each resolver has its own monitor.
#[test]
fn several_resolvers_have_monitors_side_by_side() {
    let (one, one_ended) = resolver();
    let (other, other_ended) = resolver();
    one.watch_network().unwrap();
    other.watch_network().unwrap();
    drop(one);
    assert_ends(&one_ended);
    other_ended.recv().unwrap();
    drop(other);
    assert_ends(&other_ended);
}

/// A monitor can start inside of a runtime, and outlives the runtime.
#[test]
fn a_monitor_belongs_to_no_runtime() {
    let (resolver, ended) = resolver();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { resolver.watch_network().unwrap() });
    drop(runtime);
    ended.recv().unwrap();
    drop(resolver);
    assert_ends(&ended);
}

/// Tests the notifications of the system in a namespace, whose interfaces a test may change without root.
#[cfg(target_os = "linux")]
mod in_a_namespace {
    use std::process::Command;

    use sidestep::Event;
    use testkit::test_name;

    use super::*;

    /// Environment variable of the inner process, which runs inside of the namespace.
    const INSIDE: &str = "SIDESTEP_TEST_IN_A_NAMESPACE";
    const REPORTED: &str = "reported each change";

    /// The namespace has only a loopback interface at first. Then the system gets a source address, and another one.
    #[test]
    fn a_new_source_address_of_the_system_is_a_network_change() {
        if std::env::var_os(INSIDE).is_some() {
            return inside();
        }
        let tried = namespace().args(["ip", "link", "set", "lo", "up"]).output();
        if !tried.is_ok_and(|done| done.status.success()) {
            eprintln!("skipped: unshare(1) and ip(8) can't make a network namespace here");
            return;
        }
        let test = test_name(
            module_path!(),
            "a_new_source_address_of_the_system_is_a_network_change",
        );
        let inside = namespace()
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", &test])
            .env(INSIDE, "yes")
            .output()
            .unwrap();
        assert!(inside.status.success(), "{inside:?}");
        let stdout = String::from_utf8(inside.stdout).unwrap();
        assert!(stdout.contains(REPORTED), "{stdout}");
    }

    fn namespace() -> Command {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net"]);
        command
    }

    fn inside() {
        let (change, changed) = channel();
        let observer = move |event: &Event<'_>| {
            if matches!(event, Event::NetworkChanged) {
                let _ = change.send(());
            }
        };
        let resolver = Resolver::builder().observe(observer).build().unwrap();
        resolver.watch_network().unwrap();
        ip("link set lo up");
        for source in ["192.0.2.5", "198.51.100.5"] {
            ip(&format!("address add {source}/24 dev lo"));
            ip(&format!("route replace default dev lo src {source}"));
            changed.recv_timeout(Duration::from_secs(30)).unwrap();
        }
        println!("{REPORTED}");
    }

    fn ip(arguments: &str) {
        let output = Command::new("ip")
            .args(arguments.split(' '))
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments}: {output:?}");
    }
}
