//! What an address does with who dials it.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::sleep;

use crate::faults::{self, BoxError, Fault};

/// An address on loopback: hyper-util tells of connections to it.
pub(crate) fn v4(last: u8) -> IpAddr {
    [127, 0, 0, last].into()
}

/// An address for documentation (RFC 3849): a connection to it does not tell its peer.
pub(crate) fn v6(last: u16) -> IpAddr {
    [0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into()
}

/// What TCP or TLS with an address comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Hangs,
    /// It is up after so many milliseconds.
    Up(u64),
    /// It fails after so many milliseconds.
    Fails(u64, Fault),
    /// The connector panics after so many milliseconds.
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

/// What a connector of the stage says when it panics.
pub(crate) const PANIC: &str = "the connector broke";

pub(crate) async fn pass(after: u64) {
    if after > 0 {
        sleep(Duration::from_millis(after)).await;
    }
}

/// What an address does with who dials it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) tcp: Step,
    pub(crate) tls: Step,
}

/// TCP and TLS are up after so many milliseconds.
pub(crate) fn connects(after: u64) -> Fate {
    in_tcp(Step::Up(after))
}

/// TCP is up after so many milliseconds, and then TLS does this.
pub(crate) fn in_tls(after: u64, tls: Step) -> Fate {
    let tcp = Step::Up(after);
    Fate { tcp, tls }
}

/// TCP does this.
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
