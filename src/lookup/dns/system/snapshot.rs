//! The system's files as they were read at one time, and the configuration that the files define.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use super::decide::{Facts, decide};
use super::file::{Content, Seen, Stamp};
use super::hosts::{HostsFile, Lines};
use super::machine::{self, Libc, Machine};
use super::source::Source;
use super::system_config::SystemConfig;
use super::{nsswitch, resolv};

/// The contents of the files, and the facts that no file contains. A clone is cheap.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    resolv: Seen<Arc<[u8]>>,
    nsswitch: Seen<Arc<[u8]>>,
    hosts: Seen<HostsFile>,
    machine: Machine,
    has_mdns_allow: bool,
}

/// The maximum size of resolv.conf, nsswitch.conf and host.conf in bytes. Each has a few lines.
const MAX_TEXT: u64 = 1 << 20;
/// The maximum size of a hosts file in bytes. A hosts file of 200 000 lines has about 6 MB.
const MAX_HOSTS: u64 = 16 << 20;

impl Snapshot {
    /// Reads the files that changed, and blocks the thread meanwhile.
    pub(super) fn read(before: Option<&Self>, source: &Source, now: SystemTime) -> Self {
        let machine = (source.machine)();
        if let Libc::Other(_) = source.libc {
            return Self::without_files(machine);
        }
        let paths = &source.paths;
        let text = |before, path| Seen::again(before, path, MAX_TEXT, now, |text| Arc::from(text));
        let hosts = |text: &[u8]| HostsFile::parse(text, lines(source, now));
        let hosts_before = before.map(|before| &before.hosts);
        Self {
            resolv: text(before.map(|before| &before.resolv), &paths.resolv),
            nsswitch: text(before.map(|before| &before.nsswitch), &paths.nsswitch),
            hosts: Seen::again(hosts_before, &paths.hosts, MAX_HOSTS, now, hosts),
            machine,
            has_mdns_allow: machine::exists(&paths.mdns_allow),
        }
    }

    fn without_files(machine: Machine) -> Self {
        Self {
            resolv: Seen::absent(),
            nsswitch: Seen::absent(),
            hosts: Seen::absent(),
            machine,
            has_mdns_allow: false,
        }
    }

    /// Returns whether a file, the hostname or the environment changed, by one `stat` for each file.
    pub(super) fn is_outdated(&self, source: &Source, now: SystemTime) -> bool {
        if let Libc::Other(_) = source.libc {
            return false;
        }
        let files = [
            (&self.resolv.stamp, &source.paths.resolv),
            (&self.nsswitch.stamp, &source.paths.nsswitch),
            (&self.hosts.stamp, &source.paths.hosts),
        ];
        files
            .into_iter()
            .any(|(read, path)| !Stamp::of(path, now).is_current(read))
            || (source.machine)() != self.machine
    }

    /// Returns the configuration that the files define. Only the indices of interfaces come from the system.
    pub(super) fn config(&self, libc: Libc) -> SystemConfig {
        let (resolv, nsswitch) = (text(&self.resolv), text(&self.nsswitch));
        let read = resolv::parse(resolv, libc, &self.machine, &machine::interface_index);
        let verdict = decide(Facts {
            libc,
            machine: &self.machine,
            stub: &read.stub,
            obstacle: self.unreadable().or(read.obstacle),
            sources: nsswitch::hosts(nsswitch),
            has_mdns_allow: self.has_mdns_allow,
        });
        let mut stub = read.stub;
        if !verdict.searches {
            stub.search.clear();
        }
        let hosts = match &self.hosts.content {
            Content::Read(hosts) if verdict.reads_hosts => hosts.clone(),
            Content::Read(_) | Content::Absent | Content::Unreadable(_) => HostsFile::default(),
        };
        SystemConfig {
            stub,
            hosts,
            decision: verdict.decision,
            exceptions: verdict.exceptions,
        }
    }

    /// Returns the reason why a file could never be read, if any.
    ///
    /// The file may contain anything, so the system must resolve names.
    fn unreadable(&self) -> Option<Cow<'static, str>> {
        let reason = self.resolv.reason();
        let reason = reason.or_else(|| self.nsswitch.reason());
        let reason = reason.or_else(|| self.hosts.reason());
        reason.map(|reason| reason.to_owned().into())
    }
}

fn text(seen: &Seen<Arc<[u8]>>) -> &[u8] {
    match &seen.content {
        Content::Read(text) => text,
        Content::Absent | Content::Unreadable(_) => b"",
    }
}

/// Returns which lines of the hosts file count. For glibc, host.conf(5) decides.
fn lines(source: &Source, now: SystemTime) -> Lines {
    if source.libc != Libc::Glibc {
        return Lines::All;
    }
    let path = &source.paths.host_conf;
    let seen = Seen::again(None, path, MAX_TEXT, now, Lines::of_host_conf);
    match seen.content {
        Content::Read(lines) => lines,
        Content::Absent | Content::Unreadable(_) => Lines::First,
    }
}
