//! Determines the C library, hostname, environment and interfaces, which the decision needs besides the files.

use std::env;
use std::path::Path;

/// The C library whose `getaddrinfo` the stub resolver follows.
///
/// A binary that is linked with musl reads the files as musl does, even on a system with glibc, because
/// the process has no other `getaddrinfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Libc {
    Glibc,
    /// musl reads no nsswitch.conf. The hosts file comes first, then DNS.
    Musl,
    /// FreeBSD, DragonFly and NetBSD read nsswitch.conf, and parse resolv.conf by BIND 8's parser, as glibc does.
    Bsd,
    /// Another system, with the reason why the system resolves all names.
    Other(&'static str),
}

impl Libc {
    pub(super) const fn of_this_build() -> Self {
        if cfg!(all(target_os = "linux", target_env = "gnu")) {
            Self::Glibc
        } else if cfg!(all(target_os = "linux", target_env = "musl")) {
            Self::Musl
        } else if cfg!(any(
            target_os = "freebsd",
            target_os = "dragonfly",
            target_os = "netbsd"
        )) {
            Self::Bsd
        } else {
            Self::Other(OTHER)
        }
    }
}

/// The reason of [`Libc::Other`].
///
/// Go decides the same on these systems (`net/conf.go`), except on OpenBSD. OpenBSD's resolver reads `lookup`,
/// `family` and ports in resolv.conf.
const OTHER: &str = if cfg!(target_vendor = "apple") {
    "macOS chooses name servers by domain and interface (scutil --dns), and no file lists them"
} else if cfg!(windows) {
    "Windows chooses name servers by interface and by policy (NRPT), and asks LLMNR and NetBIOS too"
} else if cfg!(target_os = "android") {
    "Android resolves names in netd, by network"
} else {
    "the stub resolver does not know how this system resolves names"
};

/// The facts that influence name resolution and are in none of the watched files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) hostname: Option<String>,
    /// The value of `LOCALDOMAIN`, which replaces the search list (resolv.conf(5)).
    pub(super) local_domain: Option<String>,
    /// The value of `RES_OPTIONS`, which adds options (resolv.conf(5)).
    pub(super) res_options: Option<String>,
    /// The first variable of [`FOREIGN`] that is set.
    pub(super) foreign: Option<&'static str>,
}

/// Environment variables of `hostname(7)` and `host.conf(5)` that the stub resolver does not implement.
const FOREIGN: [&str; 3] = ["HOSTALIASES", "RESOLV_HOST_CONF", "RESOLV_MULTI"];

impl Machine {
    pub(super) fn read() -> Self {
        let text = |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let is_set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
        Self {
            hostname: hostname(),
            local_domain: text("LOCALDOMAIN"),
            res_options: text("RES_OPTIONS"),
            foreign: FOREIGN.into_iter().find(|name| is_set(name)),
        }
    }

    /// Returns the part of the hostname after the first dot.
    pub(super) fn domain(&self) -> Option<&str> {
        let (_, domain) = self.hostname.as_deref()?.split_once('.')?;
        Some(domain)
    }
}

/// Returns true if a file exists, or if the check fails.
pub(super) fn exists(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

#[cfg(any(
    target_os = "linux",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd"
))]
mod native {
    /// Returns the hostname of this machine, if the hostname is UTF-8.
    pub(in super::super) fn hostname() -> Option<String> {
        nix::unistd::gethostname().ok()?.into_string().ok()
    }

    /// Returns the index of a network interface.
    pub(in super::super) fn interface_index(name: &str) -> Option<u32> {
        nix::net::if_::if_nametoindex(name).ok()
    }
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd"
)))]
mod native {
    pub(in super::super) fn hostname() -> Option<String> {
        None
    }

    pub(in super::super) fn interface_index(_: &str) -> Option<u32> {
        None
    }
}

pub(super) use native::{hostname, interface_index};
