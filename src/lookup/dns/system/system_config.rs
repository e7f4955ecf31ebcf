//! The configuration that the system's files define.

use super::decide::Decision;
use super::exceptions::Exceptions;
use super::hosts::HostsFile;
use crate::lookup::dns::config::StubConfig;

/// The configuration that the system's files define.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::lookup::dns) struct SystemConfig {
    pub(in crate::lookup::dns) stub: StubConfig,
    pub(in crate::lookup::dns) hosts: HostsFile,
    pub(in crate::lookup::dns) decision: Decision,
    pub(super) exceptions: Exceptions,
}

impl SystemConfig {
    /// Returns whether the system resolves this name, which may have a root dot.
    pub(in crate::lookup::dns) fn is_for_system(&self, name: &str) -> bool {
        match self.decision {
            Decision::System { .. } => true,
            Decision::Dns { .. } => self.exceptions.cover(name),
        }
    }
}
