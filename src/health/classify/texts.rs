//! Rule: what the texts and codes of other libraries and of the system mean.
//!
//! If a library separates two failures by no type and no [`io::ErrorKind`], its text or its code does. Each text and
//! code stands here beside the library and the version that it was read from. A text counts only as a whole message, or
//! by the fixed beginning of one, because a host name or a message of the user may contain any word.
//!
//! | from | version | read by | test against the library |
//! |---|---|---|---|
//! | rustls | 0.23.46 | beginning | `classify::tests` |
//! | native-tls with OpenSSL | 0.2.18, OpenSSL 1.1.1 and 3 | error number, text of an early end | `tests/native_tls` |
//! | native-tls with SChannel | 0.2.18, schannel 0.1.30 | `HRESULT`, text of an early end | none: Windows alone |
//! | native-tls with Security.framework | 0.2.18, security-framework 3.7.0 | `OSStatus` | none: Apple alone |
//! | hyper | 1.12.0 | whole text | `tests/clients/paths` |
//! | hyper-util | 0.1.21 | whole text or beginning; `Debug` for SOCKS | `tests/race`, `tests/clients/paths`, `tests/clients/retries.rs` |
//! | reqwest | 0.12.28, 0.13.5 | whole text | `tests/clients/retries.rs` |
//! | the system | | `errno`, `WSAGetLastError` | `classify::tests` |

use std::error::Error as StdError;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::error_chain;
use crate::health::outcome::Outcome;

/// Returns the outcome of one cause that is the error of a TLS library.
pub(super) fn of_tls(error: &(dyn StdError + 'static)) -> Option<Outcome> {
    let text = error.to_string();
    of_rustls(&text)
        .or_else(|| of_openssl(&text))
        .or_else(|| is_eof_of_schannel(&text).then_some(Outcome::TlsFailed))
        .or_else(|| {
            let code = status_shown(&format!("{error:?}"))?;
            of_security_framework(code).filter(|_| cfg!(target_vendor = "apple"))
        })
}

/// Reads the text of a rustls error, because not every build depends on rustls and its type.
///
/// The text begins with the error's variant. One variant holds the certificates that the verifier refuses. Another one
/// holds alerts that the peer sent about this side's certificate.
fn of_rustls(text: &str) -> Option<Outcome> {
    match () {
        () if text.starts_with("invalid peer certificate: ") => Some(Outcome::BadCertificate),
        () if text.starts_with("received fatal alert: ") => Some(Outcome::TlsFailed),
        () => None,
    }
}

/// Reads the text of an OpenSSL error, such as `error:0A000086:SSL routines:…`.
///
/// The number holds the library and the reason. If the peer closes in the middle of a handshake, the crate openssl says
/// `unexpected EOF`, and adds the result of the certificate check in parentheses.
fn of_openssl(text: &str) -> Option<Outcome> {
    const EOF: &str = "unexpected EOF";
    let is_eof = |text: &str| {
        let rest = text.strip_prefix(EOF);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" (") && rest.ends_with(')'))
    };
    if is_eof(text) {
        return Some(Outcome::TlsFailed);
    }
    let (number, rest) = text.strip_prefix("error:")?.split_once(':')?;
    // The crate prints each number with eight digits and a library. Similar texts are shorter, or name no library.
    if number.len() != 8 || rest.is_empty() {
        return None;
    }
    of_openssl_number(u32::from_str_radix(number, 16).ok()?)
}

/// Reads the number of an OpenSSL error. In OpenSSL 3, the lower 23 bits hold the reason, and the bits above them the
/// library. In OpenSSL 1.1.1 and LibreSSL, the lower 12 bits hold the reason, and the 12 bits above them the function.
fn of_openssl_number(number: u32) -> Option<Outcome> {
    const ERR_LIB_SSL: u32 = 20;
    const SSL_R_CERTIFICATE_VERIFY_FAILED: u32 = 134;
    let reason = match () {
        () if number >> 23 == ERR_LIB_SSL => number & 0x7F_FFFF,
        () if number >> 24 == ERR_LIB_SSL => number & 0xFFF,
        () => return None,
    };
    Some(match reason {
        SSL_R_CERTIFICATE_VERIFY_FAILED => Outcome::BadCertificate,
        _ => Outcome::TlsFailed,
    })
}

/// Returns whether the text is schannel's message of an early end. native-tls shows schannel's `io::Error` only as
/// text.
fn is_eof_of_schannel(text: &str) -> bool {
    text == "unexpected EOF during handshake"
}

