//! The address filter, at the door of every source.

use std::net::IpAddr;

use super::Shared;
use crate::observe::Event;
use crate::{Error, host};

impl Shared {
    /// Takes out what the filter refuses, and tells of it. The filter is told the host without the
    /// root dot.
    ///
    /// # Errors
    ///
    /// [`Error::is_filtered`] when there were addresses and none is left.
    pub(super) fn sift(&self, host: &str, addrs: &[IpAddr]) -> Result<Vec<IpAddr>, Error> {
        let Some(filter) = &self.filter else {
            return Ok(addrs.to_vec());
        };
        let host = host::bare(host);
        let may_pass = |addr: &IpAddr| filter(host, addr.to_canonical());
        let (kept, refused): (Vec<_>, Vec<_>) = addrs.iter().copied().partition(may_pass);
        for addr in refused.iter().map(IpAddr::to_canonical) {
            self.tell(&Event::AddressRefused { host, addr });
        }
        if kept.is_empty() && !refused.is_empty() {
            return Err(Error::filtered(host, &refused));
        }
        Ok(kept)
    }
}
