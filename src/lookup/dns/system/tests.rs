use std::fs::{self, File};
use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::SystemTime;

use std::path::PathBuf;

use super::hosts::HostsFile;
use super::*;

/// A temporary folder, which is removed when the test ends.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sidestep-system-{}-{next}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    /// Writes a file whose last change was long ago.
    fn write_old(&self, name: &str, text: &str) {
        self.write(name, text);
        let file = File::options().write(true).open(self.0.join(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }

    fn files(&self) -> SystemFiles {
        self.files_of(Libc::Glibc, || machine("vm.corp.test"))
    }

    fn files_of(&self, libc: Libc, machine: fn() -> Machine) -> SystemFiles {
        SystemFiles::with(Paths::in_folder(&self.0), libc, machine, true)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn machine(hostname: &str) -> Machine {
    Machine {
        hostname: Some(hostname.to_owned()),
        ..Machine::default()
    }
}

fn server(config: &Arc<SystemConfig>) -> String {
    config.stub.servers[0].addr.ip().to_string()
}

fn is_in_hosts(config: &Arc<SystemConfig>, name: &str) -> bool {
    config.hosts.find(name).is_some()
}

const SECOND: Duration = Duration::from_secs(1);
const DNS: Decision = Decision::Dns { also_system: false };

#[test]
fn files_are_read_outside_of_a_runtime() {
    let folder = Folder::new();
    folder.write("resolv.conf", "nameserver 192.0.2.1\nsearch a.test\n");
    folder.write("hosts", "192.0.2.7 web.test\n192.0.2.8 web.test\n");
    folder.write("nsswitch.conf", "hosts: files dns\n");
    folder.write("host.conf", "multi on\n");
    let config = folder.files().current();
    assert_eq!(config.decision, DNS);
    assert_eq!(server(&config), "192.0.2.1");
    assert_eq!(&*config.stub.search[0], "a.test");
    assert_eq!(config.hosts.find("web.test").unwrap().len(), 2);
    assert!(!config.is_for_system("web.test"));
}

/// Without any file, glibc uses the name server 127.0.0.1, the domain of the hostname, and `files dns`.
#[test]
fn without_any_file_the_name_server_is_local() {
    let folder = Folder::new();
    let config = folder.files().current();
    assert_eq!(config.decision, DNS);
    assert_eq!(server(&config), "127.0.0.1");
    assert_eq!(&*config.stub.search[0], "corp.test");
    assert_eq!(config.hosts, HostsFile::default());
}

#[tokio::test]
async fn changed_files_are_noticed_after_a_second() {
    let folder = Folder::new();
    folder.write("resolv.conf", "nameserver 192.0.2.1");
    let (files, start) = (folder.files(), crate::time::now());
    let first = files.refreshed_at(start).await;
    assert_eq!(
        (server(&first).as_str(), &first.decision),
        ("192.0.2.1", &DNS)
    );

    folder.write("resolv.conf", "nameserver 192.0.2.2");
    folder.write("hosts", "192.0.2.7 web.test");
    folder.write("nsswitch.conf", "hosts: nis");
    let early = files.refreshed_at(start + SECOND / 2).await;
    assert!(Arc::ptr_eq(&first, &early));
    let later = files.refreshed_at(start + SECOND).await;
    assert_eq!(server(&later), "192.0.2.2");
    assert!(is_in_hosts(&later, "web.test"));
    assert!(matches!(later.decision, Decision::System { .. }));
    assert!(later.is_for_system("any.test"));
    assert!(Arc::ptr_eq(&later, &files.current()));
}

#[tokio::test]
async fn a_file_that_is_replaced_emptied_or_removed_is_noticed() {
    let folder = Folder::new();
    let (files, mut now) = (folder.files(), crate::time::now());
    let path = |name| folder.path().join(name);
    let mut check = async |expected: &str, what: &str| {
        now += SECOND;
        assert_eq!(server(&files.refreshed_at(now).await), expected, "{what}");
    };
    check("127.0.0.1", "there is no file").await;
    folder.write("resolv.conf", "nameserver 192.0.2.1");
    check("192.0.2.1", "the file appeared").await;
    folder.write("new", "nameserver 192.0.2.2");
    fs::rename(path("new"), path("resolv.conf")).unwrap();
    check("192.0.2.2", "another file has its place").await;
    folder.write("resolv.conf", "");
    check("127.0.0.1", "the file is empty").await;
    folder.write("resolv.conf", "nameserver 192.0.2.3");
    check("192.0.2.3", "the file has a server again").await;
    fs::remove_file(path("resolv.conf")).unwrap();
    check("127.0.0.1", "the file is gone").await;
    folder.write("resolv.conf", "nameserver 192.0.2.4");
    check("192.0.2.4", "the file is back").await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_behind_a_link_is_watched() {
    let folder = Folder::new();
    let (files, start) = (folder.files(), crate::time::now());
    let link = folder.path().join("resolv.conf");
    folder.write("one", "nameserver 192.0.2.1");
    folder.write("two", "nameserver 192.0.2.2");
    std::os::unix::fs::symlink("one", &link).unwrap();
    assert_eq!(server(&files.refreshed_at(start).await), "192.0.2.1");
    folder.write("one", "nameserver 192.0.2.3");
    assert_eq!(
        server(&files.refreshed_at(start + SECOND).await),
        "192.0.2.3"
    );
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("two", &link).unwrap();
    assert_eq!(
        server(&files.refreshed_at(start + 2 * SECOND).await),
        "192.0.2.2"
    );
}

#[tokio::test]
async fn files_that_did_not_change_are_not_read_again() {
    let folder = Folder::new();
    for (name, text) in [("resolv.conf", ""), ("hosts", "192.0.2.7 web.test")] {
        folder.write_old(name, text);
    }
    let (files, start) = (folder.files(), crate::time::now());
    let first = files.refreshed_at(start).await;
    for second in 1..5 {
        let later = files.refreshed_at(start + second * SECOND).await;
        assert!(Arc::ptr_eq(&first, &later), "after {second} s");
    }
}

#[tokio::test]
async fn another_hostname_is_noticed() {
    static NAMES: AtomicUsize = AtomicUsize::new(0);
    let folder = Folder::new();
    let machine = || machine(["a.one.test", "a.two.test"][NAMES.load(Ordering::Relaxed)]);
    let (files, start) = (folder.files_of(Libc::Glibc, machine), crate::time::now());
    assert_eq!(&*files.refreshed_at(start).await.stub.search[0], "one.test");
    NAMES.store(1, Ordering::Relaxed);
    let later = files.refreshed_at(start + SECOND).await;
    assert_eq!(&*later.stub.search[0], "two.test");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_at_first_leaves_names_to_the_system() {
    let folder = Folder::new();
    let path = folder.path().join("hosts");
    fs::create_dir(&path).unwrap();
    let (files, start) = (folder.files(), crate::time::now());
    let Decision::System { reason } = &files.refreshed_at(start).await.decision else {
        panic!("a folder was read");
    };
    assert!(reason.contains("hosts cannot be read"), "{reason}");
    fs::remove_dir(&path).unwrap();
    folder.write("hosts", "192.0.2.7 web.test");
    let later = files.refreshed_at(start + SECOND).await;
    assert_eq!(later.decision, DNS);
    assert!(is_in_hosts(&later, "web.test"));
}

#[tokio::test]
async fn a_file_that_cannot_be_read_later_leaves_what_was_read() {
    let folder = Folder::new();
    let path = folder.path().join("hosts");
    folder.write("hosts", "192.0.2.7 web.test");
    let (files, start) = (folder.files(), crate::time::now());
    files.refreshed_at(start).await;
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    folder.write("resolv.conf", "nameserver 192.0.2.2");
    let later = files.refreshed_at(start + SECOND).await;
    assert_eq!(
        (server(&later).as_str(), &later.decision),
        ("192.0.2.2", &DNS)
    );
    assert!(is_in_hosts(&later, "web.test"));
}

#[tokio::test]
async fn a_thousand_lookups_at_the_start_read_the_files_once() {
    static READ: AtomicUsize = AtomicUsize::new(0);
    let folder = Folder::new();
    let counted = || {
        READ.fetch_add(1, Ordering::Relaxed);
        machine("vm")
    };
    let (files, start) = (folder.files_of(Libc::Glibc, counted), crate::time::now());
    let lookups = (0..1_000).map(|_| files.refreshed_at(start));
    let configs = futures_util::future::join_all(lookups).await;
    assert!(
        configs
            .iter()
            .all(|config| Arc::ptr_eq(config, &configs[0]))
    );
    assert_eq!(READ.load(Ordering::Relaxed), 1);
}

/// The lookup that noticed a change may be dropped while the files are read.
#[tokio::test]
async fn a_reading_goes_on_without_its_caller() {
    let folder = Folder::new();
    let (files, start) = (folder.files(), crate::time::now());
    files.refreshed_at(start).await;
    folder.write("resolv.conf", "nameserver 192.0.2.2");
    {
        let mut dropped = pin!(files.refreshed_at(start + SECOND));
        let _ = dropped
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
    }
    while server(&files.current()) != "192.0.2.2" {
        tokio::task::yield_now().await;
    }
    while files.shared.edit(|state| state.is_reading) {
        tokio::task::yield_now().await;
    }
    folder.write("resolv.conf", "nameserver 192.0.2.3");
    let later = files.refreshed_at(start + 2 * SECOND).await;
    assert_eq!(server(&later), "192.0.2.3", "the next reading has its turn");
}

/// A reading that hangs occupies one thread. Other lookups continue with the previous configuration.
#[tokio::test]
async fn a_reading_under_way_is_not_joined_by_another() {
    let folder = Folder::new();
    let (files, start) = (folder.files(), crate::time::now());
    let first = files.refreshed_at(start).await;
    folder.write("resolv.conf", "nameserver 192.0.2.2");
    files.shared.edit(|state| state.is_reading = true);
    let meanwhile = files.refreshed_at(start + SECOND).await;
    assert!(Arc::ptr_eq(&first, &meanwhile));
    drop(ReadingGuard(Arc::clone(&files.shared)));
    let later = files.refreshed_at(start + 2 * SECOND).await;
    assert_eq!(server(&later), "192.0.2.2");
}

#[tokio::test]
async fn a_system_without_such_files_answers_all_names() {
    let folder = Folder::new();
    folder.write("resolv.conf", "nameserver 192.0.2.1");
    let files = folder.files_of(Libc::Other("a reason"), || machine("vm"));
    let start = crate::time::now();
    let first = files.refreshed_at(start).await;
    assert_eq!(
        first.decision,
        Decision::System {
            reason: "a reason".into()
        }
    );
    let later = files.refreshed_at(start + SECOND).await;
    assert!(Arc::ptr_eq(&first, &later));
}

#[test]
fn names_are_exceptions_of_a_stub_resolver_alone() {
    let folder = Folder::new();
    folder.write(
        "nsswitch.conf",
        "hosts: files mdns4_minimal [NOTFOUND=return] dns",
    );
    let config = folder.files().current();
    assert_eq!(config.decision, DNS);
    assert!(config.is_for_system("printer.local"));
    assert!(!config.is_for_system("api.example.com"));
}

/// Each new decision is logged, and a file that cannot be read is logged once.
#[test]
fn the_log_has_one_line_for_each_decision_and_each_failing_file() {
    let folder = Folder::new();
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_ansi(false);
    // While only one subscriber is alive, tracing lets the first thread that reaches an event decide for all threads
    // whether to record the event. The threads of other tests have no subscriber.
    let second = tracing_subscriber::fmt().with_writer(std::io::sink);
    let _second = tracing::Dispatch::new(second.finish());
    tracing::subscriber::with_default(subscriber.finish(), || {
        let files = folder.files();
        files.current();
        folder.write("resolv.conf", "nameserver 192.0.2.1");
        files.shared.read();
        folder.write("nsswitch.conf", "hosts: nis");
        files.shared.read();
        files.shared.read();
        fs::create_dir(folder.path().join("hosts")).unwrap();
        files.shared.read();
        files.shared.read();
    });
    let log = log.0.lock().unwrap();
    let text = String::from_utf8_lossy(&log);
    let count = |words: &str| text.matches(words).count();
    assert_eq!(count("the stub resolver resolves names"), 1, "{text}");
    assert_eq!(
        count("reason=nsswitch.conf names `nis` before `dns`"),
        1,
        "{text}"
    );
    assert_eq!(count("cannot be read"), 1, "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// `SystemFiles` reads the files of this machine without a failure, for any content of the files.
#[tokio::test]
async fn the_files_of_this_machine_are_read() {
    let files = SystemFiles::default();
    let config = files.refreshed().await;
    assert!(!config.stub.servers.is_empty());
    assert!(Arc::ptr_eq(&config, &files.current()));
}
