//! Rule: what a dial came to, whose fault it was and what follows.

pub(crate) mod foreign;
pub(crate) mod http;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

/// What a dial came to.
///
/// Give it to [`Resolver::report`](crate::Resolver::report) when you dial for yourself, or let
/// [`Outcome::of`] read it from the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The caller went away before the dial meant anything. Says nothing.
    Abandoned,
    /// The certificate was wrong for the name, expired or from an unknown issuer. The address of
    /// an edge that left may belong to somebody else now.
    BadCertificate,
    /// The connection was accepted and died before the first byte of a response.
    ClosedEarly,
    /// TCP and, where asked for, TLS are up.
    Connected,
    /// The dial failed and the cause could not be seen, as when a connector went on to the next
    /// address by itself.
    Failed,
    /// This machine was at fault: no file descriptor, no memory, no permission, no local port left, the
    /// interface down. Says nothing about the address.
    Local,
    /// This machine has no route for the whole address family.
    NoRoute,
    /// The peer refused the connection.
    Refused,
    /// The peer reset the connection while it was being made.
    Reset,
    /// A connection that was up went silent: the system or an HTTP/2 ping ended it before the first byte
    /// of a response, or the caller gave the request up after
    /// [`slow_response_after`](crate::ExchangeLayer::slow_response_after).
    Silent,
    /// The dial was still pending after the time that a healthy one takes.
    Stalled,
    /// No answer within the time given.
    TimedOut,
    /// The TLS handshake failed: end of file, reset, or an alert.
    Tls,
    /// The network says that the host can't be reached.
    Unreachable,
    /// It answered that it cannot serve, by a status that the operator counts; see
    /// [`ExchangeLayer`](crate::ExchangeLayer).
    Unavailable,
    /// Nothing known of it: an error this crate can't read, or one that is not about a dial.
    Unknown,
}

/// As in "192.0.2.1: refused".
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Abandoned => "given up by its caller",
            Self::BadCertificate => "wrong certificate",
            Self::ClosedEarly => "closed before it answered",
            Self::Connected => "connected",
            Self::Failed => "failed",
            Self::Local => "a fault of this machine",
            Self::NoRoute => "no route",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Silent => "went silent",
            Self::Stalled => "pending for too long",
            Self::TimedOut => "timed out",
            Self::Tls => "failed in TLS",
            Self::Unreachable => "unreachable",
            Self::Unavailable => "answered that it cannot serve",
            Self::Unknown => "unknown",
        })
    }
}

/// How hard an outcome counts against its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// Nothing against the address.
    None,
    /// A first strike only moves the address behind the healthy ones; a second is a failure.
    Soft,
    /// The address failed.
    Hard,
    /// The whole address family has no route from here.
    Family,
}

/// Whether a request whose connect met this outcome may be dialled once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg(feature = "__again")]
pub(crate) enum Again {
    /// The error goes to the caller.
    Never,
    /// A few other addresses and no more.
    Few,
    /// As long as an address is left that is not known to be bad.
    WhileHopeful,
}

impl Outcome {
    /// Reads an outcome from a connect error.
    ///
    /// It looks through [`source`](StdError::source) and through [`io::Error::get_ref`], because
    /// hyper-rustls wraps with `io::Error::other`, which a plain walk does not see through.
    ///
    /// | the error | outcome |
    /// |---|---|
    /// | types of this crate, tokio's `Elapsed`, hyper and h2 | what the type says |
    /// | [`io::Error`] | what the kind or the system's code says, in any language |
    /// | rustls | [`BadCertificate`](Self::BadCertificate) or [`Tls`](Self::Tls), by the beginning of its message; else `Tls`, by the kind `InvalidData` |
    /// | native-tls | the same, by the number of OpenSSL, SChannel or Security.framework, or by the message of an early end |
    /// | hyper-util's connectors and proxies | what their message says, whole or by its fixed beginning |
    /// | anything else | [`Unknown`](Self::Unknown) |
    ///
    /// No outcome follows from a word in a text: a host may be named `alerts.example.com`, and a layer of yours may
    /// refuse a certificate before any dial. An error that can't be read says nothing about an address, because it may
    /// well be such a policy. For another TLS library, return an [`io::Error`] of kind `InvalidData` or
    /// `UnexpectedEof`, or use [`Resolver::report`](crate::Resolver::report) with an outcome of your own.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use sidestep::Outcome;
    ///
    /// let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    /// assert_eq!(Outcome::of(&refused), Outcome::Refused);
    /// let behind_tls = io::Error::other(io::Error::from(io::ErrorKind::UnexpectedEof));
    /// assert_eq!(Outcome::of(&behind_tls), Outcome::Tls);
    /// let policy = io::Error::other("policy: host alerts.example.com is not allowed");
    /// assert_eq!(Outcome::of(&policy), Outcome::Unknown);
    /// ```
    #[must_use]
    pub fn of(error: &(dyn StdError + 'static)) -> Self {
        if causes(error).any(|cause| cause.is::<crate::Error>() || foreign::is_local_setup(cause)) {
            let resolving = causes(error).any(|cause| cause.is::<crate::Error>());
            return if resolving {
                Self::Unknown
            } else {
                Self::Local
            };
        }
        if causes(error).any(|cause| cause.is::<tokio::time::error::Elapsed>()) {
            return Self::TimedOut;
        }
        if causes(error).any(foreign::is_cut_in_tunnel_setup) {
            return Self::ClosedEarly;
        }
        if causes(error).any(http::is_of_http) {
            return http::end(error).unwrap_or(Self::Unknown);
        }
        let in_tcp = causes(error).any(foreign::is_tcp_stage) || is_bare_os_error(error);
        causes(error)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .find_map(|cause| of_io(cause, in_tcp))
            .or_else(|| of_io(&foreign::socks_connect(error)?.1, true))
            .or_else(|| of_tls(error))
            .or_else(|| of_io(&foreign::system_error_of_schannel(error)?, false))
            .unwrap_or(Self::Unknown)
    }

    pub(crate) fn blame(self) -> Blame {
        match self {
            Self::Abandoned | Self::Connected | Self::Local | Self::Unknown => Blame::None,
            Self::ClosedEarly | Self::Silent | Self::Stalled | Self::Unavailable => Blame::Soft,
            Self::BadCertificate
            | Self::Failed
            | Self::Refused
            | Self::Reset
            | Self::TimedOut
            | Self::Tls
            | Self::Unreachable => Blame::Hard,
            Self::NoRoute => Blame::Family,
        }
    }

    #[cfg(feature = "__again")]
    pub(crate) fn again(self) -> Again {
        match self {
            Self::Abandoned | Self::Connected | Self::Local | Self::Unavailable | Self::Unknown => {
                Again::Never
            }
            Self::BadCertificate | Self::NoRoute => Again::Few,
            Self::ClosedEarly
            | Self::Failed
            | Self::Refused
            | Self::Reset
            | Self::Silent
            | Self::Stalled
            | Self::TimedOut
            | Self::Tls
            | Self::Unreachable => Again::WhileHopeful,
        }
    }

    /// Whether it certainly failed while the TCP connection was made, so that a connect in TCP tells whether the
    /// address is back. A connect that took too long may have hung later.
    pub(crate) fn is_in_tcp(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::Refused | Self::Reset | Self::Unreachable
        )
    }

