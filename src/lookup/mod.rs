//! Where addresses come from.
//!
//! | lookup | asks | knows TTLs |
//! |---|---|---|
//! | [`Dns`] (feature `hickory`) | the name servers, as the system would | yes |
//! | [`System`] | `getaddrinfo` | no: 30 s |
//! | [`FromService`] | any `Service<Name>` made for hyper-util | no: 30 s |
//! | [`Table`] | nothing: fixed addresses | no: 30 s |
//! | [`Fallback`] | one lookup after another, until one answers | as the one that answered |
//!
//! A lookup keeps nothing: one owner of lifetimes is enough, and a second cache below would
//! answer an invalidation with the dead address.
//!
//! # Examples
//!
//! A lookup of your own:
//!
//! ```
//! use std::net::IpAddr;
//! use std::time::{Duration, Instant};
//! use sidestep::lookup::{Answer, Answering, Lookup};
//!
//! struct Registry;
//!
//! impl Lookup for Registry {
//!     fn lookup<'a>(&'a self, host: &'a str) -> Answering<'a> {
//!         Box::pin(async move {
//!             match host {
//!                 "api.internal" => Ok(Answer::new([IpAddr::from([10, 0, 0, 7])])
//!                     .with_ttl(Duration::from_secs(5))),
//!                 _ => Err(sidestep::Error::not_found(host)),
//!             }
//!         })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let resolver = sidestep::Resolver::builder().lookup(Registry).build()?;
//! assert_eq!(resolver.resolve("api.internal").await?.addrs(), [IpAddr::from([10, 0, 0, 7])]);
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "hickory")]
mod dns;
mod fallback;
mod late;
mod service;
mod system;
mod table;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "hickory")]
pub(crate) use self::dns::SystemDefault;
#[cfg(feature = "hickory")]
pub use self::dns::{Dns, DnsBuilder, IpStrategy, NoSystemConfig, Protocol, ServerTrial};
pub use self::fallback::Fallback;
pub(crate) use self::late::{Late, Waiting};
pub use self::service::FromService;
pub use self::system::System;
pub use self::table::Table;
use crate::Error;

/// The future of a lookup.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send + 'a>>;

/// Where addresses come from: the one trait to implement for a source of your own.
///
/// The resolver calls it on a task of its own, one call at a time for each host and runtime, and
/// gives up after [`Builder::lookup_timeout`](crate::Builder::lookup_timeout). What belongs to a
/// tokio runtime, such as a socket, must be kept per runtime, because one resolver may serve
/// several.
///
/// # Errors
///
/// Return [`Error::not_found`] and [`Error::no_records`] only when the source *said* so: they end
/// an answer known before. Everything else is [`Error::failed`] and leaves it. An answer without
/// addresses counts as `no_records`.
pub trait Lookup: Send + Sync + 'static {
    /// Asks for the addresses of a host, afresh: without a cache.
    ///
    /// `host` is in lower case and never an address. If the caller wrote the root dot, `host` ends with it:
    /// the name is absolute, and no search list applies. If [`root_dot_matters`](Self::root_dot_matters)
    /// returns false, `host` never has the root dot.
    fn lookup<'a>(&'a self, host: &'a str) -> Answering<'a>;

    /// The device is on another network: lets go of what belongs to the one before, such as
    /// connections, and name servers that were taken from it. Must not block for long.
    ///
    /// Does nothing unless you write it. Called by
    /// [`Resolver::network_changed`](crate::Resolver::network_changed), also outside of a runtime.
    fn network_changed(&self) {}

    /// Returns whether a name with the root dot may have other addresses than the name without it.
    ///
    /// That is so if a search list applies to names without the root dot.
    ///
    /// The default implementation returns true: both names are asked for, and their answers are kept
    /// separately. If `root_dot_matters` returns false, the resolver calls `lookup` without the root dot.
    fn root_dot_matters(&self) -> bool {
        true
    }
}

impl<L: Lookup + ?Sized> Lookup for Arc<L> {
    fn lookup<'a>(&'a self, host: &'a str) -> Answering<'a> {
        (**self).lookup(host)
    }

    fn network_changed(&self) {
        (**self).network_changed();
    }

    fn root_dot_matters(&self) -> bool {
        (**self).root_dot_matters()
    }
}

/// The addresses of a host and how long they may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub(crate) addrs: Vec<IpAddr>,
    pub(crate) ttl: Option<Duration>,
    /// Whether one family's addresses are missing because its lookup failed.
    pub(crate) is_partial: bool,
    /// When it was asked for, if not when the lookup began.
    pub(crate) asked_at: Option<Instant>,
    /// What the lookup still waits for.
    pub(crate) late: Option<Late>,
}

impl Answer {
    /// Makes an answer without a TTL: it is kept for 30 s, within the resolver's bounds.
    ///
    /// 64 addresses are used: the first ones where [`Order::AsGiven`](crate::Order::AsGiven) is set, and
    /// some at random otherwise. More than 1024 are not looked at.
    #[must_use]
    pub fn new(addrs: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            addrs: addrs.into_iter().take(TAKEN).collect(),
            ttl: None,
            is_partial: false,
            asked_at: None,
            late: None,
        }
    }

    /// Sets for how long the answer may be kept, counted from when it was asked for.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    #[cfg(feature = "hickory")]
    pub(crate) fn with_late(self, late: Option<Late>) -> Self {
        Self { late, ..self }
    }
}

/// Addresses that are taken of one answer.
const TAKEN: usize = 1024;
