//! Rule: how an attempt ended, and what follows for its address and for a retry.

use std::fmt;

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