    /// Whether the connect was pending for too long.
    pub(crate) fn is_slow(self) -> bool {
        matches!(self, Self::Stalled | Self::TimedOut)
    }

    /// Whether it came after TCP was up. Until then the connector dials the next address by itself,
    /// so that a failure is every address's; afterwards it has settled on one.
    pub(crate) fn is_after_tcp(self) -> bool {
        matches!(
            self,
            Self::BadCertificate
                | Self::ClosedEarly
                | Self::Silent
                | Self::Stalled
                | Self::Tls
                | Self::Unavailable
        )
    }

    /// Whether it came after the connection was made: that one is made again says nothing then.
    pub(crate) fn is_after_connect(self) -> bool {
        matches!(self, Self::ClosedEarly | Self::Silent | Self::Unavailable)
    }
}

/// What an error and the causes behind it say, outermost first and each once. Shared by all
/// addresses that it is about, and not long.
pub(crate) fn text(error: &(dyn StdError + 'static)) -> Arc<str> {
    let mut said: Vec<String> = Vec::new();
    for cause in causes(error).map(ToString::to_string) {
        if !said.iter().any(|before| before.contains(&cause)) {
            said.push(cause);
        }
    }
    let mut text = said.join(": ");
    if text.len() > LONGEST_TEXT {
        let end = (0..=LONGEST_TEXT)
            .rev()
            .find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text.into()
}

/// Kept of an error's text, in bytes.
const LONGEST_TEXT: usize = 200;

/// An error and what lies behind it, outermost first.
pub(crate) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&cause| behind(cause)).take(MAX_DEPTH)
}

/// No honest chain is deeper; an error that is its own source must not hang us.
const MAX_DEPTH: usize = 32;

fn behind<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// A connector that is not hyper-util's may hand out the operating system's error as it is.
fn is_bare_os_error(error: &(dyn StdError + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.raw_os_error().is_some())
}

fn of_tls(error: &(dyn StdError + 'static)) -> Option<Outcome> {
    causes(error).find_map(foreign::of_tls)
}

fn of_io(error: &io::Error, in_tcp: bool) -> Option<Outcome> {
    use io::ErrorKind as K;
    if let Some(outcome) = error.raw_os_error().and_then(foreign::of_code) {
        return Some(outcome);
    }
    let cut = if in_tcp { Outcome::Reset } else { Outcome::Tls };
    Some(match error.kind() {
        K::ConnectionRefused => Outcome::Refused,
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof => cut,
        K::TimedOut => Outcome::TimedOut,
        K::HostUnreachable => Outcome::Unreachable,
        K::NetworkUnreachable | K::AddrNotAvailable => Outcome::NoRoute,
        K::PermissionDenied | K::OutOfMemory | K::AddrInUse | K::NetworkDown => Outcome::Local,
        // So TLS libraries in Rust wrap their errors: the peer sent what they can't accept.
        K::InvalidData => of_tls(error).unwrap_or(Outcome::Tls),
        _ => return None,
    })
}

/// Whether the system had no local address for the connect (EADDRNOTAVAIL).
pub(crate) fn is_addr_not_available(error: &(dyn StdError + 'static)) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::AddrNotAvailable)
}

#[cfg(test)]
mod tests;
