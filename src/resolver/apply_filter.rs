//! Applies the filter to the addresses of answers, fallbacks and names that need no lookup.

use std::net::IpAddr;

use super::Inner;
use crate::events::Event;
use crate::{ResolveError, host};

impl Inner {
    /// Returns the addresses that the filter accepts, and emits an event for each refused one.
    ///
    /// The filter receives the host without the root dot.
    ///
    /// # Errors
    ///
    /// Returns an error with [`ResolveError::is_filtered`] if the filter refused every address.
    pub(super) fn apply_filter(
        &self,
        host: &str,
        addrs: &[IpAddr],
    ) -> Result<Vec<IpAddr>, ResolveError> {
        let Some(filter) = &self.filter else {
            return Ok(addrs.to_vec());
        };
        let host = host::bare(host);
        let may_pass = |addr: &IpAddr| filter(host, addr.to_canonical());
        let (kept, refused): (Vec<_>, Vec<_>) = addrs.iter().copied().partition(may_pass);
        for addr in refused.iter().map(IpAddr::to_canonical) {
            self.emit(&Event::AddressRefused { host, addr });
        }
        if kept.is_empty() && !refused.is_empty() {
            return Err(ResolveError::filtered(host, &refused));
        }
        Ok(kept)
    }
}
