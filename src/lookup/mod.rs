//! The sources of addresses.
//!
//! | lookup | source | lifetime of answers |
//! |---|---|---|
//! | [`Dns`] (feature `hickory`) | the name servers, as the system would use them | TTL |
//! | [`System`] | `getaddrinfo` | 30 s |
//! | [`FromService`] | any `Service<Name>` made for hyper-util | 30 s |
//! | [`StaticHosts`] | fixed addresses | 30 s |
//! | [`Chain`] | several lookups in turn, until one answers | as for the lookup that answered |
//!
//! A lookup must not cache. The resolver owns the lifetimes of answers, and a second cache below the resolver would
//! return an address again that the resolver has invalidated.
//!
//! # Examples
//!
//! This example implements a lookup:
//!
//! ```
//! use std::net::IpAddr;
//! use std::time::{Duration, Instant};
//! use sidestep::lookup::{Answer, LookupFuture, Lookup};
//!
//! struct Registry;
//!
//! impl Lookup for Registry {
//!     fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
//!         Box::pin(async move {
//!             match host {
//!                 "api.internal" => Ok(Answer::new([IpAddr::from([10, 0, 0, 7])])
//!                     .with_ttl(Duration::from_secs(5))),
//!                 _ => Err(sidestep::ResolveError::not_found(host)),
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
pub use self::dns::{Dns, DnsBuilder, IpStrategy, Protocol, ServerTrial, SystemConfigError};
pub use self::fallback::Chain;
pub(crate) use self::late::{Late, Waiting};
pub use self::service::FromService;
pub use self::system::System;
pub use self::table::StaticHosts;
use crate::ResolveError;

/// The future of a lookup.
pub type LookupFuture<'a> = Pin<Box<dyn Future<Output = Result<Answer, ResolveError>> + Send + 'a>>;

/// A source of addresses. Implement this trait for a source of your own.
///
/// The resolver calls [`lookup`](Self::lookup) on a separate task, one call at a time for each host and runtime, and
/// drops the future after [`ResolverBuilder::lookup_timeout`](crate::ResolverBuilder::lookup_timeout). Keep what
/// belongs to a tokio runtime, such as a socket, per runtime, because one resolver may serve several runtimes.
///
/// # Errors
///
/// Return [`ResolveError::not_found`] and [`ResolveError::no_records`] only if the source *said* so, because the
/// resolver then drops an earlier answer. Return [`ResolveError::failed`] for all other failures; the resolver then
/// keeps an earlier answer. An answer without addresses counts as `no_records`.
pub trait Lookup: Send + Sync + 'static {
    /// Looks up the addresses of a host, without a cache.
    ///
    /// `host` is in lower case and never an address. If the caller wrote the root dot, `host` ends with the dot:
    /// the name is absolute, and no search list applies. If [`root_dot_matters`](Self::root_dot_matters)
    /// returns false, `host` never has the root dot.
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a>;

    /// Drops the state of the previous network, because the device is on another network.
    ///
    /// Examples of such state are connections, and name servers that the previous network provided. The method must not
    /// block for long. [`Resolver::network_changed`](crate::Resolver::network_changed) calls the method, also outside
    /// of a runtime.
    ///
    /// The default implementation does nothing.
    fn network_changed(&self) {}

    /// Returns whether a name with the root dot may have other addresses than the name without it.
    ///
    /// The addresses may differ if a search list applies to names without the root dot. If `root_dot_matters` returns
    /// true, the resolver looks up both names and keeps their answers separately. If `root_dot_matters` returns false,
    /// the resolver calls `lookup` without the root dot.
    ///
    /// The default implementation returns true.
    fn root_dot_matters(&self) -> bool {
        true
    }
}

impl<L: Lookup + ?Sized> Lookup for Arc<L> {
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
        (**self).lookup(host)
    }

    fn network_changed(&self) {
        (**self).network_changed();
    }

    fn root_dot_matters(&self) -> bool {
        (**self).root_dot_matters()
    }
}

/// The addresses of a host, and how long the resolver may keep them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub(crate) addrs: Vec<IpAddr>,
    pub(crate) ttl: Option<Duration>,
    /// Whether one family's addresses are missing because its lookup failed.
    pub(crate) is_partial: bool,
    /// When the query for the answer was sent; `None` if that is the start of the lookup.
    pub(crate) asked_at: Option<Instant>,
    /// The late part of the answer, for which the lookup still waits.
    pub(crate) late: Option<Late>,
}

impl Answer {
    /// Makes an answer without a TTL, which the resolver keeps for 30 s within its bounds.
    ///
    /// The resolver uses at most 64 addresses: the first ones if
    /// [`AddressOrder::Preserve`](crate::AddressOrder::Preserve) is set, and random ones otherwise. The answer ignores
    /// addresses after the first 1024.
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

    /// Sets how long the resolver may keep the answer, counted from when the lookup was sent.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Returns the addresses, in the order in which they were given.
    #[must_use]
    pub fn addrs(&self) -> &[IpAddr] {
        &self.addrs
    }

    /// Returns how long the resolver may keep the answer; see [`with_ttl`](Self::with_ttl).
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl
    }

    #[cfg(feature = "hickory")]
    pub(crate) fn with_late(self, late: Option<Late>) -> Self {
        Self { late, ..self }
    }
}

/// Maximum number of addresses that are read from one answer.
const TAKEN: usize = 1024;
