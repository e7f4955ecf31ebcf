//! How often each request was sent again, and as what.
//!
//! reqwest's classifier is not told which request an attempt belongs to, and its own count is one
//! for all reasons; but a failed automatic retry must not be retried (RFC 9110, section 9.2.2).
//! All attempts of one request share the buffer of its URI, and no other request does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Uri;

use crate::{Outcome, time};

/// As what a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The connection died before the first byte of a response.
    ClosedEarly,
    /// A retry met a connection from before the first failure, and that died too.
    ClosedOld,
    /// The connect failed at all addresses that were dealt, and there are more.
    Round,
    /// The connect failed, or the connection before the request was on its way.
    Connect,
    /// The connect failed so that only a few other addresses are tried.
    Few(Outcome),
    /// The connect was given up after a long time.
    GivenUp,
    /// The server said that it did not process the request.
    ProtocolNack,
}

/// The requests that are being sent again. Empty in good times.
#[derive(Debug, Default)]
pub(super) struct Tries {
    /// By the place of the URI's buffer.
    requests: Mutex<HashMap<usize, Request>>,
    /// How many there are: without any, an answer takes no lock.
    held: AtomicUsize,
}

#[derive(Debug)]
struct Request {
    /// Holds the buffer, so that no later request can have the same one.
    _uri: Uri,
    since: Instant,
    taken: Vec<Kind>,
}

/// Requests remembered; more than that are not sent again, so that none is sent too often.
const REMEMBERED: usize = 16_384;
/// A request that has not ended after so long was dropped in the middle.
const ENDED: Duration = Duration::from_secs(120);

impl Tries {
    /// Takes one more try of this kind, of so many. Returns false when none is left.
    pub(super) fn take(&self, uri: &Uri, kind: Kind, limit: usize) -> bool {
        let Some(place) = place(uri) else {
            return false;
        };
        let now = time::now();
        self.edit(|requests| {
            if requests.len() >= REMEMBERED && !requests.contains_key(&place) {
                requests.retain(|_, request| now < request.since + ENDED);
                if requests.len() >= REMEMBERED {
                    return false;
                }
            }
            let request = requests.entry(place).or_insert_with(|| Request {
                _uri: uri.clone(),
                since: now,
                taken: Vec::new(),
            });
            let taken = request.taken.iter().filter(|other| **other == kind);
            let left = taken.count() < limit;
            request.taken.push(kind);
            left
        })
    }

    /// Returns when a request was first to be sent again.
    pub(super) fn since(&self, uri: &Uri) -> Option<Instant> {
        let place = place(uri)?;
        self.edit(|requests| requests.get(&place).map(|request| request.since))
    }

    /// Forgets a request that is not sent again. Returns how often it was as that.
    pub(super) fn end(&self, uri: &Uri, kind: Kind) -> usize {
        if self.held.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let request = place(uri).and_then(|place| self.edit(|requests| requests.remove(&place)));
        let taken = request.map_or_else(Vec::new, |request| request.taken);
        taken.into_iter().filter(|taken| *taken == kind).count()
    }

    fn edit<T>(&self, change: impl FnOnce(&mut HashMap<usize, Request>) -> T) -> T {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let told = change(&mut requests);
        self.held.store(requests.len(), Ordering::Relaxed);
        told
    }
}

/// Where the buffer is that all attempts of one request share.
fn place(uri: &Uri) -> Option<usize> {
    uri.authority()
        .map(|authority| authority.as_str().as_ptr().addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: Kind = Kind::Few(Outcome::BadCertificate);

    fn request() -> Uri {
        "http://edge.test/path".parse().unwrap()
    }

    #[test]
    fn each_reason_has_its_own_count() {
        let tries = Tries::default();
        let uri = request();
        assert!(tries.take(&uri, Kind::ClosedEarly, 1));
        assert!(tries.take(&uri, CERTIFICATE, 1));
        for _ in 0..8 {
            assert!(tries.take(&uri.clone(), Kind::Connect, usize::MAX));
        }
        assert!(!tries.take(&uri, Kind::ClosedEarly, 1));
    }

    #[test]
    fn two_requests_for_one_url_are_two() {
        let tries = Tries::default();
        let (one, other) = (request(), request());
        assert!(tries.take(&one, Kind::ClosedEarly, 1));
        assert!(tries.take(&other, Kind::ClosedEarly, 1));
        assert!(!tries.take(&one, Kind::ClosedEarly, 1));
    }

    #[test]
    fn a_request_that_ended_is_forgotten_and_memory_stays_bounded() {
        let tries = Tries::default();
        let uri = request();
        assert!(tries.take(&uri, Kind::ClosedEarly, 1));
        assert_eq!(tries.end(&uri, Kind::ClosedEarly), 1);
        assert_eq!(tries.end(&uri, Kind::ClosedEarly), 0);
        assert_eq!(tries.edit(|requests| requests.len()), 0);
        for _ in 0..REMEMBERED {
            assert!(tries.take(&request(), Kind::Connect, 1));
        }
        assert!(
            !tries.take(&request(), Kind::Connect, 1),
            "no memory for it, no retry"
        );
    }
}
