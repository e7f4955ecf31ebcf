//! The records of all requests of a reqwest client.
//!
//! Its classifier is not told which request an attempt belongs to, and its own count is one for all
//! reasons. All attempts of one request share the buffer of its URI, and no other request does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Uri;

use super::record::{Kind, Record, Taken};
use crate::time;

/// The requests of a client that are being sent again. Empty in good times.
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
    taken: Taken,
}

/// The record of the request with this URI, kept for reqwest.
#[derive(Clone, Copy, Debug)]
pub(super) struct TriesOf<'a> {
    tries: &'a Tries,
    uri: &'a Uri,
}

/// Requests remembered; more than that are not sent again, so that none is sent too often.
const REMEMBERED: usize = 16_384;
/// A request that has not ended after so long was dropped in the middle.
const ENDED: Duration = Duration::from_secs(120);

impl Tries {
    pub(super) fn of<'a>(&'a self, uri: &'a Uri) -> TriesOf<'a> {
        TriesOf { tries: self, uri }
    }

    fn edit<T>(&self, change: impl FnOnce(&mut HashMap<usize, Request>) -> T) -> T {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let told = change(&mut requests);
        self.held.store(requests.len(), Ordering::Relaxed);
        told
    }
}

impl Record for TriesOf<'_> {
    fn take(&mut self, kind: Kind, limit: usize) -> bool {
        let Some(place) = place(self.uri) else {
            return false;
        };
        let now = time::now();
        let is_young = |since| now < since + ENDED;
        self.tries.edit(|requests| {
            if requests.len() >= REMEMBERED && !requests.contains_key(&place) {
                requests.retain(|_, request| request.taken.since().is_some_and(is_young));
                if requests.len() >= REMEMBERED {
                    return false;
                }
            }
            let request = requests.entry(place).or_insert_with(|| Request {
                _uri: self.uri.clone(),
                taken: Taken::default(),
            });
            request.taken.take(kind, limit)
        })
    }

    fn since(&self) -> Option<Instant> {
        let place = place(self.uri)?;
        self.tries
            .edit(|requests| requests.get(&place)?.taken.since())
    }

    fn end(&mut self, kind: Kind) -> usize {
        if self.tries.held.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let ended = |place| self.tries.edit(|requests| requests.remove(&place));
        let request = place(self.uri).and_then(ended);
        request.map_or(0, |mut request| request.taken.end(kind))
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
    use crate::Outcome;
    use crate::integrate::record::MOST;

    const CERTIFICATE: Kind = Kind::Few(Outcome::BadCertificate);

    fn request() -> Uri {
        "http://edge.test/path".parse().unwrap()
    }

    #[test]
    fn each_reason_has_its_own_count() {
        let tries = Tries::default();
        let uri = request();
        assert!(tries.of(&uri).take(Kind::ClosedEarly, 1));
        assert!(tries.of(&uri).take(CERTIFICATE, 1));
        for _ in 0..MOST - 2 {
            assert!(tries.of(&uri.clone()).take(Kind::Connect, usize::MAX));
        }
        assert!(!tries.of(&uri).take(Kind::ClosedEarly, 1));
    }

    #[test]
    fn two_requests_for_one_url_are_two() {
        let tries = Tries::default();
        let (one, other) = (request(), request());
        assert!(tries.of(&one).take(Kind::ClosedEarly, 1));
        assert!(tries.of(&other).take(Kind::ClosedEarly, 1));
        assert!(!tries.of(&one).take(Kind::ClosedEarly, 1));
    }

    #[test]
    fn a_request_that_ended_is_forgotten_and_memory_stays_bounded() {
        let tries = Tries::default();
        let uri = request();
        assert!(tries.of(&uri).take(Kind::ClosedEarly, 1));
        assert_eq!(tries.of(&uri).end(Kind::ClosedEarly), 1);
        assert_eq!(tries.of(&uri).end(Kind::ClosedEarly), 0);
        assert_eq!(tries.edit(|requests| requests.len()), 0);
        for _ in 0..REMEMBERED {
            assert!(tries.of(&request()).take(Kind::Connect, 1));
        }
        assert!(
            !tries.of(&request()).take(Kind::Connect, 1),
            "no memory for it, no retry"
        );
    }
}
