//! Counts every attempt that a client begins.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use testkit::connector_log::tell_each;

/// The number of attempts by address. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dials(Arc<Mutex<Log>>);

#[derive(Debug, Default)]
struct Log {
    all: usize,
    by_addr: HashMap<SocketAddr, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    dials: usize,
    /// The number of the last attempt to this address among those to all addresses.
    last: usize,
}

impl Log {
    fn note(&mut self, addr: SocketAddr) {
        self.all += 1;
        let count = self.by_addr.entry(addr).or_default();
        count.dials += 1;
        count.last = self.all;
    }

    fn count(&self, addr: SocketAddr) -> Count {
        self.by_addr.get(&addr).copied().unwrap_or_default()
    }
}

impl Dials {
    /// Starts to count, for the whole process.
    pub(crate) fn watch() -> Self {
        let dials = Self::default();
        let counts = dials.clone();
        tell_each(move |addr| counts.edit(|log| log.note(addr)));
        dials
    }

    /// Counts the attempts to `addr`, as an IPv4 or an IPv4-mapped address.
    pub(crate) fn to(&self, addr: SocketAddr) -> usize {
        self.edit(|log| log.count(addr).dials)
    }

    /// Returns a number that is greater for an address that was attempted later, or 0 for an address without attempts.
    pub(crate) fn last_to(&self, addr: SocketAddr) -> usize {
        self.edit(|log| log.count(addr).last)
    }

    /// Counts the attempts to all addresses with this port.
    pub(crate) fn to_port(&self, port: u16) -> usize {
        let with_port =
            |(addr, count): (&SocketAddr, &Count)| (addr.port() == port).then_some(count.dials);
        self.edit(|log| log.by_addr.iter().filter_map(with_port).sum())
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        change(&mut self.0.lock().expect("no count panics"))
    }
}
