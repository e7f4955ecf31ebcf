//! The rule which responses count against the address that sent them.

use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderMap, StatusCode};

/// Which responses count against the address that sent them.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    pub(super) statuses: Arc<[StatusCode]>,
    pub(super) require_connection_close: bool,
    pub(super) slow_response_after: Option<Duration>,
}

impl Counted {
    pub(super) fn counts(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        self.statuses.contains(&status) && (!self.require_connection_close || is_closing(headers))
    }
}

/// Returns whether the headers say `Connection: close`. The header is a list in any letter case, maybe over several
/// lines (RFC 9110, section 7.6.1).
fn is_closing(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONNECTION).into_iter();
    let mut options = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    options.any(|option| option.trim().eq_ignore_ascii_case("close"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_is_found_wherever_it_stands_in_the_header() {
        let headers = |lines: &[&'static str]| {
            let line = |&line| (CONNECTION, http::HeaderValue::from_static(line));
            lines.iter().map(line).collect()
        };
        assert!(is_closing(&headers(&["close"])));
        assert!(is_closing(&headers(&["keep-alive, Close"])));
        assert!(is_closing(&headers(&["upgrade", "CLOSE"])));
        assert!(!is_closing(&headers(&["close-ish", "keep-alive"])));
        assert!(!is_closing(&headers(&[])));
    }
}
