//! Applies the filter to the addresses of answers, fallbacks and names that need no lookup.

use std::net::IpAddr;

use super::Cache;
use crate::events::Event;
use crate::{ResolveError, host};

impl Cache {
    /// Returns the addresses that the filter accepts, and emits an event for each refused one.
    ///
    /// # Errors
    ///
    /// Returns an error with [`ResolveError::is_filtered`] if the filter refused every address.
    pub(crate) fn apply_filter(
        &self,
        host: &str,
        addrs: &[IpAddr],
    ) -> Result<Vec<IpAddr>, ResolveError> {
        let may_pass = |addr: &IpAddr| self.may_pass(host, *addr);
        let (kept, refused): (Vec<_>, Vec<_>) = addrs.iter().copied().partition(may_pass);
        let host = host::bare(host);
        for addr in refused.iter().map(IpAddr::to_canonical) {
            self.emit(&Event::AddressRefused { host, addr });
        }
        if kept.is_empty() && !refused.is_empty() {
            return Err(ResolveError::filtered(host, &refused));
        }
        Ok(kept)
    }

    /// Returns whether the filter accepts an address. The filter receives the host without the root dot.
    pub(crate) fn may_pass(&self, host: &str, addr: IpAddr) -> bool {
        let filter = self.filter.as_ref();
        filter.is_none_or(|filter| filter(host::bare(host), addr.to_canonical()))
    }

    /// Returns whether the program has set a filter.
    pub(crate) fn has_filter(&self) -> bool {
        self.filter.is_some()
    }
}
