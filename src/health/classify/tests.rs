use std::sync::Arc;

use super::*;
use crate::error::BoxError;
use crate::health::outcome::Severity;

#[derive(Debug, thiserror::Error)]
#[error("{step}")]
struct Step {
    step: &'static str,
    source: Option<BoxError>,
}

fn step(step: &'static str, source: impl Into<BoxError>) -> Step {
    Step {
        step,
        source: Some(source.into()),
    }
}

fn kind(kind: io::ErrorKind) -> io::Error {
    kind.into()
}

/// Each row of the failure table, with the error that a connector returns.
#[test]
fn each_row_of_the_table_is_recognised() {
    use io::ErrorKind as K;
    let tcp = |error: io::Error| Box::new(step("tcp connect error", error)) as BoxError;
    let tls = |error: io::Error| Box::new(io::Error::other(error)) as BoxError;
    let cases: Vec<(BoxError, Outcome)> = vec![
        (tcp(kind(K::ConnectionRefused)), Outcome::Refused),
        (tcp(kind(K::ConnectionReset)), Outcome::Reset),
        (tcp(kind(K::TimedOut)), Outcome::TimedOut),
        (tcp(kind(K::HostUnreachable)), Outcome::Unreachable),
        (tcp(kind(K::NetworkUnreachable)), Outcome::NoRoute),
        (tcp(kind(K::AddrNotAvailable)), Outcome::NoRoute),
        (tcp(kind(K::NetworkDown)), Outcome::LocalError),
        (tcp(kind(K::PermissionDenied)), Outcome::LocalError),
        (tcp(kind(K::OutOfMemory)), Outcome::LocalError),
        (
            Box::new(step("tcp open error", kind(K::Other))),
            Outcome::LocalError,
        ),
        (
            Box::new(step("tcp bind local error", kind(K::AddrNotAvailable))),
            Outcome::LocalError,
        ),
        (Box::new(kind(K::UnexpectedEof)), Outcome::TlsFailed),
        (tls(kind(K::UnexpectedEof)), Outcome::TlsFailed),
        (tls(kind(K::ConnectionReset)), Outcome::TlsFailed),
        (tls(kind(K::TimedOut)), Outcome::TimedOut),
        (
            Box::new(step("dns error", crate::ResolveError::not_found("a"))),
            Outcome::Unknown,
        ),
        ("tunnel error: unsuccessful".into(), Outcome::Unknown),
        (
            "tunnel error: unexpected end of file".into(),
            Outcome::ClosedEarly,
        ),
        (
            "SOCKS error: io error during SOCKS handshake".into(),
            Outcome::ClosedEarly,
        ),
        (
            Box::new(step(
                "tunnel error: io error establishing tunnel",
                kind(K::ConnectionReset),
            )),
            Outcome::ClosedEarly,
        ),
    ];
    for (error, expected) in cases {
        assert_eq!(Outcome::from_error(&*error), expected, "{error:?}");
    }
}

/// Returns the error as tokio-rustls returns it, and as hyper-rustls wraps that.
fn by_rustls(error: rustls::Error) -> [io::Error; 2] {
    let bare = || io::Error::new(io::ErrorKind::InvalidData, error.clone());
    [bare(), io::Error::other(bare())]
}

/// The errors are rustls's own, so this is the contract with rustls.
#[test]
fn each_certificate_that_rustls_does_not_accept_is_a_wrong_one() {
    use rustls::CertificateError as C;
    use rustls::pki_types::{ServerName, UnixTime};
    let (time, later) = (
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(1)),
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(2)),
    );
    for wrong in [
        C::BadEncoding,
        C::Expired,
        C::ExpiredContext {
            time: later,
            not_after: time,
        },
        C::NotValidYet,
        C::NotValidYetContext {
            time,
            not_before: later,
        },
        C::Revoked,
        C::UnknownIssuer,
        C::BadSignature,
        C::NotValidForName,
        C::NotValidForNameContext {
            expected: ServerName::try_from("alerts.example.com").unwrap(),
            presented: vec!["DnsName(\"edge.test\")".into()],
        },
        C::InvalidPurpose,
        C::ApplicationVerificationFailure,
        C::Other(rustls::OtherError(Arc::new(io::Error::other("an alert")))),
    ] {
        for error in by_rustls(rustls::Error::InvalidCertificate(wrong)) {
            assert_eq!(
                Outcome::from_error(&error),
                Outcome::BadCertificate,
                "{error}"
            );
        }
    }
}

/// An alert about a certificate concerns the client's certificate.
#[test]
fn all_else_that_rustls_says_is_a_broken_handshake() {
    use rustls::{AlertDescription as A, Error as E};
    for broken in [
        E::AlertReceived(A::BadCertificate),
        E::AlertReceived(A::CertificateExpired),
        E::AlertReceived(A::HandshakeFailure),
        E::AlertReceived(A::InternalError),
        E::AlertReceived(A::UnknownCA),
        E::AlertReceived(A::UnrecognisedName),
        E::DecryptError,
        E::General("the certificate of alerts.example.com".into()),
        E::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
        E::NoApplicationProtocol,
        E::NoCertificatesPresented,
        E::PeerIncompatible(rustls::PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon),
        E::PeerMisbehaved(rustls::PeerMisbehaved::BadCertChainExtensions),
        E::PeerSentOversizedRecord,
    ] {
        for error in by_rustls(broken) {
            assert_eq!(Outcome::from_error(&error), Outcome::TlsFailed, "{error}");
        }
    }
}

