//! Counts every connect that a client begins.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::dial_log;

/// Connects begun so far, by address; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dials(Arc<Mutex<HashMap<SocketAddr, usize>>>);

impl Dials {
    /// Begins to count, for the whole process.
    pub(crate) fn watch() -> Self {
        let dials = Self::default();
        let counts = dials.clone();
        dial_log::tell_each(move |addr| counts.edit(|dials| *dials.entry(addr).or_default() += 1));
        dials
    }

    /// Counts the dials to `addr`, under its IPv4 or its IPv4-mapped form.
    pub(crate) fn to(&self, addr: SocketAddr) -> usize {
        self.edit(|dials| dials.get(&addr).copied().unwrap_or(0))
    }

    /// Counts the dials to any address with this port.
    pub(crate) fn to_port(&self, port: u16) -> usize {
        let with_port = |(addr, n): (&SocketAddr, &usize)| (addr.port() == port).then_some(*n);
        self.edit(|dials| dials.iter().filter_map(with_port).sum())
    }

    fn edit<T>(&self, change: impl FnOnce(&mut HashMap<SocketAddr, usize>) -> T) -> T {
        change(&mut self.0.lock().expect("no count panics"))
    }
}
