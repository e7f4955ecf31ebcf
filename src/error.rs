//! The errors a user meets.

use std::error::Error as StdError;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Any error, as tower and hyper pass it around.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a host has no addresses for the caller. Cheap to clone; ask it with the `is_` methods.
///
/// A [`Lookup`](crate::Lookup) of your own makes one with [`not_found`](Self::not_found),
/// [`no_records`](Self::no_records) or [`failed`](Self::failed).
///
/// # Examples
///
/// ```
/// let error = sidestep::Error::not_found("no.example");
/// assert!(error.is_not_found() && !error.is_timeout());
/// assert_eq!(error.to_string(), "no.example: the name does not exist (NXDOMAIN)");
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    host: Box<str>,
    kind: Kind,
    negative_ttl: Option<Duration>,
    source: Option<BoxError>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Failed,
    /// The first of the addresses that were refused, and how many there were.
    Filtered(Box<[IpAddr]>, usize),
    InvalidName(&'static str),
    /// This machine could not ask.
    Machine,
    NeverSent,
    NoRecords,
    NoRuntime,
    NotFound,
    Panicked,
    TimedOut,
}

impl Error {
    /// The name does not exist (NXDOMAIN). It ends an answer known before.
    #[must_use]
    pub fn not_found(host: &str) -> Self {
        Self::new(host, Kind::NotFound)
    }

    /// The name exists and has no addresses (NODATA). It ends an answer known before.
    #[must_use]
    pub fn no_records(host: &str) -> Self {
        Self::new(host, Kind::NoRecords)
    }

    /// The lookup failed and says nothing about the name. An answer known before stays.
    #[must_use]
    pub fn failed(host: &str, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(host, Kind::Failed, source.into())
    }

    /// Sets for how long a negative answer may be kept: the lesser of the SOA record's own TTL
    /// and its MINIMUM field (RFC 2308, section 5). It is kept within 1 s and 60 s; without it 5 s
    /// are taken.
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

    /// The filter refused every address of an answer. It ends an answer known before.
    pub(crate) fn filtered(host: &str, refused: &[IpAddr]) -> Self {
        let named = refused.iter().copied().take(NAMED).collect();
        Self::new(host, Kind::Filtered(named, refused.len()))
    }

    pub(crate) fn timed_out(host: &str) -> Self {
        Self::new(host, Kind::TimedOut)
    }

    /// The same, with the name server that did not answer.
    #[cfg(feature = "hickory")]
    pub(crate) fn timed_out_at(host: &str, source: impl Into<BoxError>) -> Self {
        Self::caused(host, Kind::TimedOut, source.into())
    }

    /// This machine could not ask, as when it has no file descriptor left.
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

    /// Returns the host that was asked for.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// Returns true when the name does not exist, or is one that never leaves this machine.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.0.kind, Kind::NotFound | Kind::NeverSent)
    }

    /// Returns true when the name server answered that there are no addresses.
    #[must_use]
    pub fn is_no_records(&self) -> bool {
        self.0.kind == Kind::NoRecords
    }

    /// Returns true when there are addresses and the filter refused them all; see
    /// [`Builder::filter`](crate::Builder::filter).
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        matches!(self.0.kind, Kind::Filtered(..))
    }

    /// Returns true when no answer came in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.kind == Kind::TimedOut
    }

    /// Returns true when the text is no domain name; nothing was asked.
    #[must_use]
    pub fn is_invalid_name(&self) -> bool {
        matches!(self.0.kind, Kind::InvalidName(_))
    }

    /// Returns true when the answer is about the name and not about how the lookup went.
    pub(crate) fn is_negative_answer(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::NotFound | Kind::NoRecords | Kind::Filtered(..)
        )
    }

    /// Returns true when this machine could not ask: the next lookup may be sent at once.
    pub(crate) fn is_of_this_machine(&self) -> bool {
        self.0.kind == Kind::Machine
    }

    pub(crate) fn negative_ttl(&self) -> Option<Duration> {
        self.0.negative_ttl
    }
}

impl fmt::Display for Error {
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

/// Most refused addresses that an error names.
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

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            host,
            kind,
            negative_ttl: _,
            source,
        } = &*self.0;
        f.debug_struct("Error")
            .field("host", host)
            .field("kind", kind)
            .field("source", source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

/// A value that a [`Builder`](crate::Builder) cannot work with. It names the setter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {setter}: {problem}")]
pub struct InvalidConfig {
    setter: &'static str,
    problem: &'static str,
}

impl InvalidConfig {
    pub(crate) fn new(setter: &'static str, problem: &'static str) -> Self {
        Self { setter, problem }
    }

    /// Returns the name of the setter whose value is to be changed.
    #[must_use]
    pub fn setter(&self) -> &'static str {
        self.setter
    }
}
