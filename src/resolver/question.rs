//! What a name that was asked for needs.

use std::net::IpAddr;

use crate::Error;
use crate::host::{self, Host, LOOPBACK, Parsed};
use crate::observe::Source;
use crate::order::Dealt;

/// A name as it was asked.
pub(super) enum Question {
    /// Needs no lookup.
    Answered(Dealt, Source),
    /// Never leaves this machine, but may be pinned.
    Reserved(Host),
    Open(Host),
}

impl Question {
    pub(super) fn answered(addrs: &[IpAddr], source: Source) -> Self {
        let mut dealt = Dealt::new();
        addrs.iter().for_each(|&addr| dealt.push(addr));
        Self::Answered(dealt, source)
    }

    pub(super) fn read(name: &str) -> Result<Self, Error> {
        match host::parse(name).map_err(|why| Error::invalid_name(name, why))? {
            Parsed::Literal(addr) => Ok(Self::answered(&[addr], Source::Literal)),
            Parsed::Loopback => Ok(Self::answered(&LOOPBACK, Source::Loopback)),
            Parsed::NeverSent(host) => Ok(Self::Reserved(host)),
            Parsed::Name(host) => Ok(Self::Open(host)),
        }
    }
}
