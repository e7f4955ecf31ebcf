//! The health records of one host at one moment.

use std::net::IpAddr;
use std::time::Instant;

use super::record::{self, AddressRecord, Rank};

/// The health records of one host at one moment. An address without a record is healthy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostRecords<'a> {
    pub(super) records: &'a [(IpAddr, AddressRecord)],
    pub(super) now: Instant,
}

impl<'a> HostRecords<'a> {
    /// Returns the record of an address, if there is one.
    pub(crate) fn find(self, addr: IpAddr) -> Option<&'a AddressRecord> {
        record::find(self.records, addr)
    }

    /// Returns the addresses for whose records `is_such` returns true.
    pub(crate) fn those(
        self,
        is_such: impl Fn(&AddressRecord) -> bool,
    ) -> impl Iterator<Item = IpAddr> {
        let such = self
            .records
            .iter()
            .filter(move |(_, record)| is_such(record));
        such.map(|(addr, _)| *addr)
    }

    /// Returns the rank of an address.
    #[inline]
    pub(crate) fn rank(self, addr: IpAddr) -> Rank {
        let record = self.find(addr);
        record.map_or(Rank::Healthy, |record| record.rank(self.now))
    }

    /// Returns the rank of an address for a connect that starts now.
    #[inline]
    pub(crate) fn rank_to_select(self, addr: IpAddr) -> Rank {
        let record = self.find(addr);
        record.map_or(Rank::Healthy, |record| record.rank_to_select(self.now))
    }
}
