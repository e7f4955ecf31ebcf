//! Sorts the addresses of an answer by RFC 6724, which needs the source address of a connect to each.

use std::net::IpAddr;
#[cfg(feature = "watch-network")]
use std::sync::Arc;

use super::Cache;
#[cfg(feature = "watch-network")]
use super::{SourceAddress, route};
use crate::addrs::{AddressOrder, AddressSet};
use crate::time;

impl Cache {
    /// Returns the function that finds the source address of a connect, without a memory.
    #[cfg(feature = "watch-network")]
    pub(crate) fn source_address(&self) -> Arc<SourceAddress> {
        let source = self.config.source_address.clone();
        source.unwrap_or_else(|| Arc::new(route::source_of))
    }

    /// Returns the source address of a connect to an address.
    pub(super) fn source_of(&self, addr: IpAddr) -> Option<IpAddr> {
        match &self.config.source_address {
            Some(source_of) => source_of(addr),
            None => self.routes.source_of(addr, time::now()),
        }
    }

    /// Sorts addresses by RFC 6724, unless the configuration keeps the given order.
    pub(super) fn sorted(&self, addrs: Vec<IpAddr>) -> AddressSet {
        match self.config.order {
            AddressOrder::Preserve => AddressSet::new(addrs),
            AddressOrder::Shuffle | AddressOrder::RoundRobin => {
                let addrs = AddressSet::sampled(addrs, &mut fastrand::Rng::new());
                addrs.classed(|addr| self.source_of(addr))
            }
        }
    }
}
