//! The configuration of one lookup.

use std::sync::Arc;

use super::config::StubConfig;
use super::system::SystemConfig;
use crate::lookup::Answer;
use crate::time;

/// The configuration of one lookup.
#[derive(Clone, Debug)]
pub(super) enum Settings {
    System(Arc<SystemConfig>),
    /// The caller's name servers, and the system's configuration if lookups use the hosts file.
    Named(Arc<StubConfig>, Option<Arc<SystemConfig>>),
}

impl Settings {
    pub(super) fn stub(&self) -> &StubConfig {
        match self {
            Self::System(system) => &system.stub,
            Self::Named(config, _) => config,
        }
    }

    /// Returns the answer of the hosts file for `host`.
    ///
    /// With the system's name servers, a root dot of `host` must be in the file too, because glibc compares the root
    /// dot. With the caller's name servers, a root dot is ignored.
    pub(super) fn hosts_answer(&self, host: &str) -> Option<Answer> {
        let addrs = match self {
            Self::System(system) => system.hosts.find(host)?,
            Self::Named(_, system) => {
                let name = host.strip_suffix('.').unwrap_or(host);
                system.as_ref()?.hosts.find(name)?
            }
        };
        let strategy = self.stub().ip_strategy;
        let addrs: Vec<_> = addrs
            .iter()
            .copied()
            .filter(|addr| strategy.takes(*addr))
            .collect();
        (!addrs.is_empty()).then(|| Answer {
            asked_at: Some(time::now()),
            ..Answer::new(addrs)
        })
    }
}
