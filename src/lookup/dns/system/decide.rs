//! Decides whether the stub resolver or the system resolves names, as Go does (`net/conf.go`).
//!
//! The stub resolver resolves a name if `getaddrinfo` would find the same addresses.
//!
//! | source in `hosts:` | decision |
//! |---|---|
//! | no nsswitch.conf, no `hosts:` | As for `files dns`, which is glibc's default since 2.33. |
//! | `files`, then `dns` | Stub resolver. Without `files`, the stub resolver reads no hosts file. If `dns` comes before `files`, or is missing, the decision is the system. |
//! | `myhostname` | The names of nss-myhostname(8) go to the system: localhost, the hostname, the gateway. |
//! | `mdns*` | `.local` goes to the system (nss-mdns). If there is a file mdns.allow, `mdns*` counts as any other source, because the file may list other domains. |
//! | `resolve [!UNAVAIL=return]` with 127.0.0.53 as only server | Stub resolver, because both query systemd-resolved. Names with dots get no search list. Names without dots (LLMNR) and `.local` (mDNS) go to the system. |
//! | any other `resolve` before `dns` | System. |
//! | `mymachines` | Names without dots go to the system. If DNS has no addresses, other names go to the system too. |
//! | any other source before `dns` (`nis`, `db`, `wins`, `compat`) | System. |
//! | any other source after `dns` | Stub resolver. If DNS has no addresses, names go to the system too. |
//! | actions that change what follows `files` or `dns` | System. |
//!
//! musl reads no nsswitch.conf, so the decision with musl is the stub resolver. Go sends every `.local`
//! name to the system. This module sends `.local` names to the system only if mDNS is configured,
//! because the names of Kubernetes end in `svc.cluster.local`.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use super::exceptions::Exceptions;
use super::machine::{Libc, Machine};
use super::nsswitch::{Action, Source, Unclear};
use crate::lookup::dns::config::StubConfig;

/// The decision whether the stub resolver or the system resolves names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Decision {
    /// The stub resolver resolves names.
    Dns {
        /// Whether another source of nsswitch.conf may know names that DNS does not know. If so, the
        /// lookup queries the system before returning a negative answer or a failure.
        also_system: bool,
    },
    /// `getaddrinfo` resolves all names.
    System { reason: Cow<'static, str> },
}

/// A decision with its exceptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) decision: Decision,
    pub(super) exceptions: Exceptions,
    /// Whether the stub resolver reads the hosts file before DNS.
    pub(super) reads_hosts: bool,
    /// Whether the stub resolver uses the search list.
    pub(super) searches: bool,
}

/// The facts that the decision depends on.
#[derive(Clone, Debug)]
pub(super) struct Facts<'a> {
    pub(super) libc: Libc,
    pub(super) machine: &'a Machine,
    pub(super) stub: &'a StubConfig,
    /// The first reason in a file not to use the stub resolver, if any.
    pub(super) obstacle: Option<Cow<'static, str>>,
    /// `None` if there is no nsswitch.conf, or no `hosts:` in it.
    pub(super) sources: Result<Option<Vec<Source>>, Unclear>,
    /// Whether there is a file mdns.allow.
    pub(super) has_mdns_allow: bool,
}

pub(super) fn decide(facts: Facts<'_>) -> Verdict {
    stub_resolver(&facts).unwrap_or_else(|reason| Verdict {
        decision: Decision::System { reason },
        exceptions: Exceptions::default(),
        reads_hosts: true,
        searches: true,
    })
}

type Reason = Cow<'static, str>;

fn stub_resolver(facts: &Facts<'_>) -> Result<Verdict, Reason> {
    if let Libc::Other(reason) = facts.libc {
        return Err(reason.into());
    }
    if let Some(name) = facts.machine.foreign {
        return Err(format!("the environment variable {name} is set").into());
    }
    if let Some(obstacle) = &facts.obstacle {
        return Err(obstacle.clone());
    }
    if facts.libc == Libc::Musl {
        return Ok(Verdict::files_dns());
    }
    match &facts.sources {
        Err(Unclear(what)) => Err(format!("nsswitch.conf {what}").into()),
        Ok(None) => Ok(Verdict::files_dns()),
        Ok(Some(sources)) => Walk::new(facts).all(sources),
    }
}

impl Verdict {
    fn files_dns() -> Self {
        Self {
            decision: Decision::Dns { also_system: false },
            exceptions: Exceptions::default(),
            reads_hosts: true,
            searches: true,
        }
    }
}

/// The walk through the sources of nsswitch.conf.
#[derive(Debug)]
struct Walk<'a> {
    facts: &'a Facts<'a>,
    exceptions: Exceptions,
    has_files: bool,
    has_resolve: bool,
    is_past_dns: bool,
    also_system: bool,
}

