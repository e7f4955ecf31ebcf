//! What addresses do when a connector attempts them.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::sleep;

use crate::faults::{self, BoxError, Fault};

/// A loopback address. A connection to it reports its peer.
pub(crate) fn v4(last: u8) -> IpAddr {
    [127, 0, 0, last].into()
}

/// A documentation address (RFC 3849). A connection to it reports no peer.
pub(crate) fn v6(last: u16) -> IpAddr {
    [0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into()
}

/// What TCP or TLS with an address does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Hangs,
    /// The step succeeds after this many milliseconds.
    Up(u64),
    /// The step fails after this many milliseconds.
    Fails(u64, Fault),
    /// The connector panics after this many milliseconds.
    Panics(u64),
}

impl Step {
    pub(crate) async fn run(self) -> Result<(), BoxError> {
        match self {
            Self::Hangs => std::future::pending().await,
            Self::Up(after) => {
                pass(after).await;
                Ok(())
            }
            Self::Fails(after, fault) => {
                pass(after).await;
                Err(fault())
            }
            Self::Panics(after) => {
                pass(after).await;
                panic!("{PANIC}")
            }
        }
    }
}

/// The panic message of a connector of the stage.
pub(crate) const PANIC: &str = "the connector broke";

pub(crate) async fn pass(after: u64) {
    if after > 0 {
        sleep(Duration::from_millis(after)).await;
    }
}

/// What TCP and TLS with an address do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) tcp: Step,
    pub(crate) tls: Step,
}

/// TCP connects after this many milliseconds, and TLS at once.
pub(crate) fn connects(after: u64) -> Fate {
    in_tcp(Step::Up(after))
}

/// TCP connects after this many milliseconds, and then TLS does `tls`.
pub(crate) fn in_tls(after: u64, tls: Step) -> Fate {
    let tcp = Step::Up(after);
    Fate { tcp, tls }
}

/// TCP does `tcp`, and then TLS connects at once.
pub(crate) fn in_tcp(tcp: Step) -> Fate {
    let tls = Step::Up(0);
    Fate { tcp, tls }
}

pub(crate) fn refuses(after: u64) -> Fate {
    fails(after, faults::refused)
}

pub(crate) fn fails(after: u64, fault: Fault) -> Fate {
    in_tcp(Step::Fails(after, fault))
}

pub(crate) fn hangs() -> Fate {
    in_tcp(Step::Hangs)
}
