//! Rule: how an attempt ended, and what follows for its address and for a retry.

pub(crate) mod foreign;
pub(crate) mod http;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

/// How an attempt ended, or how the connection ended that the attempt made.
///
/// Give the outcome to [`Resolver::report`](crate::Resolver::report) if you connect without a connector of this crate,
/// or let [`Outcome::from_error`] read it from the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The caller dropped the connect before its end could say anything about the address. The outcome says nothing
    /// about the address.
    Canceled,
    /// The certificate was wrong for the name, expired or from an unknown issuer. An address that left DNS may belong
    /// to another server by now.
    BadCertificate,
    /// The connection was accepted and died before the first byte of a response.
    ClosedEarly,
    /// TCP is up, and so is TLS if the connector uses TLS.
    Connected,
    /// The connect failed and its cause is not visible, as when a connector went on to the next address.
    Failed,
    /// This machine was at fault: no file descriptor, no memory, no permission, no local port left, or the interface
    /// down. The outcome says nothing about the address.
    LocalError,
    /// This machine has no route for the whole address family.
    NoRoute,
    /// The peer refused the connection.
    Refused,
    /// The peer reset the connection during the connect.
    Reset,
    /// A connection that was up went silent.
    ///
    /// The system or an HTTP/2 ping ended the connection before the first byte of a response, or the request ended
    /// without a response after [`slow_response_after`](crate::PassiveHealthLayer::slow_response_after).
    Silent,
    /// The connect was pending for longer than a healthy connect takes.
    Slow,
    /// The connect did not end within the given time.
    TimedOut,
    /// The TLS handshake failed: end of file, reset, or an alert.
    TlsFailed,
    /// The network reports that the address can't be reached.
    Unreachable,
    /// The address responded with a status that counts as a failure; see
    /// [`PassiveHealthLayer`](crate::PassiveHealthLayer).
    Unavailable,
    /// This crate can't read the error, or the error is not about a connect.
    Unknown,
}

/// Describes the outcome after an address, as in "192.0.2.1 refused".
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Canceled => "given up by its caller",
            Self::BadCertificate => "wrong certificate",
            Self::ClosedEarly => "closed before it answered",
            Self::Connected => "connected",
            Self::Failed => "failed",
            Self::LocalError => "a fault of this machine",
            Self::NoRoute => "no route",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Silent => "went silent",
            Self::Slow => "pending for too long",
            Self::TimedOut => "timed out",
            Self::TlsFailed => "failed in TLS",
            Self::Unreachable => "unreachable",
            Self::Unavailable => "answered that it cannot serve",
            Self::Unknown => "unknown",
        })
    }
}

/// How much an outcome counts against its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The outcome does not count against the address.
    None,
    /// A first strike only orders the address after the healthy ones; a second one is a failure.
    Soft,
    /// The address failed.
    Hard,
    /// This machine has no route for the whole address family.
    Family,
}

/// How often a request may be sent again after a connect with this outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryScope {
    /// The error goes to the caller.
    Never,
    /// The request is sent again a few times, to other addresses.
    Few,
    /// The request is sent again while an address is left that is not known to be bad.
    WhileAddressesLeft,
}

impl Outcome {
    /// Returns the outcome that a connect error stands for.
    ///
    /// The error is searched through [`source`](StdError::source) and through [`io::Error::get_ref`], because
    /// hyper-rustls wraps errors by `io::Error::other`, and `source` alone does not return such an inner error.
    ///
    /// | the error | outcome |
    /// |---|---|
    /// | types of this crate, tokio's `Elapsed`, hyper and h2 | what the type says |
    /// | [`io::Error`] | what the kind or the system's code says, in any language |
    /// | rustls | [`BadCertificate`](Self::BadCertificate) or [`TlsFailed`](Self::TlsFailed), by the beginning of its message; otherwise `TlsFailed`, by the kind `InvalidData` |
    /// | native-tls | the same, by the number of OpenSSL, SChannel or Security.framework, or by the message of an early end |
    /// | hyper-util's connectors and proxies | what the whole message or its fixed beginning says |
    /// | anything else | [`Unknown`](Self::Unknown) |
    ///
    /// No outcome follows from a single word in a text: a host may be named `alerts.example.com`, and a layer of yours
    /// may refuse a certificate before any connect. An error that can't be read says nothing about an address, because
    /// the error may come from such a layer. For another TLS library, return an [`io::Error`] of kind `InvalidData` or
    /// `UnexpectedEof`, or use [`Resolver::report`](crate::Resolver::report) with an outcome of your own.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use sidestep::Outcome;
    ///
    /// let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    /// assert_eq!(Outcome::from_error(&refused), Outcome::Refused);
    /// let behind_tls = io::Error::other(io::Error::from(io::ErrorKind::UnexpectedEof));
    /// assert_eq!(Outcome::from_error(&behind_tls), Outcome::TlsFailed);
    /// let policy = io::Error::other("policy: host alerts.example.com is not allowed");
    /// assert_eq!(Outcome::from_error(&policy), Outcome::Unknown);
    /// ```
    #[must_use]
    pub fn from_error(error: &(dyn StdError + 'static)) -> Self {
        if error_chain(error)
            .any(|cause| cause.is::<crate::ResolveError>() || foreign::is_local_setup(cause))
        {
            let resolving = error_chain(error).any(|cause| cause.is::<crate::ResolveError>());
            return if resolving {
                Self::Unknown
            } else {
                Self::LocalError
            };
        }
        if error_chain(error).any(|cause| cause.is::<tokio::time::error::Elapsed>()) {
            return Self::TimedOut;
        }
        if error_chain(error).any(foreign::is_cut_in_tunnel_setup) {
            return Self::ClosedEarly;
        }
        if error_chain(error).any(http::is_of_http) {
            return http::end(error).unwrap_or(Self::Unknown);
        }
        let in_tcp = error_chain(error).any(foreign::is_tcp_stage) || is_bare_os_error(error);
        error_chain(error)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .find_map(|cause| classify_io(cause, in_tcp))
            .or_else(|| classify_io(&foreign::socks_connect(error)?.1, true))
            .or_else(|| classify_tls(error))
            .or_else(|| classify_io(&foreign::system_error_of_schannel(error)?, false))
            .unwrap_or(Self::Unknown)
    }

    pub(crate) fn severity(self) -> Severity {
        match self {
            Self::Canceled | Self::Connected | Self::LocalError | Self::Unknown => Severity::None,
            Self::ClosedEarly | Self::Silent | Self::Slow | Self::Unavailable => Severity::Soft,
            Self::BadCertificate
            | Self::Failed
            | Self::Refused
            | Self::Reset
            | Self::TimedOut
            | Self::TlsFailed
            | Self::Unreachable => Severity::Hard,
            Self::NoRoute => Severity::Family,
        }
    }

    pub(crate) fn retry_scope(self) -> RetryScope {
        match self {
            Self::Canceled
            | Self::Connected
            | Self::LocalError
            | Self::Unavailable
            | Self::Unknown => RetryScope::Never,
            Self::BadCertificate | Self::NoRoute => RetryScope::Few,
            Self::ClosedEarly
            | Self::Failed
            | Self::Refused
            | Self::Reset
            | Self::Silent
            | Self::Slow
            | Self::TimedOut
            | Self::TlsFailed
            | Self::Unreachable => RetryScope::WhileAddressesLeft,
        }
    }

    /// Returns whether the connect certainly failed in TCP, so that a connect in TCP tells whether the address is back.
    ///
    /// A connect that took too long may have hung later.
    pub(crate) fn is_in_tcp(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::Refused | Self::Reset | Self::Unreachable
        )
    }

