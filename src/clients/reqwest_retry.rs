//! The retry policy for reqwest.

use std::error::Error as StdError;

use http::{Method, Uri};

use super::request_histories::RequestHistories;
use crate::Resolver;
use crate::addrs::MAX_ATTEMPTS;
#[cfg(feature = "middleware")]
use crate::attempt::RequestScope;
use crate::retry::classify::{RetryClassifier, SentRequest};
use crate::retry::request_history;

/// Most retries of one request by reqwest's own count.
///
/// A lower limit would end the retries too early: each attempt may end a connect, and the server may refuse the request
/// besides.
pub(super) const MOST: u32 = (MAX_ATTEMPTS + request_history::MAX_AFTER_NACKS) as u32;

/// The scope of the policy, which is equal to every host.
pub(super) struct EveryHost;

impl PartialEq<&str> for EveryHost {
    fn eq(&self, _: &&str) -> bool {
        true
    }
}

/// Decides after each send of a client's requests whether the request is sent again.
pub(super) struct ReqwestClassifier {
    classifier: RetryClassifier,
    histories: RequestHistories,
}

impl ReqwestClassifier {
    pub(super) fn new(resolver: &Resolver) -> Self {
        Self {
            classifier: RetryClassifier::new(resolver),
            histories: RequestHistories::default(),
        }
    }

    pub(super) fn sends_again(
        &self,
        method: &Method,
        uri: &Uri,
        error: Option<&(dyn StdError + 'static)>,
    ) -> bool {
        #[cfg(feature = "middleware")]
        RequestScope::set_classified_inside();
        let (host, record) = (uri.host(), &mut self.histories.of(uri));
        let Some(error) = error else {
            self.classifier.answered(host, record);
            return false;
        };
        let sent = SentRequest {
            method,
            host,
            is_partly: false,
        };
        self.classifier.sends_again(sent, error, record)
    }
}