/// A connector may return rustls's error without an `io::Error` around it.
#[test]
fn a_bare_error_of_rustls_is_known_by_its_beginning() {
    let wrong = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
    assert_eq!(Outcome::from_error(&wrong), Outcome::BadCertificate);
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::BadCertificate);
    assert_eq!(Outcome::from_error(&alert), Outcome::TlsFailed);
}

/// A host name may contain any word, and a layer of the user may return any text.
#[test]
fn no_word_in_a_text_says_anything() {
    for text in [
        "policy: host alerts.example.com is not allowed",
        "Alert: quota of today is used up",
        "rate limit of certificate-api.example.com",
        "CERTIFICATE store is locked",
        "certificate verify failed",
        "tls.example.com is not on the list",
        "no TLS to ssl.example.com in this region",
        "handshake with the licence server is due",
        "Handshake",
        "tcp connect error to tls.example.com",
        "policy: invalid peer certificate: UnknownIssuer",
        "policy: received fatal alert: BadCertificate",
        "policy (error:0A000086:SSL routines:…:certificate verify failed)",
        "unexpected EOF in the list of certificates",
        "unexpected eof",
        "operation timed out",
        // These are the system's words, which follow its language. The kind or the code of its error counts.
        "Verbindungsaufbau abgelehnt (os error 111)",
        "Connection refused",
    ] {
        let bare: BoxError = text.into();
        let wrapped = io::Error::other(text);
        let twice = io::Error::other(io::Error::other(text));
        let under = step("connecting through my proxy", text);
        let kind = io::Error::new(io::ErrorKind::InvalidInput, text);
        let errors: [&(dyn StdError + 'static); 5] = [&*bare, &wrapped, &twice, &under, &kind];
        for error in errors {
            assert_eq!(Outcome::from_error(error), Outcome::Unknown, "{error:?}");
        }
    }
}

/// The texts of other TLS libraries, read through the error chain. Each code is tested beside its reader.
#[test]
fn known_messages_of_tls_libraries_are_read_whole() {
    for (text, expected) in [
        (
            "error:0A000086:SSL routines:f:certificate verify failed:a.c:1: (hostname mismatch)",
            Outcome::BadCertificate,
        ),
        ("unexpected EOF", Outcome::TlsFailed),
        ("unexpected EOF during handshake", Outcome::TlsFailed),
    ] {
        let bare: BoxError = text.into();
        assert_eq!(Outcome::from_error(&*bare), expected, "{text}");
        assert_eq!(
            Outcome::from_error(&io::Error::other(text)),
            expected,
            "{text}"
        );
    }
}

#[cfg(windows)]
#[test]
fn schannel_is_read_in_any_language() {
    /// An error as native-tls shows it, without a source.
    struct NativeTls(io::Error);
    impl fmt::Debug for NativeTls {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "Error({:?})", self.0)
        }
    }
    impl fmt::Display for NativeTls {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            fmt::Display::fmt(&self.0, f)
        }
    }
    impl StdError for NativeTls {}
    for (code, expected) in [
        (0x800B_0109_u32.cast_signed(), Outcome::BadCertificate),
        (0x8009_0326_u32.cast_signed(), Outcome::TlsFailed),
        (10054, Outcome::TlsFailed),
    ] {
        let error = NativeTls(io::Error::from_raw_os_error(code));
        assert_eq!(Outcome::from_error(&error), expected, "{error:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn local_faults_without_a_kind_are_known_by_their_code() {
    for code in [23, 24, 105] {
        let error = step("tcp connect error", io::Error::from_raw_os_error(code));
        assert_eq!(
            Outcome::from_error(&error),
            Outcome::LocalError,
            "errno {code}"
        );
    }
    let error = step("tcp connect error", io::Error::from_raw_os_error(97));
    assert_eq!(Outcome::from_error(&error), Outcome::NoRoute);
}

#[test]
fn only_faults_of_the_address_cause_a_look_up() {
    for outcome in [Outcome::LocalError, Outcome::Canceled, Outcome::Unknown] {
        assert_eq!(outcome.severity(), Severity::None, "{outcome:?}");
    }
    assert_eq!(Outcome::NoRoute.severity(), Severity::Family);
    for outcome in [
        Outcome::Refused,
        Outcome::TimedOut,
        Outcome::TlsFailed,
        Outcome::Slow,
    ] {
        assert!(
            matches!(outcome.severity(), Severity::Soft | Severity::Hard),
            "{outcome:?}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn codes_without_a_stable_kind_are_known() {
    let of = |code| Outcome::from_error(&io::Error::from_raw_os_error(code));
    assert_eq!(of(100), Outcome::LocalError, "ENETDOWN");
    assert_eq!(of(112), Outcome::Unreachable, "EHOSTDOWN");
}