    /// Returns whether the connect was pending for too long.
    pub(crate) fn is_slow(self) -> bool {
        matches!(self, Self::Slow | Self::TimedOut)
    }

    /// Returns whether the failure came after TCP was up.
    ///
    /// Before that, the connector attempts the next address itself, so a failure means that every address has failed.
    /// Afterwards the connector has settled on one address.
    pub(crate) fn is_after_tcp(self) -> bool {
        matches!(
            self,
            Self::BadCertificate
                | Self::ClosedEarly
                | Self::Silent
                | Self::Slow
                | Self::TlsFailed
                | Self::Unavailable
        )
    }

    /// Returns whether the failure came after the connection was made. A later successful connect then does not clear
    /// it.
    pub(crate) fn is_after_connect(self) -> bool {
        matches!(self, Self::ClosedEarly | Self::Silent | Self::Unavailable)
    }
}

/// Returns the texts of an error and its causes, outermost first and each once.
///
/// All addresses that the error is about share the text, and its length is limited.
pub(crate) fn describe_chain(error: &(dyn StdError + 'static)) -> Arc<str> {
    let mut said: Vec<String> = Vec::new();
    for cause in error_chain(error).map(ToString::to_string) {
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

/// Most bytes of an error's text that are kept.
const LONGEST_TEXT: usize = 200;

/// Returns an error and its causes, outermost first.
pub(crate) fn error_chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&cause| next_cause(cause)).take(MAX_DEPTH)
}

/// Most causes that are followed. Real chains are shorter, and an error that is its own source must not cause a loop
/// without end.
const MAX_DEPTH: usize = 32;

fn next_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// Returns whether the error is an error of the operating system without a wrapper, as connectors other than
/// hyper-util's may return.
fn is_bare_os_error(error: &(dyn StdError + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.raw_os_error().is_some())
}

fn classify_tls(error: &(dyn StdError + 'static)) -> Option<Outcome> {
    error_chain(error).find_map(foreign::of_tls)
}

fn classify_io(error: &io::Error, in_tcp: bool) -> Option<Outcome> {
    use io::ErrorKind as K;
    if let Some(outcome) = error.raw_os_error().and_then(foreign::of_code) {
        return Some(outcome);
    }
    let cut = if in_tcp {
        Outcome::Reset
    } else {
        Outcome::TlsFailed
    };
    Some(match error.kind() {
        K::ConnectionRefused => Outcome::Refused,
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof => cut,
        K::TimedOut => Outcome::TimedOut,
        K::HostUnreachable => Outcome::Unreachable,
        K::NetworkUnreachable | K::AddrNotAvailable => Outcome::NoRoute,
        K::PermissionDenied | K::OutOfMemory | K::AddrInUse | K::NetworkDown => Outcome::LocalError,
        // TLS libraries in Rust wrap their errors with this kind: the peer sent what they can't accept.
        K::InvalidData => classify_tls(error).unwrap_or(Outcome::TlsFailed),
        _ => return None,
    })
}

/// Returns whether the system had no local address for the connect (EADDRNOTAVAIL).
pub(crate) fn is_addr_not_available(error: &(dyn StdError + 'static)) -> bool {
    error_chain(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::AddrNotAvailable)
}

#[cfg(test)]
mod tests;
