//! Rule: whether a connect through a proxy failed at the proxy, or behind it.
//!
//! A connect through a tunnel asks for the proxy's name, but ends with a TLS handshake with the
//! origin, whose failure says nothing about the proxy.

use std::error::Error as StdError;
use std::io;

use crate::outcome::foreign::{is_of_socks, is_tcp_stage, is_tunnel_setup};
use crate::outcome::{Outcome, causes};

/// Returns true when the error comes from behind the host whose addresses were dialled.
///
/// `target` is the host that the connect was for, where the connector's request tells it. reqwest
/// hides it; but where it makes a tunnel's TLS itself it hands out rustls's error as it is, and
/// hyper-rustls, which makes every other handshake, wraps it (reqwest 0.13.5, `connect.rs`). With
/// native-tls both look alike, and the dialled host is blamed. Of a SOCKS proxy it asks for one name
/// too where the proxy is an address and the name is the origin's; so none is blamed there.
pub(crate) fn is_behind(
    error: &(dyn StdError + 'static),
    target: Option<&str>,
    dialled: &str,
) -> bool {
    if causes(error).any(|cause| is_tcp_stage(cause) || is_tunnel_setup(cause)) {
        return false;
    }
    let in_socks = causes(error).any(is_of_socks);
    match target {
        Some(target) => !in_socks && target != dialled && Outcome::of(error).is_after_tcp(),
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
        assert!(is_behind(&*tls, Some("origin.test"), "proxy.test"));
        assert!(!is_behind(&*tls, Some("proxy.test"), "proxy.test"));
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(!is_behind(&refused, Some("origin.test"), "proxy.test"));
    }

    #[test]
    fn where_the_request_is_hidden_an_unwrapped_error_is_the_origins() {
        assert!(is_behind(&cut(), None, "proxy.test"));
        let by_hyper_rustls = io::Error::other(cut());
        assert!(!is_behind(&by_hyper_rustls, None, "proxy.test"));
        let rustls = io::Error::new(io::ErrorKind::InvalidData, "invalid peer certificate");
        assert!(is_behind(&rustls, None, "proxy.test"));
        assert!(!is_behind(&io::Error::other(rustls), None, "proxy.test"));
    }

    #[test]
    fn a_name_asked_for_a_socks_proxy_may_be_the_origins_where_the_request_is_hidden() {
        let error: BoxError = "SOCKS error: io error during SOCKS handshake".into();
        assert!(is_behind(&*error, None, "origin.test"));
        assert!(!is_behind(&*error, Some("origin.test"), "proxy.test"));
    }

    #[test]
    fn until_the_tunnel_is_up_it_is_the_proxys() {
        for step in [
            "tcp connect error",
            "tunnel error: failed to create underlying connection",
            "tunnel error: io error establishing tunnel",
        ] {
            for target in [None, Some("origin.test")] {
                assert!(!is_behind(&*at(step), target, "proxy.test"), "{step}");
            }
        }
    }
}
