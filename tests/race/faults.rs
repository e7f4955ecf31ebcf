//! Errors as a stock connector returns them.

use std::error::Error;
use std::fmt;
use std::io;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Makes an error.
pub(crate) type Fault = fn() -> BoxError;

/// A step of hyper-util's connector and the error of the system, wrapped as hyper-util does.
#[derive(Debug)]
struct Step(&'static str, io::Error);

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Step {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.1)
    }
}

fn tcp(kind: io::ErrorKind) -> BoxError {
    Step("tcp connect error", kind.into()).into()
}

/// Wraps an error as hyper-rustls does.
fn tls(error: impl Into<BoxError>) -> BoxError {
    io::Error::other(error).into()
}

pub(crate) fn refused() -> BoxError {
    tcp(io::ErrorKind::ConnectionRefused)
}

pub(crate) fn unreachable() -> BoxError {
    tcp(io::ErrorKind::HostUnreachable)
}

pub(crate) fn timed_out() -> BoxError {
    tcp(io::ErrorKind::TimedOut)
}

pub(crate) fn no_route() -> BoxError {
    tcp(io::ErrorKind::NetworkUnreachable)
}

/// A firewall of this machine forbids the connect.
pub(crate) fn forbidden() -> BoxError {
    tcp(io::ErrorKind::PermissionDenied)
}

/// The process has too many open files (EMFILE).
pub(crate) fn out_of_files() -> BoxError {
    let code = if cfg!(windows) { 10024 } else { 24 };
    Step("tcp open error", io::Error::from_raw_os_error(code)).into()
}

/// The local address to bind is in use (EADDRINUSE).
pub(crate) fn cannot_bind() -> BoxError {
    Step("tcp bind local error", io::ErrorKind::AddrInUse.into()).into()
}

pub(crate) fn cut_in_tls() -> BoxError {
    tls(io::Error::from(io::ErrorKind::UnexpectedEof))
}

pub(crate) fn wrong_certificate() -> BoxError {
    tls("invalid peer certificate: certificate not valid for name \"edge.test\"")
}

/// An error that sidestep cannot classify.
pub(crate) fn odd() -> BoxError {
    "the moon is full".into()
}
