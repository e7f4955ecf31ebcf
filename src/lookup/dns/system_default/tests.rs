use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::super::system::Paths;
use super::*;

/// A folder with the system's files, which is removed when the test ends.
struct Etc(PathBuf);

impl Etc {
    fn new(files: &[(&str, &str)]) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("sidestep-decided-{}-{made}", std::process::id());
        let etc = Self(std::env::temp_dir().join(name));
        fs::create_dir(&etc.0).unwrap();
        for (name, text) in files {
            etc.write(name, text);
        }
        etc
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    fn files(&self) -> SystemFiles {
        SystemFiles::at(Paths::in_folder(&self.0))
    }

    fn decided(&self) -> SystemDefault {
        SystemDefault {
            dns: Dns::new(Source::System(self.files())),
            system: System::new(),
        }
    }
}

impl Drop for Etc {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A resolv.conf whose name server does not listen, so that every query fails.
const RESOLV: &str = "nameserver 127.0.0.1\nsearch corp.test\noptions ndots:5\n";
const NSSWITCH: &str = "hosts: files dns\n";

/// The hosts file alone determines both families of a host, for any `ndots`.
#[tokio::test]
async fn a_name_of_the_hosts_file_is_not_asked_for() {
    let etc = Etc::new(&[
        ("resolv.conf", RESOLV),
        ("nsswitch.conf", NSSWITCH),
        ("hosts", "127.0.0.7 foo.remote api.example.com # here\n"),
    ]);
    let decided = etc.decided();
    for host in ["foo.remote", "api.example.com"] {
        let answer = decided.lookup(host).await.unwrap();
        assert_eq!(answer.addrs, [ip("127.0.0.7")], "{host}");
        assert!(!answer.is_partial && answer.late.is_none());
    }
    let named = Dns::builder().server(([127, 0, 0, 1], 1).into());
    let named = named.search(["corp.test"]).ndots(5).build().unwrap();
    let Source::Named(config, _) = named.source else {
        panic!("the servers were named");
    };
    let dns = Dns::new(Source::Named(config, Some(etc.files())));
    let answer = dns.lookup("foo.remote.").await.unwrap();
    assert_eq!(answer.addrs, [ip("127.0.0.7")]);
}

/// Lookups use an edited hosts file within a second.
#[tokio::test]
async fn an_edited_hosts_file_holds() {
    let etc = Etc::new(&[
        ("resolv.conf", RESOLV),
        ("nsswitch.conf", NSSWITCH),
        ("hosts", "127.0.0.7 moving.test\n"),
    ]);
    let decided = etc.decided();
    let answer = decided.lookup("moving.test").await.unwrap();
    assert_eq!(answer.addrs, [ip("127.0.0.7")]);
    etc.write("hosts", "127.0.0.8 moving.test and.more.test\n");
    let moved = async {
        loop {
            let answer = decided.lookup("moving.test").await.unwrap();
            if answer.addrs == [ip("127.0.0.8")] {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, moved).await.unwrap();
}

/// If the stub resolver does not implement a source, the system resolves every host.
#[tokio::test]
async fn what_is_not_implemented_goes_to_the_system() {
    let etc = Etc::new(&[
        ("resolv.conf", RESOLV),
        ("nsswitch.conf", "hosts: files ldap dns\n"),
        ("hosts", "127.0.0.7 foo.remote\n"),
    ]);
    let decided = etc.decided();
    // getaddrinfo reads the files of this machine instead of the test's, and resolves an address to itself.
    let answer = decided.lookup("127.0.0.9").await.unwrap();
    assert_eq!(answer.addrs, [ip("127.0.0.9")]);
}

/// The system's answer counts, because the system may know hosts that the name servers do not know.
///
/// Of two errors, a failure counts before a negative answer.
#[test]
fn the_graver_error_is_returned() {
    let (no, failed) = (
        || ResolveError::not_found("a"),
        || ResolveError::failed("a", "EAI_AGAIN"),
    );
    let answer = Answer::new([ip("192.0.2.1")]);
    assert_eq!(more_serious(no(), Ok(answer.clone())).unwrap(), answer);
    assert_eq!(more_serious(failed(), Ok(answer.clone())).unwrap(), answer);
    assert!(more_serious(no(), Err(no())).unwrap_err().is_not_found());
    assert!(
        !more_serious(no(), Err(failed()))
            .unwrap_err()
            .is_not_found()
    );
    assert!(
        !more_serious(failed(), Err(no()))
            .unwrap_err()
            .is_not_found()
    );
}
