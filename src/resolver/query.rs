//! Parses a name, and finds out whether the name needs a lookup.

use std::net::IpAddr;

use super::Inner;
use crate::ResolveError;
use crate::addrs::AddressList;
use crate::events::AnswerSource;
use crate::host::{self, Host, LOOPBACK, Parsed};

/// A parsed name, by what it needs.
pub(super) enum Query {
    /// The name needs no lookup, because these are its addresses.
    Immediate(AddressList, AnswerSource),
    /// The name never leaves this machine, but may have an override.
    Reserved(Host),
    Lookup(Host),
}

impl Query {
    pub(super) fn answered(addrs: &[IpAddr], source: AnswerSource) -> Self {
        let mut selected = AddressList::new();
        addrs.iter().for_each(|&addr| selected.push(addr));
        Self::Immediate(selected, source)
    }

    fn of(parsed: Parsed) -> Self {
        match parsed {
            Parsed::Literal(addr) => Self::answered(&[addr], AnswerSource::Literal),
            Parsed::Loopback => Self::answered(&LOOPBACK, AnswerSource::Loopback),
            Parsed::Reserved(host) => Self::Reserved(host),
            Parsed::Name(host) => Self::Lookup(host),
        }
    }
}

impl Inner {
    /// Parses a name. The root dot stays if the current lookup may return other addresses without it.
    pub(super) fn parse(&self, name: &str) -> Result<Parsed, &'static str> {
        let parsed = host::parse(name)?;
        Ok(match parsed {
            Parsed::Name(host) if name.ends_with('.') && self.cache.root_dot_matters() => {
                Parsed::Name(host.absolute())
            }
            parsed => parsed,
        })
    }

    /// Returns the host of a name, or `None` for an address, `localhost` and an invalid name.
    pub(crate) fn host(&self, name: &str) -> Option<Host> {
        self.parse(name).ok().and_then(Parsed::host)
    }

    pub(super) fn read_query(&self, name: &str) -> Result<Query, ResolveError> {
        let parsed = self.parse(name);
        parsed
            .map(Query::of)
            .map_err(|why| ResolveError::invalid_name(name, why))
    }
}
