//! Rule: how a connection that was up ended, according to the error types of hyper and h2.

use std::error::Error as StdError;
use std::io;

use super::{error_chain, texts};
use crate::health::outcome::Outcome;

/// Returns whether hyper or h2 made the error, so that the connection was up.
pub(super) fn is_of_http(error: &(dyn StdError + 'static)) -> bool {
    error.is::<hyper::Error>() || error.is::<h2::Error>()
}

/// Returns the outcome if the connection died or went silent while a response was due.
pub(crate) fn end(error: &(dyn StdError + 'static)) -> Option<Outcome> {
    match () {
        () if error_chain(error).any(is_silence) => Some(Outcome::Silent),
        () if error_chain(error).any(is_death) => Some(Outcome::ClosedEarly),
        () => None,
    }
}

fn is_death(cause: &(dyn StdError + 'static)) -> bool {
    let of_hyper = |error: &hyper::Error| {
        error.is_canceled()
            || error.is_closed()
            || error.is_incomplete_message()
            || texts::is_dropped_with_its_connection(error)
    };
    cause.downcast_ref::<hyper::Error>().is_some_and(of_hyper) || is_disconnect(cause)
}

fn is_disconnect(cause: &(dyn StdError + 'static)) -> bool {
    use io::ErrorKind as K;
    let of_io = |error: &io::Error| {
        matches!(
            error.kind(),
            K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof
        )
    };
    let io = cause.downcast_ref().or_else(|| io_of_h2(cause));
    io.is_some_and(of_io)
}

/// Returns whether the connection went silent.
///
/// `TCP_USER_TIMEOUT` and TCP keep-alive end a connection with ETIMEDOUT, or with the error that ICMP reported
/// meanwhile. HTTP/2 pings end a connection with hyper's own timeout. A timeout without a code is one that the user has
/// set on the connection.
fn is_silence(cause: &(dyn StdError + 'static)) -> bool {
    use io::ErrorKind as K;
    let of_io = |error: &io::Error, has_code| match error.kind() {
        K::TimedOut => has_code,
        K::HostUnreachable | K::NetworkUnreachable => true,
        _ => false,
    };
    let io = cause.downcast_ref::<io::Error>();
    let is_ping = cause
        .downcast_ref::<hyper::Error>()
        .is_some_and(hyper::Error::is_timeout);
    is_ping
        || io.is_some_and(|error| of_io(error, error.raw_os_error().is_some()))
        // h2 keeps the kind of an I/O error and not its code.
        || io_of_h2(cause).is_some_and(|error| of_io(error, true))
}

/// Returns h2's I/O error, which h2 exposes by a method and not as its source.
fn io_of_h2<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    cause.downcast_ref::<h2::Error>()?.get_io()
}

/// Returns whether the server said that it did not process the request (RFC 9113, section 8.7). reqwest sends such a
/// request again by default.
pub(crate) fn is_protocol_nack(error: &(dyn StdError + 'static)) -> bool {
    error_chain(error)
        .filter_map(|cause| cause.downcast_ref::<h2::Error>())
        .any(|error| {
            let said = |reason| error.is_remote() && error.reason() == Some(reason);
            error.is_go_away() && said(h2::Reason::NO_ERROR)
        })
        || is_refused_stream(error)
}

/// Returns whether the server has refused the stream of the request (REFUSED_STREAM).
pub(crate) fn is_refused_stream(error: &(dyn StdError + 'static)) -> bool {
    let is_refused = |error: &h2::Error| {
        error.is_remote() && error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
    };
    error_chain(error)
        .filter_map(|cause| cause.downcast_ref())
        .any(is_refused)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper::Request;
    use hyper_util::rt::TokioIo;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Returns hyper's error about a server that reads the request and closes the connection.
    async fn cut(with_reset: bool) -> hyper::Error {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            if with_reset {
                stream.set_zero_linger().unwrap();
            }
        });
        let stream = TokioIo::new(TcpStream::connect(addr).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::new(Empty::<Bytes>::new());
        let error = sender.send_request(request).await.unwrap_err();
        server.await.unwrap();
        error
    }

    /// The connection was up, so no handshake has failed.
    #[tokio::test]
    async fn what_hyper_says_is_about_a_connection_that_was_up() {
        for with_reset in [false, true] {
            let error = cut(with_reset).await;
            assert_eq!(
                Outcome::from_error(&error),
                Outcome::ClosedEarly,
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_reset_stream_says_nothing_of_the_connection() {
        let error = h2::Error::from(h2::Reason::INTERNAL_ERROR);
        assert_eq!(
            Outcome::from_error(&io::Error::other(error)),
            Outcome::Unknown
        );
    }
}