/// Returns the system's error inside an error of native-tls on Windows.
///
/// The system's error is not the source of that error. Its code stands only in the `Debug` text, and its message is in
/// the user's language.
pub(super) fn system_error_of_schannel(error: &(dyn StdError + 'static)) -> Option<io::Error> {
    let code =
        error_chain(error).find_map(|cause| code_shown(&format!("{cause:?}"), "Os { code: "));
    code.filter(|_| cfg!(windows))
        .map(io::Error::from_raw_os_error)
}

/// Reads a code of SSPI about a handshake (`SEC_E_…`), or of CryptoAPI about a chain (`CERT_E_…`, `TRUST_E_…`).
///
/// A missing revocation list (`CRYPT_E_NO_REVOCATION_CHECK`, `CRYPT_E_REVOCATION_OFFLINE`) says nothing about the peer.
fn of_schannel(code: i32) -> Option<Outcome> {
    const SEC_E_WRONG_PRINCIPAL: u32 = 0x8009_0322;
    const SEC_E_UNTRUSTED_ROOT: u32 = 0x8009_0325;
    const SEC_E_CERT_EXPIRED: u32 = 0x8009_0328;
    const CERT_E_EXPIRED: u32 = 0x800B_0101;
    const CERT_E_INVALID_NAME: u32 = 0x800B_0114;
    const CRYPT_E_REVOKED: u32 = 0x8009_2010;
    match code.cast_unsigned() {
        SEC_E_WRONG_PRINCIPAL | SEC_E_UNTRUSTED_ROOT | SEC_E_CERT_EXPIRED | CRYPT_E_REVOKED => {
            Some(Outcome::BadCertificate)
        }
        CERT_E_EXPIRED..=CERT_E_INVALID_NAME => Some(Outcome::BadCertificate),
        0x8009_0300..=0x8009_03FF => Some(Outcome::TlsFailed),
        _ => None,
    }
}

/// Reads a status of Secure Transport about a handshake (`errSSL…`), or of `SecTrust` about a chain (`errSec…`).
///
/// An alert about this side's certificate (`errSSLPeer…`) is a failed handshake and no more.
fn of_security_framework(status: i32) -> Option<Outcome> {
    match status {
        // X509 chain invalid, bad, root unknown, no root, expired, not yet valid, host name mismatch.
        -9807 | -9808 | -9812 | -9813 | -9814 | -9815 | -9843 => Some(Outcome::BadCertificate),
        -9899..=-9800 => Some(Outcome::TlsFailed),
        // Host name mismatch, extended key usage, denied, expired, not yet valid, revoked, not trusted.
        -67602 | -67609 | -67654 | -67818 | -67819 | -67820 | -67843 => {
            Some(Outcome::BadCertificate)
        }
        _ => None,
    }
}

fn status_shown(shown: &str) -> Option<i32> {
    code_shown(shown, "Error { code: ")
}

/// Returns the code in the `Debug` text of native-tls, `Error(Os { code: 5, … })`, or in that of the library below it,
/// `Error { code: 5 }`, if there is one.
fn code_shown(shown: &str, before: &str) -> Option<i32> {
    let inner = shown.strip_prefix("Error(").unwrap_or(shown);
    let (code, _) = inner.strip_prefix(before)?.split_once([',', ' '])?;
    code.parse().ok()
}

/// Returns whether hyper-util's connector failed in a step before the first packet (`connect/http.rs`).
///
/// The error's text names the step, because its type is not exported.
pub(super) fn is_local_setup(error: &(dyn StdError + 'static)) -> bool {
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

/// Returns whether a proxy accepted the connection and closed it before its first reply.
///
/// The texts are hyper-util's (`connect/proxy/tunnel.rs` and `socks/mod.rs`), because the types can't be named.
pub(super) fn is_cut_in_tunnel_setup(error: &(dyn StdError + 'static)) -> bool {
    const CUT: [&str; 3] = [
        "tunnel error: unexpected end of file",
        "tunnel error: io error establishing tunnel",
        "SOCKS error: io error during SOCKS handshake",
    ];
    !error.is::<io::Error>() && CUT.contains(&error.to_string().as_str())
}

/// Returns whether the tunnel through an HTTP proxy was not up yet (hyper-util, `connect/proxy/tunnel.rs`).
pub(crate) fn is_tunnel_setup(error: &(dyn StdError + 'static)) -> bool {
    !error.is::<io::Error>() && error.to_string().starts_with("tunnel error: ")
}

/// Returns whether the error comes from hyper-util's SOCKS connector (`connect/proxy/socks/mod.rs`).
pub(crate) fn is_of_socks(error: &(dyn StdError + 'static)) -> bool {
    !error.is::<io::Error>() && error.to_string().starts_with("SOCKS error: ")
}

/// Returns the address of a SOCKS proxy that the system could not connect to, and why.
///
/// hyper-util's error has no source, so both are read from its `Debug` text (`connect/proxy/socks/mod.rs`). If that
/// text has another form, the function returns `None`.
pub(crate) fn socks_connect(error: &(dyn StdError + 'static)) -> Option<(IpAddr, io::Error)> {
    let is_it = |cause: &&(dyn StdError + 'static)| {
        cause.to_string() == "SOCKS error: failed to create underlying connection"
    };
    let shown = format!("{:?}", error_chain(error).find(is_it)?);
    let (_, connect) = shown.split_once("(\"tcp connect error\", ")?;
    let (addr, system) = connect.split_once(", Os { code: ")?;
    let (code, _) = system.split_once(',')?;
    let addr: SocketAddr = addr.parse().ok()?;
    Some((addr.ip(), io::Error::from_raw_os_error(code.parse().ok()?)))
}

/// Returns whether hyper-util's client has not sent the request (`client.rs`). Only the text shows the error's kind.
pub(crate) fn is_handed_back(error: &hyper_util::client::legacy::Error) -> bool {
    error.to_string() == "client error (Canceled)"
}

/// Returns whether an HTTP/2 connection died while the request waited for a free stream.
///
/// The texts are from hyper 1.12.0, `client/dispatch.rs`. If code of the user has panicked, hyper says so instead.
pub(super) fn is_dropped_with_its_connection(error: &hyper::Error) -> bool {
    let is_dropped =
        |cause: &(dyn StdError + 'static)| cause.to_string() == "runtime dropped the dispatch task";
    error.to_string() == "dispatch task is gone" && error.source().is_some_and(is_dropped)
}

/// Returns whether the request waited for the HTTP/2 connect of another request, and got no connection.
///
/// | text of hyper-util 0.1.21 | from | because |
/// |---|---|---|
/// | `request was canceled` | `client/legacy/pool.rs` | the other connect failed |
/// | `ALPN upgraded to HTTP/2` | `client/legacy/client.rs` | the own connect was dropped for one of a third request, after the other connect failed |
///
/// The types can't be named.
pub(crate) fn is_lost_checkout(error: &(dyn StdError + 'static)) -> bool {
    const TEXTS: [&str; 2] = ["request was canceled", "ALPN upgraded to HTTP/2"];
    !error.is::<io::Error>() && TEXTS.contains(&&*error.to_string())
}

/// Returns whether the error is reqwest's own timeout (`error.rs`; the type is not exported).
pub(crate) fn is_timeout_of_reqwest(error: &(dyn StdError + 'static)) -> bool {
    !error.is::<io::Error>() && error.to_string() == "operation timed out"
}

/// Returns the outcome of a system's code for which std has no stable kind.
pub(super) fn of_code(code: i32) -> Option<Outcome> {
    match () {
        () if is_local_code(code) => Some(Outcome::LocalError),
        () if is_family_code(code) => Some(Outcome::NoRoute),
        () if is_host_down_code(code) => Some(Outcome::Unreachable),
        () if cfg!(windows) => of_schannel(code),
        () => None,
    }
}

/// Returns whether a code is EMFILE, ENFILE or ENOBUFS.
pub(crate) fn is_local_code(code: i32) -> bool {
    const WSAEMFILE: i32 = 10024;
    const WSAENOBUFS: i32 = 10055;
    if cfg!(windows) {
        return matches!(code, WSAEMFILE | WSAENOBUFS);
    }
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = here(WSAENOBUFS, 105, 55);
    matches!(code, ENFILE | EMFILE | ENOBUFS)
}

/// Returns whether a code is EAFNOSUPPORT.
fn is_family_code(code: i32) -> bool {
    code == here(10047, 97, 47)
}

/// Returns whether a code is EHOSTDOWN.
fn is_host_down_code(code: i32) -> bool {
    code == here(10064, 112, 64)
}

/// Returns the number of a code on this system, given its numbers on Windows, on Linux and on other systems.
const fn here(windows: i32, linux: i32, other: i32) -> i32 {
    match () {
        () if cfg!(windows) => windows,
        () if cfg!(any(target_os = "linux", target_os = "android")) => linux,
        () => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openssl_is_read_by_its_number() {
        let wrong = Some(Outcome::BadCertificate);
        let tls = Some(Outcome::TlsFailed);
        for (text, expected) in [
            (
                "error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify failed:\
                 ssl/statem/statem_clnt.c:2123: (hostname mismatch)",
                wrong,
            ),
            // From OpenSSL 1.1.1 and LibreSSL.
            (
                "error:1416F086:SSL routines:tls_process_server_certificate:…",
                wrong,
            ),
            ("error:14FFF086:SSL routines:(UNKNOWN)SSL_internal:…", wrong),
            (
                "error:0A00010B:SSL routines:ssl3_get_record:wrong version number:…",
                tls,
            ),
            (
                "error:0A000412:SSL routines:ssl3_read_bytes:sslv3 alert bad certificate:…",
                tls,
            ),
            (
                "error:1408F10B:SSL routines:ssl3_get_record:wrong version number:…",
                tls,
            ),
            ("unexpected EOF", tls),
            ("unexpected EOF (self-signed certificate)", tls),
            // From another library of OpenSSL, for a key that can't be read.
            (
                "error:0D0680A8:asn1 encoding routines:asn1_check_tlen:wrong tag:…",
                None,
            ),
            ("error:0A000086", None),
            ("error:A000086:certificate verify failed", None),
            ("policy: error:0A000086:certificate verify failed", None),
            ("unexpected EOF in the policy of tls.example.com", None),
            ("Unexpected Eof", None),
        ] {
            assert_eq!(of_openssl(text), expected, "{text}");
        }
    }

    #[test]
    fn schannel_is_read_by_its_code() {
        let of = |code: u32| of_schannel(code.cast_signed());
        for code in [
            0x8009_0322,
            0x8009_0325,
            0x8009_0328,
            0x8009_2010,
            0x800B_0101,
            0x800B_0109,
            0x800B_010C,
            0x800B_010F,
        ] {
            assert_eq!(of(code), Some(Outcome::BadCertificate), "{code:08X}");
        }
        // Illegal message, algorithm mismatch, an alert about this side's certificate.
        for code in [0x8009_0326, 0x8009_0331, 0x8009_0327] {
            assert_eq!(of(code), Some(Outcome::TlsFailed), "{code:08X}");
        }
        // Revocation can't be checked, or the code is not SChannel's.
        for code in [0x8009_2012, 0x8009_2013, 0x8007_0005, 0, 10054] {
            assert_eq!(of(code), None, "{code:08X}");
        }
    }

    #[test]
    fn security_framework_is_read_by_its_status() {
        for status in [
            -9807, -9808, -9812, -9813, -9814, -9815, -9843, -67602, -67818, -67843,
        ] {
            let read = of_security_framework(status);
            assert_eq!(read, Some(Outcome::BadCertificate), "{status}");
        }
        // Protocol, closed, and alerts about this side's certificate.
        for status in [-9800, -9805, -9806, -9825, -9828, -9831, -9851] {
            assert_eq!(
                of_security_framework(status),
                Some(Outcome::TlsFailed),
                "{status}"
            );
        }
        for status in [0, -36, -50, -25300, -9799, -9900] {
            assert_eq!(of_security_framework(status), None, "{status}");
        }
    }

    /// The code is read whatever the language of the message is.
    #[test]
    fn native_tls_shows_its_code_for_debugging() {
        let schannel = r#"Error(Os { code: -2146762487, kind: Uncategorized, message: "Eine Zertifikatkette …" })"#;
        assert_eq!(code_shown(schannel, "Os { code: "), Some(-2_146_762_487));
        let framework = r#"Error(Error { code: -9807, message: "certificat non valide" })"#;
        assert_eq!(status_shown(framework), Some(-9807));
        assert_eq!(status_shown("Error { code: -9814 }"), Some(-9814));
        for users in [
            r#""policy: Error { code: -9807 }""#,
            "Policy { code: -9807 }",
            "Error(Error { code: certificate })",
        ] {
            assert_eq!(status_shown(users), None, "{users}");
        }
    }

    /// The `Debug` text of native-tls contains the `Debug` text of std's error, which begins with the code.
    #[test]
    fn std_shows_the_code_of_the_system_first() {
        let shown = format!("Error({:?})", io::Error::from_raw_os_error(5));
        assert_eq!(code_shown(&shown, "Os { code: "), Some(5));
    }
}
