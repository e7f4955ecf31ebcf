//! The errors of lookups and of settings.

use std::error::Error as StdError;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A boxed error of any type, as in tower and hyper.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// The error for a host that has no addresses for the caller.
///
/// The `is_` methods classify the error. A clone is cheap. A [`Lookup`](crate::Lookup) of your own makes the error with
/// [`not_found`](Self::not_found), [`no_records`](Self::no_records) or [`failed`](Self::failed).
///
/// # Examples
///
/// ```
/// let error = sidestep::ResolveError::not_found("no.example");
/// assert!(error.is_not_found() && !error.is_timeout());
/// assert_eq!(error.to_string(), "no.example: the name does not exist (NXDOMAIN)");
/// ```
#[derive(Clone)]
pub struct ResolveError(Arc<Inner>);

struct Inner {
    host: Box<str>,
    kind: Kind,
    negative_ttl: Option<Duration>,
    source: Option<BoxError>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Failed,
    /// The first refused addresses, and the number of all refused addresses.
    Filtered(Box<[IpAddr]>, usize),
    InvalidName(&'static str),
    /// This machine could not query a name server.
    Machine,
    NeverSent,
    NoRecords,
    NoRuntime,
    NotFound,
    Panicked,
    TimedOut,
}

impl ResolveError {
    /// Makes the error for a name that does not exist (NXDOMAIN).
    ///
    /// The resolver then drops an earlier answer.
    #[must_use]
    pub fn not_found(host: &str) -> Self {
        Self::new(host, Kind::NotFound)
    }

    /// Makes the error for a name that exists but has no addresses (NODATA).
    ///
    /// The resolver then drops an earlier answer.
    #[must_use]
    pub fn no_records(host: &str) -> Self {
        Self::new(host, Kind::NoRecords)
    }

    /// Makes the error for a lookup that failed and says nothing about the name.
    ///
    /// The resolver then keeps an earlier answer.
    #[must_use]
    pub fn failed(host: &str, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(host, Kind::Failed, source.into())
    }

    /// Sets how long the resolver may keep the negative answer.
    ///
    /// The value is the lesser of the SOA record's own TTL and its MINIMUM field (RFC 2308, section 5). The resolver
    /// keeps the answer for at least 1 s and at most 60 s. Defaults to 5 s.
    #[must_use]
    pub fn with_negative_ttl(self, ttl: Duration) -> Self {
        let inner = Arc::try_unwrap(self.0).unwrap_or_else(|shared| Inner {
            host: shared.host.clone(),
            kind: shared.kind.clone(),
            negative_ttl: None,
            source: None,
        });
        Self(Arc::new(Inner {
            negative_ttl: Some(ttl),
            ..inner
        }))
    }

    /// Makes the error for an answer whose addresses the filter all refused.
    ///
    /// The resolver then drops an earlier answer.
    pub(crate) fn filtered(host: &str, refused: &[IpAddr]) -> Self {
        let named = refused.iter().copied().take(NAMED).collect();
        Self::new(host, Kind::Filtered(named, refused.len()))
    }

    pub(crate) fn timed_out(host: &str) -> Self {
        Self::new(host, Kind::TimedOut)
    }

    /// Makes the error for a lookup that timed out; `source` names the server that did not answer.
    #[cfg(feature = "hickory")]
    pub(crate) fn timed_out_at(host: &str, source: impl Into<BoxError>) -> Self {
        Self::caused(host, Kind::TimedOut, source.into())
    }

    /// Makes the error for a query that this machine could not send, as without a free file descriptor.
    #[cfg(feature = "hickory")]
    pub(crate) fn of_this_machine(host: &str, source: impl Into<BoxError>) -> Self {
        Self::caused(host, Kind::Machine, source.into())
    }

    pub(crate) fn invalid_name(host: &str, why: &'static str) -> Self {
        Self::new(host, Kind::InvalidName(why))
    }

    pub(crate) fn never_sent(host: &str) -> Self {
        Self::new(host, Kind::NeverSent)
    }

    pub(crate) fn no_runtime(host: &str) -> Self {
        Self::new(host, Kind::NoRuntime)
    }

    pub(crate) fn too_many(host: &str) -> Self {
        Self::failed(host, "too many hosts are looked up again at once")
    }

    pub(crate) fn no_turn(host: &str) -> Self {
        Self::failed(
            host,
            "too many hosts are looked up at once, and no lookup ended in time for this one",
        )
    }

