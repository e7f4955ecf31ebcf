//! One case and its figures.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

use crate::attack::Attack;

/// The bar for the slowest call.
pub(crate) const SLOWEST_CALL: Duration = Duration::from_millis(10);

/// An attack with this many names on a resolver that keeps at most `capacity` hosts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) attack: Attack,
    pub(crate) capacity: usize,
    pub(crate) names: u32,
}

impl Case {
    /// Returns the limit on the address space of the process, in bytes.
    ///
    /// A client takes 160 MiB without hosts, and two kilobytes for each host that the resolver may keep: its
    /// answer, its health record and its refresh task.
    pub(crate) fn limit(&self) -> u64 {
        const WITHOUT_HOSTS: u64 = 160 << 20;
        WITHOUT_HOSTS + 2048 * self.capacity as u64
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attack = self
            .attack
            .to_possible_value()
            .expect("no attack is hidden");
        let Self {
            capacity, names, ..
        } = self;
        write!(
            f,
            "{:<10} capacity {capacity:>6}, {names} names",
            attack.get_name()
        )
    }
}

/// The measurements of one case.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) attack: String,
    pub(crate) capacity: usize,
    pub(crate) names: u32,
    pub(crate) cpu_seconds: f64,
    pub(crate) slowest_call_ms: f64,
    pub(crate) hosts_held: usize,
    pub(crate) peak_mib: usize,
    pub(crate) limit_mib: u64,
}

impl Figures {
    pub(crate) fn misses_a_bar(&self) -> bool {
        let too_slow = self.slowest_call_ms > SLOWEST_CALL.as_secs_f64() * 1_000.0;
        too_slow || self.hosts_held > self.capacity
    }
}
