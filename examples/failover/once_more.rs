//! What hyper leaves to its user: a GET whose connection died before it answered is sent once more.

use std::future::{Ready, ready};
use std::mem;

use hyper::Request;
use hyper_util::client::legacy::Error;
use tower::retry::Policy;

/// Once, as RFC 9110, section 9.2.2, allows for a GET; never after a failed connect, which is the
/// connector's to repeat.
#[derive(Clone, Debug)]
pub(crate) struct OnceMore {
    left: bool,
}

impl OnceMore {
    pub(crate) fn new() -> Self {
        Self { left: true }
    }
}

impl<B: Clone, R> Policy<Request<B>, R, Error> for OnceMore {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Request<B>, ended: &mut Result<R, Error>) -> Option<Self::Future> {
        let died = ended.as_ref().is_err_and(|error| !error.is_connect());
        (died && mem::take(&mut self.left)).then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}
