//! The histories of all requests of one reqwest client.
//!
//! reqwest's retry classifier does not learn which request a send belongs to, and reqwest's own limit counts the
//! retries for all reasons together. All sends of one request share the buffer of the request's URI, and no other
//! request shares that buffer.

use std::time::{Duration, Instant};

use http::Uri;

use crate::bounded::{Bounded, Edit};
use crate::retry::request_history::{HistoryStore, RequestHistory};
use crate::time;

/// The histories of requests that have failed and not ended. The map is empty while all requests succeed.
#[derive(Debug)]
pub(super) struct RequestHistories {
    /// Keyed by the location of the URI's buffer in memory.
    requests: Bounded<usize, Request>,
}

#[derive(Clone, Debug)]
struct Request {
    /// Keeps the buffer allocated, so that no later request gets the same one.
    _uri: Uri,
    history: RequestHistory,
}

impl Request {
    /// Returns when the request has certainly ended, so that its entry may be removed.
    fn ends_at(&self) -> Option<Instant> {
        self.history.since().map(|since| since + ENDED)
    }
}

impl Default for RequestHistories {
    fn default() -> Self {
        Self {
            requests: Bounded::new(REMEMBERED),
        }
    }
}

/// The [`HistoryStore`] of the request with this URI.
#[derive(Clone, Copy, Debug)]
pub(super) struct HistoryOf<'a> {
    histories: &'a RequestHistories,
    uri: &'a Uri,
}

/// Most requests in the map. A request beyond that is not sent again, because nothing would count its sends.
const REMEMBERED: usize = 16_384;
/// Time after its first failure from which on a request that has not ended counts as dropped.
const ENDED: Duration = Duration::from_secs(120);

impl RequestHistories {
    pub(super) fn of<'a>(&'a self, uri: &'a Uri) -> HistoryOf<'a> {
        HistoryOf {
            histories: self,
            uri,
        }
    }
}

impl HistoryStore for HistoryOf<'_> {
    fn edit<T>(&mut self, change: impl Fn(&mut RequestHistory) -> T) -> Option<T> {
        let place = place(self.uri)?;
        let requests = &self.histories.requests;
        let result = requests.edit(&place, |request| {
            let mut request = request.cloned().unwrap_or_else(|| Request {
                _uri: self.uri.clone(),
                history: RequestHistory::default(),
            });
            let result = change(&mut request.history);
            (Edit::Put(request), result)
        });
        let now = time::now();
        requests.make_room(&place, |_, request, _| {
            request.ends_at().filter(|ends_at| *ends_at <= now)
        });
        if requests.len() > REMEMBERED {
            // Without a history the request could be sent too often.
            requests.edit(&place, |_| (Edit::Remove, ()));
            return None;
        }
        Some(result)
    }

    fn end(&mut self) {
        // While the map is empty, a response costs this check and no more.
        if let Some(place) = place(self.uri).filter(|_| !self.histories.requests.is_empty()) {
            let requests = &self.histories.requests;
            requests.edit(&place, |_| (Edit::Remove, ()));
        }
    }
}

/// Returns the location of the buffer that all sends of one request share.
fn place(uri: &Uri) -> Option<usize> {
    uri.authority()
        .map(|authority| authority.as_str().as_ptr().addr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::request_history::{Failure, RetryReason};

    fn request() -> Uri {
        "http://edge.test/path".parse().unwrap()
    }

    fn closed_early(histories: &RequestHistories, uri: &Uri) -> bool {
        let failed = Failure::of(RetryReason::EarlyClose, 1);
        let may = |history: &mut RequestHistory| history.may_retry(&failed, time::now());
        histories.of(uri).edit(may) == Some(true)
    }

    #[test]
    fn two_requests_for_one_url_are_two() {
        let histories = RequestHistories::default();
        let (one, other) = (request(), request());
        assert!(closed_early(&histories, &one));
        assert!(closed_early(&histories, &other));
        assert!(!closed_early(&histories, &one));
    }

    #[test]
    fn a_request_that_ended_is_forgotten_and_memory_stays_bounded() {
        let histories = RequestHistories::default();
        let uri = request();
        assert!(closed_early(&histories, &uri));
        histories.of(&uri).end();
        assert!(histories.requests.is_empty());
        for _ in 0..REMEMBERED {
            assert!(closed_early(&histories, &request()));
        }
        assert!(
            !closed_early(&histories, &request()),
            "no memory for it, no retry"
        );
    }
}
