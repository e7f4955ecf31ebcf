//! Rule: what a dial came to, whose fault it was and what follows.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
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
    /// This machine was at fault: no file descriptor, no memory, no permission, no local port to
    /// bind. Says nothing about the address.
    Local,
    /// This machine has no route for the whole address family.
    NoRoute,
    /// The peer refused the connection.
    Refused,
    /// The peer reset the connection while it was being made.
    Reset,
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
    /// ```
    #[must_use]
    pub fn of(error: &(dyn StdError + 'static)) -> Self {
        if causes(error).any(|cause| cause.is::<crate::Error>() || is_local_setup(cause)) {
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
        if causes(error).any(is_cut_in_tunnel_setup) {
            return Self::ClosedEarly;
        }
        let in_tcp = causes(error).any(is_tcp_stage) || is_bare_os_error(error);
        causes(error)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .find_map(|cause| of_io(cause, in_tcp))
            .or_else(|| of_io(&socks_connect(error)?.1, true))
            .or_else(|| of_tls_text(error))
            .unwrap_or(Self::Unknown)
    }

    pub(crate) fn blame(self) -> Blame {
        match self {
            Self::Abandoned | Self::Connected | Self::Local | Self::Unknown => Blame::None,
            Self::ClosedEarly | Self::Stalled | Self::Unavailable => Blame::Soft,
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
            | Self::Stalled
            | Self::TimedOut
            | Self::Tls
            | Self::Unreachable => Again::WhileHopeful,
        }
    }

    /// Whether it certainly failed while the TCP connection was made.
    pub(crate) fn is_in_tcp(self) -> bool {
        matches!(self.blame(), Blame::Hard) && !self.is_after_tcp()
    }

    /// Whether it came after TCP was up. Until then the connector dials the next address by itself,
    /// so that a failure is every address's; afterwards it has settled on one.
    pub(crate) fn is_after_tcp(self) -> bool {
        matches!(
            self,
            Self::BadCertificate
                | Self::ClosedEarly
                | Self::Stalled
                | Self::Tls
                | Self::Unavailable
        )
    }

    /// Whether it came after the connection was made: that one is made again says nothing then.
    pub(crate) fn is_after_connect(self) -> bool {
        matches!(self, Self::ClosedEarly | Self::Unavailable)
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

/// hyper-util names the step of its connector that failed; the type itself is not exported.
/// These steps come before the first packet (hyper-util 0.1.21, `connect/http.rs`).
fn is_local_setup(error: &(dyn StdError + 'static)) -> bool {
    const STEPS: [&str; 6] = [
        "tcp open error",
        "tcp set_nonblocking error",
        "tcp bind interface error",
        "tcp bind local error",
        "tcp set_mark error",
        "error converting interface name to index",
    ];
    !error.is::<io::Error>() && STEPS.contains(&error.to_string().as_str())
}

pub(crate) fn is_tcp_stage(error: &(dyn StdError + 'static)) -> bool {
    !error.is::<io::Error>() && error.to_string() == "tcp connect error"
}

/// A proxy accepted and went away before it had answered what it is asked first (hyper-util
/// 0.1.21, `connect/proxy/tunnel.rs` and `socks/mod.rs`; the types can't be named).
fn is_cut_in_tunnel_setup(error: &(dyn StdError + 'static)) -> bool {
    const CUT: [&str; 3] = [
        "tunnel error: unexpected end of file",
        "tunnel error: io error establishing tunnel",
        "SOCKS error: io error during SOCKS handshake",
    ];
    !error.is::<io::Error>() && CUT.contains(&error.to_string().as_str())
}

/// Returns which address of a SOCKS proxy the system could not connect to, and why. hyper-util's
/// error has no source: both stand only in what it shows for debugging (hyper-util 0.1.21,
/// `connect/proxy/socks/mod.rs`). Where that reads otherwise, nothing is known.
pub(crate) fn socks_connect(error: &(dyn StdError + 'static)) -> Option<(IpAddr, io::Error)> {
    let is_it = |cause: &&(dyn StdError + 'static)| {
        cause.to_string() == "SOCKS error: failed to create underlying connection"
    };
    let shown = format!("{:?}", causes(error).find(is_it)?);
    let (_, connect) = shown.split_once("(\"tcp connect error\", ")?;
    let (addr, system) = connect.split_once(", Os { code: ")?;
    let (code, _) = system.split_once(',')?;
    let addr: SocketAddr = addr.parse().ok()?;
    Some((addr.ip(), io::Error::from_raw_os_error(code.parse().ok()?)))
}

/// A connector that is not hyper-util's may hand out the operating system's error as it is.
fn is_bare_os_error(error: &(dyn StdError + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.raw_os_error().is_some())
}

fn of_io(error: &io::Error, in_tcp: bool) -> Option<Outcome> {
    use io::ErrorKind as K;
    let cut = if in_tcp { Outcome::Reset } else { Outcome::Tls };
    Some(match error.kind() {
        _ if error.raw_os_error().is_some_and(is_local_code) => Outcome::Local,
        _ if error.raw_os_error().is_some_and(is_family_code) => Outcome::NoRoute,
        K::ConnectionRefused => Outcome::Refused,
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof => cut,
        K::TimedOut => Outcome::TimedOut,
        K::HostUnreachable => Outcome::Unreachable,
        K::NetworkUnreachable | K::AddrNotAvailable => Outcome::NoRoute,
        K::PermissionDenied | K::OutOfMemory | K::AddrInUse => Outcome::Local,
        K::InvalidData => of_tls_text(error).unwrap_or(Outcome::Tls),
        _ => return None,
    })
}

/// EMFILE, ENFILE and ENOBUFS: std has no stable kind for them.
fn is_local_code(code: i32) -> bool {
    const WSAEMFILE: i32 = 10024;
    const WSAENOBUFS: i32 = 10055;
    if cfg!(windows) {
        return matches!(code, WSAEMFILE | WSAENOBUFS);
    }
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
        105
    } else {
        55
    };
    matches!(code, ENFILE | EMFILE | ENOBUFS)
}

/// EAFNOSUPPORT: std has no stable kind for it.
fn is_family_code(code: i32) -> bool {
    let eafnosupport = match () {
        () if cfg!(windows) => 10047,
        () if cfg!(any(target_os = "linux", target_os = "android")) => 97,
        () => 47,
    };
    code == eafnosupport
}

/// TLS libraries tell kinds of failure apart only in types of their own, each version another;
/// their texts are steadier. Asked last, when no I/O error said more.
fn of_tls_text(error: &(dyn StdError + 'static)) -> Option<Outcome> {
    causes(error).find_map(|cause| {
        let text = cause.to_string().to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        match () {
            () if says(&["alert"]) => Some(Outcome::Tls),
            () if says(&["certificate"]) => Some(Outcome::BadCertificate),
            // OpenSSL says no more of a peer that closes in the middle of a handshake.
            () if says(&["tls", "ssl", "handshake", "unexpected eof"]) => Some(Outcome::Tls),
            () => None,
        }
    })
}

#[cfg(test)]
mod tests;
