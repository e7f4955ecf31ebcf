//! Reads errors of other libraries: their types, codes and texts.
//!
//! No other module looks into the errors of another library. `texts` lists each text with its library, and a test for
//! each of them makes the real library return the text.

mod chain;
pub(crate) mod http;
pub(crate) mod texts;

use std::error::Error as StdError;
use std::io;

pub(crate) use self::chain::{describe_chain, error_chain};
use super::outcome::Outcome;

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
            .any(|cause| cause.is::<crate::ResolveError>() || texts::is_local_setup(cause))
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
        if error_chain(error).any(texts::is_cut_in_tunnel_setup) {
            return Self::ClosedEarly;
        }
        if error_chain(error).any(http::is_of_http) {
            return http::end(error).unwrap_or(Self::Unknown);
        }
        let in_tcp = error_chain(error).any(texts::is_tcp_stage) || is_bare_os_error(error);
        error_chain(error)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .find_map(|cause| classify_io(cause, in_tcp))
            .or_else(|| classify_io(&texts::socks_connect(error)?.1, true))
            .or_else(|| classify_tls(error))
            .or_else(|| classify_io(&texts::system_error_of_schannel(error)?, false))
            .unwrap_or(Self::Unknown)
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
    error_chain(error).find_map(texts::of_tls)
}

fn classify_io(error: &io::Error, in_tcp: bool) -> Option<Outcome> {
    use io::ErrorKind as K;
    if let Some(outcome) = error.raw_os_error().and_then(texts::of_code) {
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