impl<'a> Walk<'a> {
    fn new(facts: &'a Facts<'a>) -> Self {
        Self {
            facts,
            exceptions: Exceptions::default(),
            has_files: false,
            has_resolve: false,
            is_past_dns: false,
            also_system: false,
        }
    }

    fn all(mut self, sources: &[Source]) -> Result<Verdict, Reason> {
        for source in sources {
            self.step(source)?;
            if self.is_past_dns && source.is_last() {
                break;
            }
        }
        if !self.is_past_dns {
            return Err("nsswitch.conf does not name `dns` for hosts".into());
        }
        Ok(Verdict {
            decision: Decision::Dns {
                also_system: self.also_system,
            },
            exceptions: self.exceptions,
            reads_hosts: self.has_files,
            searches: !self.has_resolve,
        })
    }

    fn step(&mut self, source: &Source) -> Result<(), Reason> {
        match &*source.name {
            "dns" => self.dns(source),
            "files" => self.files(source),
            "myhostname" => self.myhostname(source),
            "mymachines" => self.mymachines(source),
            "resolve" if !self.is_past_dns => self.resolve(source),
            name if name.starts_with("mdns") => self.mdns(source),
            _ => self.unknown(source),
        }
    }

    fn dns(&mut self, source: &Source) -> Result<(), Reason> {
        self.is_past_dns = true;
        match source.success {
            Action::Return => Ok(()),
            Action::Continue | Action::Merge => Err(unusual(source)),
        }
    }

    fn files(&mut self, source: &Source) -> Result<(), Reason> {
        // systemd-resolved reads the hosts file, so `files` may come before or after `resolve`.
        if self.is_past_dns && !self.has_files {
            return Err("nsswitch.conf names `dns` before `files`".into());
        }
        self.has_files = true;
        standard(source)
    }

    fn myhostname(&mut self, source: &Source) -> Result<(), Reason> {
        standard(source)?;
        self.own_names("myhostname")
    }

    fn own_names(&mut self, source: &str) -> Result<(), Reason> {
        let Some(hostname) = &self.facts.machine.hostname else {
            return Err(format!("the hostname, which `{source}` answers, is unknown").into());
        };
        self.exceptions.own = Some(hostname.as_str().into());
        Ok(())
    }

    fn mymachines(&mut self, source: &Source) -> Result<(), Reason> {
        standard(source)?;
        self.exceptions.single_label = true;
        self.also_system = true;
        Ok(())
    }

    /// Makes `.local` names exceptions. For other names, nss-mdns 0.14 returns UNAVAIL.
    fn mdns(&mut self, source: &Source) -> Result<(), Reason> {
        self.exceptions.dot_local = true;
        let goes_on = source.success == Action::Return && source.unavailable == Action::Continue;
        match (self.facts.has_mdns_allow, self.is_past_dns, goes_on) {
            (true, true, _) => self.unknown(source),
            (true, false, _) => Err("the file mdns.allow lists domains for mDNS".into()),
            (false, _, true) => Ok(()),
            (false, _, false) => Err(unusual(source)),
        }
    }

    fn resolve(&mut self, source: &Source) -> Result<(), Reason> {
        if source != &unless_unavailable(&source.name) {
            return Err(unusual(source));
        }
        let stub = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53));
        let servers = &self.facts.stub.servers;
        if servers.iter().any(|server| server.addr.ip() != stub) {
            return Err("systemd-resolved answers, and resolv.conf names another server".into());
        }
        self.has_resolve = true;
        self.exceptions.single_label = true;
        self.exceptions.dot_local = true;
        self.own_names("resolve")
    }

    fn unknown(&mut self, source: &Source) -> Result<(), Reason> {
        if !self.is_past_dns {
            let name = source.name.escape_debug();
            return Err(format!("nsswitch.conf names `{name}` before `dns`").into());
        }
        self.also_system = true;
        Ok(())
    }
}

/// Returns a source with `[!UNAVAIL=return]`, which nss-resolve(8) recommends.
///
/// With these actions, glibc queries no later source while systemd-resolved runs.
fn unless_unavailable(name: &str) -> Source {
    Source {
        not_found: Action::Return,
        try_again: Action::Return,
        ..Source::new(name)
    }
}

fn standard(source: &Source) -> Result<(), Reason> {
    match source.is_standard() {
        true => Ok(()),
        false => Err(unusual(source)),
    }
}

fn unusual(source: &Source) -> Reason {
    let name = source.name.escape_debug();
    format!("nsswitch.conf has unusual actions after `{name}`").into()
}

#[cfg(test)]
mod tests;
