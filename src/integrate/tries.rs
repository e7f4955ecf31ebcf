//! How often each request was sent again, and as what.
//!
//! reqwest's classifier is not told which request an attempt belongs to, and its own count is one
//! for all reasons; but a failed automatic retry must not be retried (RFC 9110, section 9.2.2).
//! All attempts of one request share the buffer of its URI, and no other request does.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use http::Uri;

/// As what a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A wrong certificate.
    Certificate,
    /// The connection died before the first byte of a response.
    ClosedEarly,
    /// The connect failed, and there is hope for another address.
    Connect,
    /// The connect failed, to a host that is not known here.
    ConnectUnknown,
    /// The connect was given up after a long time.
    GivenUp,
    /// The server said that it did not process the request.
    ProtocolNack,
}

impl Kind {
    fn limit(self) -> u8 {
        match self {
            Self::Certificate | Self::ClosedEarly => 1,
            Self::ConnectUnknown | Self::GivenUp | Self::ProtocolNack => 2,
            Self::Connect => u8::MAX,
        }
    }
}

/// The requests that are being sent again. Empty in good times.
#[derive(Debug, Default)]
pub(super) struct Tries {
    requests: Mutex<VecDeque<Request>>,
}

#[derive(Debug)]
struct Request {
    /// Holds the buffer, so that no later request can have the same one.
    uri: Uri,
    taken: [u8; 6],
}

/// Requests remembered; of those that were dropped in the middle the oldest leave first.
const REMEMBERED: usize = 4096;

impl Tries {
    /// Takes one more try of this kind. Returns false, and forgets the request, when none is left.
    pub(super) fn take(&self, uri: &Uri, kind: Kind) -> bool {
        self.edit(|requests| {
            let place = requests
                .iter()
                .position(|request| is_same(&request.uri, uri));
            let place = place.unwrap_or_else(|| {
                if requests.len() == REMEMBERED {
                    requests.pop_front();
                }
                requests.push_back(Request {
                    uri: uri.clone(),
                    taken: [0; 6],
                });
                requests.len() - 1
            });
            let taken = &mut requests[place].taken[kind as usize];
            let left = *taken < kind.limit();
            *taken = taken.saturating_add(1);
            if !left {
                requests.remove(place);
            }
            left
        })
    }

    /// Forgets a request that is not sent again.
    pub(super) fn end(&self, uri: &Uri) -> bool {
        self.edit(|requests| requests.retain(|request| !is_same(&request.uri, uri)));
        false
    }

    fn edit<T>(&self, change: impl FnOnce(&mut VecDeque<Request>) -> T) -> T {
        change(&mut self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn is_same(one: &Uri, other: &Uri) -> bool {
    match (one.authority(), other.authority()) {
        (Some(one), Some(other)) => std::ptr::eq(one.as_str(), other.as_str()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Uri {
        "http://edge.test/path".parse().unwrap()
    }

    #[test]
    fn each_reason_has_its_own_count() {
        let tries = Tries::default();
        let uri = request();
        assert!(tries.take(&uri, Kind::ClosedEarly));
        assert!(tries.take(&uri, Kind::Certificate));
        for _ in 0..8 {
            assert!(tries.take(&uri.clone(), Kind::Connect));
        }
        assert!(!tries.take(&uri, Kind::ClosedEarly));
    }

    #[test]
    fn two_requests_for_one_url_are_two() {
        let tries = Tries::default();
        let (one, other) = (request(), request());
        assert!(tries.take(&one, Kind::ClosedEarly));
        assert!(tries.take(&other, Kind::ClosedEarly));
        assert!(!tries.take(&one, Kind::ClosedEarly));
    }

    #[test]
    fn a_request_that_ended_is_forgotten_and_memory_stays_bounded() {
        let tries = Tries::default();
        let uri = request();
        assert!(tries.take(&uri, Kind::ClosedEarly));
        assert!(!tries.end(&uri));
        assert_eq!(tries.edit(|requests| requests.len()), 0);
        for _ in 0..10_000 {
            assert!(tries.take(&request(), Kind::Connect));
        }
        assert_eq!(tries.edit(|requests| requests.len()), REMEMBERED);
    }
}
