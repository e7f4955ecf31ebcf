use super::*;
use crate::error::BoxError;

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

/// The failure table of the design, row by row, as a connector sees it.
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
        (tcp(kind(K::PermissionDenied)), Outcome::Local),
        (tcp(kind(K::OutOfMemory)), Outcome::Local),
        (
            Box::new(step("tcp open error", kind(K::Other))),
            Outcome::Local,
        ),
        (
            Box::new(step("tcp bind local error", kind(K::AddrNotAvailable))),
            Outcome::Local,
        ),
        (Box::new(kind(K::UnexpectedEof)), Outcome::Tls),
        (tls(kind(K::UnexpectedEof)), Outcome::Tls),
        (tls(kind(K::ConnectionReset)), Outcome::Tls),
        (tls(kind(K::TimedOut)), Outcome::TimedOut),
        (
            Box::new(step("dns error", crate::Error::not_found("a"))),
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
        assert_eq!(Outcome::of(&*error), expected, "{error:?}");
    }
}

#[test]
fn a_wrong_certificate_is_told_from_a_broken_handshake() {
    let rustls = |text: &str| io::Error::other(io::Error::new(io::ErrorKind::InvalidData, text));
    let wrong = rustls("invalid peer certificate: certificate not valid for name \"edge.test\"");
    assert_eq!(Outcome::of(&wrong), Outcome::BadCertificate);
    let alert = rustls("received fatal alert: BadCertificate");
    assert_eq!(Outcome::of(&alert), Outcome::Tls);
    let openssl: BoxError = "error:0A000086: certificate verify failed".into();
    assert_eq!(Outcome::of(&*openssl), Outcome::BadCertificate);
    let closed: BoxError = "unexpected EOF".into();
    assert_eq!(Outcome::of(&*closed), Outcome::Tls);
}

#[cfg(target_os = "linux")]
#[test]
fn local_faults_without_a_kind_are_known_by_their_code() {
    for code in [23, 24, 105] {
        let error = step("tcp connect error", io::Error::from_raw_os_error(code));
        assert_eq!(Outcome::of(&error), Outcome::Local, "errno {code}");
    }
    let error = step("tcp connect error", io::Error::from_raw_os_error(97));
    assert_eq!(Outcome::of(&error), Outcome::NoRoute);
}

#[test]
fn only_faults_of_the_address_cause_a_look_up() {
    for outcome in [Outcome::Local, Outcome::Abandoned, Outcome::Unknown] {
        assert_eq!(outcome.blame(), Blame::None, "{outcome:?}");
    }
    assert_eq!(Outcome::NoRoute.blame(), Blame::Family);
    for outcome in [
        Outcome::Refused,
        Outcome::TimedOut,
        Outcome::Tls,
        Outcome::Stalled,
    ] {
        assert!(
            matches!(outcome.blame(), Blame::Soft | Blame::Hard),
            "{outcome:?}"
        );
    }
}
