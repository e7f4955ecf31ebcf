//! Where the configuration of the system is read.

use std::path::{Path, PathBuf};

use super::machine::{Libc, Machine};

/// The files and the machine whose configuration is read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) paths: Paths,
    pub(super) libc: Libc,
    pub(super) machine: fn() -> Machine,
}

/// The paths of the system's files.
#[derive(Clone, Debug)]
pub(in crate::lookup::dns) struct Paths {
    pub(super) resolv: PathBuf,
    pub(super) nsswitch: PathBuf,
    pub(super) hosts: PathBuf,
    /// host.conf is read together with hosts and not watched. glibc reads host.conf once per process.
    pub(super) host_conf: PathBuf,
    /// The existence of mdns.allow is checked when another file changes.
    pub(super) mdns_allow: PathBuf,
}

impl Paths {
    /// Returns the paths of the files in one folder under their usual names.
    pub(in crate::lookup::dns) fn in_folder(folder: &Path) -> Self {
        Self {
            resolv: folder.join("resolv.conf"),
            nsswitch: folder.join("nsswitch.conf"),
            hosts: folder.join("hosts"),
            host_conf: folder.join("host.conf"),
            mdns_allow: folder.join("mdns.allow"),
        }
    }
}
