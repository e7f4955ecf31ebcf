//! The histories of all requests of a reqwest client.
//!
//! reqwest's classifier is not told which request an attempt belongs to, and reqwest's own count is
//! one for all reasons. All attempts of one request share the buffer of the request's URI, and no
//! other request does.

use std::time::{Duration, Instant};

use http::Uri;

use super::record::{History, Record};
use crate::bounded::{Bounded, Edit};
use crate::time;

/// The requests of a client that are being sent again. Empty while all requests succeed.
#[derive(Debug)]
pub(super) struct Tries {
    /// By the place of the URI's buffer.
    requests: Bounded<usize, Request>,
}

#[derive(Clone, Debug)]
struct Request {
    /// Holds the buffer, so that no later request can have the same one.
    _uri: Uri,
    history: History,
}

impl Request {
    /// Returns when the request may be forgotten: every request has ended by then.
    fn ends_at(&self) -> Option<Instant> {
        self.history.since().map(|since| since + ENDED)
    }
}

impl Default for Tries {
    fn default() -> Self {
        Self {
            requests: Bounded::new(REMEMBERED),
        }
    }
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
}

impl Record for TriesOf<'_> {
    fn edit<T>(&mut self, change: impl Fn(&mut History) -> T) -> Option<T> {
        let place = place(self.uri)?;
        let requests = &self.tries.requests;
        let told = requests.edit(&place, |request| {
            let mut request = request.cloned().unwrap_or_else(|| Request {
                _uri: self.uri.clone(),
                history: History::default(),
            });
            let told = change(&mut request.history);
            (Edit::Put(request), told)
        });
        let now = time::now();
        requests.make_room(&place, |_, request, _| {
            request.ends_at().filter(|ends_at| *ends_at <= now)
        });
        if requests.len() > REMEMBERED {
            // Without a record the request would be sent too often.
            requests.edit(&place, |_| (Edit::Remove, ()));
            return None;
        }
        Some(told)
    }

    fn end(&mut self) {
        // While no request is sent again, an answer costs next to nothing.
        if let Some(place) = place(self.uri).filter(|_| !self.tries.requests.is_empty()) {
            let requests = &self.tries.requests;
            requests.edit(&place, |_| (Edit::Remove, ()));
        }
    }
}

/// Where the buffer is that all attempts of one request share.
fn place(uri: &Uri) -> Option<usize> {
    uri.authority()
        .map(|authority| authority.as_str().as_ptr().addr())
}

#[cfg(test)]
mod tests {
    use super::super::record::{Failed, Kind};
    use super::*;

    fn request() -> Uri {
        "http://edge.test/path".parse().unwrap()
    }

    fn closed_early(tries: &Tries, uri: &Uri) -> bool {
        let failed = Failed::of(Kind::EarlyClose, 1);
        let may = |history: &mut History| history.may_retry(&failed, time::now());
        tries.of(uri).edit(may) == Some(true)
    }

    #[test]
    fn two_requests_for_one_url_are_two() {
        let tries = Tries::default();
        let (one, other) = (request(), request());
        assert!(closed_early(&tries, &one));
        assert!(closed_early(&tries, &other));
        assert!(!closed_early(&tries, &one));
    }

    #[test]
    fn a_request_that_ended_is_forgotten_and_memory_stays_bounded() {
        let tries = Tries::default();
        let uri = request();
        assert!(closed_early(&tries, &uri));
        tries.of(&uri).end();
        assert!(tries.requests.is_empty());
        for _ in 0..REMEMBERED {
            assert!(closed_early(&tries, &request()));
        }
        assert!(
            !closed_early(&tries, &request()),
            "no memory for it, no retry"
        );
    }
}
