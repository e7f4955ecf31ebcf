//! Where addresses come from.
//!
//! | lookup | asks | knows TTLs |
//! |---|---|---|
//! | [`Dns`] (feature `hickory`) | the name servers, by itself | yes |
//! | [`System`] | `getaddrinfo` | no: 30 s |
//! | [`FromService`] | any `Service<Name>` made for hyper-util | no: 30 s |
//! | [`Table`] | nobody: fixed addresses | no: 30 s |
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
mod service;
mod system;
mod table;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "hickory")]
pub use self::dns::{Dns, NoSystemConfig};
pub use self::fallback::Fallback;
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
    /// `host` is in lower case and without the root dot; it is never an address.
    fn lookup<'a>(&'a self, host: &'a str) -> Answering<'a>;

    /// The device is on another network: lets go of what belongs to the one before, such as
    /// connections, and name servers that were taken from it. Must not block for long.
    ///
    /// Does nothing unless you write it. Called by
    /// [`Resolver::network_changed`](crate::Resolver::network_changed), also outside of a runtime.
    fn network_changed(&self) {}
}

impl<L: Lookup + ?Sized> Lookup for Arc<L> {
    fn lookup<'a>(&'a self, host: &'a str) -> Answering<'a> {
        (**self).lookup(host)
    }

    fn network_changed(&self) {
        (**self).network_changed();
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
}

impl Answer {
    /// Makes an answer without a TTL: it is kept for 30 s, within the resolver's bounds.
    ///
    /// The first 64 addresses are used.
    #[must_use]
    pub fn new(addrs: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            addrs: addrs.into_iter().take(TAKEN).collect(),
            ttl: None,
            is_partial: false,
            asked_at: None,
        }
    }

    /// Sets for how long the answer may be kept, counted from when it was asked for.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

/// More than is kept, because duplicates are dropped later.
const TAKEN: usize = 4 * crate::order::MAX_ADDRS;