    pub(crate) fn lost(host: &str) -> Self {
        Self::failed(
            host,
            "each was lost: its runtime was shut down, or another lookup was set",
        )
    }

    pub(crate) fn panicked(host: &str) -> Self {
        Self::new(host, Kind::Panicked)
    }

    fn caused(host: &str, kind: Kind, source: BoxError) -> Self {
        Self(Arc::new(Inner {
            host: host.into(),
            kind,
            negative_ttl: None,
            source: Some(source),
        }))
    }

    fn new(host: &str, kind: Kind) -> Self {
        Self(Arc::new(Inner {
            host: host.into(),
            kind,
            negative_ttl: None,
            source: None,
        }))
    }

    /// Returns the host that was looked up.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// Returns true if the name does not exist, or is reserved and never leaves this machine.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.0.kind, Kind::NotFound | Kind::NeverSent)
    }

    /// Returns true if the name server answered that the name has no addresses.
    #[must_use]
    pub fn is_no_records(&self) -> bool {
        self.0.kind == Kind::NoRecords
    }

    /// Returns true if the host has addresses and the filter refused them all; see
    /// [`ResolverBuilder::filter`](crate::ResolverBuilder::filter).
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        matches!(self.0.kind, Kind::Filtered(..))
    }

    /// Returns true if no answer came in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.kind == Kind::TimedOut
    }

    /// Returns true if the text is no domain name, so that no lookup was sent.
    #[must_use]
    pub fn is_invalid_name(&self) -> bool {
        matches!(self.0.kind, Kind::InvalidName(_))
    }

    /// Returns true if the error is an answer about the name, and not a failure of the lookup.
    pub(crate) fn is_negative_answer(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::NotFound | Kind::NoRecords | Kind::Filtered(..)
        )
    }

    /// Returns true if this machine could not send the query, so that the next lookup may be sent at once.
    pub(crate) fn is_of_this_machine(&self) -> bool {
        self.0.kind == Kind::Machine
    }

    pub(crate) fn negative_ttl(&self) -> Option<Duration> {
        self.0.negative_ttl
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.0.host;
        let why = match &self.0.kind {
            Kind::Failed => "the lookup failed",
            Kind::Filtered(named, count) => return write_filtered(f, host, named, *count),
            Kind::InvalidName(why) => return write!(f, "{host:?}: not a domain name: {why}"),
            Kind::Machine => {
                "this machine could not ask a name server; look at its limits, such as open files"
            }
            Kind::NeverSent => "the name is reserved and is never sent to a name server",
            Kind::NoRecords => "the name exists but has no addresses (NODATA)",
            Kind::NoRuntime => "a lookup needs a tokio runtime: ask from inside one",
            Kind::NotFound => "the name does not exist (NXDOMAIN)",
            Kind::Panicked => {
                "the lookup panicked, or a filter or source_address that its answer goes through; \
                 if it was tokio that did, enable the runtime's timer and I/O"
            }
            Kind::TimedOut => "no answer came in time; are the name servers reachable?",
        };
        write!(f, "{host}: {why}")
    }
}

/// Maximum number of refused addresses that an error names.
const NAMED: usize = 3;

fn write_filtered(
    f: &mut fmt::Formatter<'_>,
    host: &str,
    named: &[IpAddr],
    count: usize,
) -> fmt::Result {
    match count {
        1 => write!(f, "{host}: the address filter refused its only address (")?,
        _ => write!(
            f,
            "{host}: the address filter refused all of its {count} addresses ("
        )?,
    }
    for (place, addr) in named.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        write!(f, "{comma}{addr}")?;
    }
    f.write_str(if count > named.len() { ", …)" } else { ")" })
}

impl fmt::Debug for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            host,
            kind,
            negative_ttl: _,
            source,
        } = &*self.0;
        f.debug_struct("ResolveError")
            .field("host", host)
            .field("kind", kind)
            .field("source", source)
            .finish()
    }
}

impl StdError for ResolveError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

/// The error for an invalid value of a setter, such as one of [`ResolverBuilder`](crate::ResolverBuilder).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {setter}: {problem}")]
pub struct ConfigError {
    setter: &'static str,
    problem: &'static str,
}

impl ConfigError {
    pub(crate) fn new(setter: &'static str, problem: &'static str) -> Self {
        Self { setter, problem }
    }

    /// Returns the name of the setter whose value must change.
    #[must_use]
    pub fn setter(&self) -> &'static str {
        self.setter
    }
}
