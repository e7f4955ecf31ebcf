//! A pure rule that decides whether a connect through a proxy failed at the proxy or behind it.
//!
//! A connect through a tunnel resolves the name of the proxy, but ends with a TLS handshake with the origin. A failure
//! of that handshake says nothing about the proxy.

use std::error::Error as StdError;
use std::io;

use crate::health::classify::error_chain;
use crate::health::classify::texts::{is_of_socks, is_tcp_stage, is_tunnel_setup};
use crate::health::outcome::Outcome;

/// Returns true if the error comes from behind the host that the connector resolved.
///
/// `target` is the host of the connector's request, if the request shows it. reqwest hides the target, so the error
/// alone decides.
///
/// - reqwest runs TLS through a tunnel itself and returns the error of rustls as it is. hyper-rustls, which makes
///   every other handshake, wraps the error (reqwest 0.13.5, `connect.rs`). So an unwrapped error is attributed to the
///   origin.
/// - With native-tls both errors look alike, and are attributed to the resolved host.
/// - If a SOCKS proxy is given as an address, the only resolved name is the origin's. So a SOCKS error is attributed
///   to no address.
pub(crate) fn is_origin_failure(
    error: &(dyn StdError + 'static),
    target: Option<&str>,
    dialled: &str,
) -> bool {
    if error_chain(error).any(|cause| is_tcp_stage(cause) || is_tunnel_setup(cause)) {
        return false;
    }
    let in_socks = error_chain(error).any(is_of_socks);
    match target {
        Some(target) => !in_socks && target != dialled && Outcome::from_error(error).is_after_tcp(),
        None => in_socks || is_unwrapped(error),
    }
}

fn is_unwrapped(error: &(dyn StdError + 'static)) -> bool {
    let inside = error.downcast_ref::<io::Error>().map(io::Error::get_ref);
    inside.is_some_and(|inside| inside.is_none_or(|inside| !inside.is::<io::Error>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::BoxError;

    #[derive(Debug, thiserror::Error)]
    #[error("{step}")]
    struct Step {
        step: &'static str,
        source: io::Error,
    }

    fn cut() -> io::Error {
        io::ErrorKind::ConnectionReset.into()
    }

    fn at(step: &'static str) -> BoxError {
        let source = io::Error::other(cut());
        Box::new(Step { step, source })
    }

    #[test]
    fn a_handshake_is_the_origins_where_the_request_names_another_host() {
        let tls: BoxError = Box::new(io::Error::other(cut()));
        assert!(is_origin_failure(&*tls, Some("origin.test"), "proxy.test"));
        assert!(!is_origin_failure(&*tls, Some("proxy.test"), "proxy.test"));
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(!is_origin_failure(
            &refused,
            Some("origin.test"),
            "proxy.test"
        ));
    }

    #[test]
    fn where_the_request_is_hidden_an_unwrapped_error_is_the_origins() {
        assert!(is_origin_failure(&cut(), None, "proxy.test"));
        let by_hyper_rustls = io::Error::other(cut());
        assert!(!is_origin_failure(&by_hyper_rustls, None, "proxy.test"));
        let rustls = io::Error::new(io::ErrorKind::InvalidData, "invalid peer certificate");
        assert!(is_origin_failure(&rustls, None, "proxy.test"));
        assert!(!is_origin_failure(
            &io::Error::other(rustls),
            None,
            "proxy.test"
        ));
    }

    #[test]
    fn a_name_asked_for_a_socks_proxy_may_be_the_origins_where_the_request_is_hidden() {
        let error: BoxError = "SOCKS error: io error during SOCKS handshake".into();
        assert!(is_origin_failure(&*error, None, "origin.test"));
        assert!(!is_origin_failure(
            &*error,
            Some("origin.test"),
            "proxy.test"
        ));
    }

    #[test]
    fn until_the_tunnel_is_up_it_is_the_proxys() {
        for step in [
            "tcp connect error",
            "tunnel error: failed to create underlying connection",
            "tunnel error: io error establishing tunnel",
        ] {
            for target in [None, Some("origin.test")] {
                assert!(
                    !is_origin_failure(&*at(step), target, "proxy.test"),
                    "{step}"
                );
            }
        }
    }
}
