//! When reqwest sends a request again.

use std::error::Error as StdError;

use http::{Method, Uri};

use super::judge::{Judge, Sent};
use super::record;
use super::tries::Tries;
use crate::Resolver;
#[cfg(feature = "middleware")]
use crate::attempt::Errand;
use crate::order::MOST_ATTEMPTS;

/// reqwest counts too, and ends sooner without this: each attempt may end a connect, and the server may
/// turn the request away besides.
pub(super) const MOST: u32 = (MOST_ATTEMPTS + record::MOST_AFTER_NACKS) as u32;

/// The scope of the policy: whatever the host.
pub(super) struct EveryHost;

impl PartialEq<&str> for EveryHost {
    fn eq(&self, _: &&str) -> bool {
        true
    }
}

/// Judges each attempt of a client's requests.
pub(super) struct Classifier {
    judge: Judge,
    tries: Tries,
}

impl Classifier {
    pub(super) fn new(resolver: &Resolver) -> Self {
        Self {
            judge: Judge::new(resolver),
            tries: Tries::default(),
        }
    }

    pub(super) fn sends_again(
        &self,
        method: &Method,
        uri: &Uri,
        error: Option<&(dyn StdError + 'static)>,
    ) -> bool {
        #[cfg(feature = "middleware")]
        Errand::is_judged_inside();
        let (host, record) = (uri.host(), &mut self.tries.of(uri));
        let Some(error) = error else {
            self.judge.answered(host, record);
            return false;
        };
        let sent = Sent {
            method,
            host,
            is_partly: false,
        };
        self.judge.sends_again(sent, error, record)
    }
}
