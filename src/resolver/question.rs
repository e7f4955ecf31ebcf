//! What a name that was asked for needs.

use std::net::IpAddr;

use super::Shared;
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

    fn of(parsed: Parsed) -> Self {
        match parsed {
            Parsed::Literal(addr) => Self::answered(&[addr], Source::Literal),
            Parsed::Loopback => Self::answered(&LOOPBACK, Source::Loopback),
            Parsed::NeverSent(host) => Self::Reserved(host),
            Parsed::Name(host) => Self::Open(host),
        }
    }
}

impl Shared {
    /// Reads a host. The root dot is kept where the lookup of now may answer otherwise without it.
    pub(super) fn parse(&self, name: &str) -> Result<Parsed, &'static str> {
        let parsed = host::parse(name)?;
        Ok(match parsed {
            Parsed::Name(host)
                if name.ends_with('.') && self.lookups.current().root_dot_matters() =>
            {
                Parsed::Name(host.absolute())
            }
            parsed => parsed,
        })
    }

    /// Returns the host that something can be known of.
    pub(crate) fn host(&self, name: &str) -> Option<Host> {
        self.parse(name).ok().and_then(Parsed::host)
    }

    pub(super) fn read_question(&self, name: &str) -> Result<Question, Error> {
        let parsed = self.parse(name);
        parsed
            .map(Question::of)
            .map_err(|why| Error::invalid_name(name, why))
    }
}
