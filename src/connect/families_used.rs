//! The families that a connector has connected in, which tell how the connector orders addresses.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Family;
use crate::attempt::attribution::FamiliesUsed;

/// The families that a connector and its clones have connected in.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedFamiliesUsed(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    v4: AtomicBool,
    v6: AtomicBool,
    second: AtomicBool,
}

impl SharedFamiliesUsed {
    /// Records a connect to `peer`, whose list of addresses began with `first`.
    pub(super) fn note(&self, peer: IpAddr, first: Option<IpAddr>) {
        let flags = &self.0;
        let family = match Family::of(peer) {
            Family::V4 => &flags.v4,
            Family::V6 => &flags.v6,
        };
        family.store(true, Ordering::Relaxed);
        let canonical = |addr: IpAddr| Family::of(addr.to_canonical());
        if first.is_some_and(|first| canonical(first) != canonical(peer)) {
            flags.second.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn load(&self) -> FamiliesUsed {
        let Flags { v4, v6, second } = &*self.0;
        FamiliesUsed {
            v4: v4.load(Ordering::Relaxed),
            v6: v6.load(Ordering::Relaxed),
            second: second.load(Ordering::Relaxed),
        }
    }
}
