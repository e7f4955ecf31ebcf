//! When reqwest sends a request again.

use std::error::Error as StdError;
use std::io;
use std::time::Instant;

use http::{Method, Uri};
use hyper_util::client::legacy;
use reqwest::retry::{Builder, for_host};

use super::tries::{Kind, Tries};
use crate::connect::ConnectError;
use crate::early::EarlyClose;
use crate::outcome::{Again, causes, socks_connect};
use crate::resolver::Hope;
use crate::{Outcome, Resolver};

/// Most times that one request is sent again. Each failed connect puts at least one address
/// behind the others, so this is how many dead edges in a row one request walks past.
const MOST: u32 = 8;

pub(super) fn policy(resolver: &Resolver) -> Builder {
    let judge = Judge {
        resolver: resolver.clone(),
        tries: Tries::default(),
    };
    for_host(EveryHost)
        .no_budget()
        .max_retries_per_request(MOST)
        .classify_fn(move |attempt| {
            let again = match attempt.error() {
                None => judge.answered(attempt.uri()),
                Some(error) => judge.sends_again(attempt.method(), attempt.uri(), error),
            };
            if again {
                attempt.retryable()
            } else {
                attempt.success()
            }
        })
}

/// The scope of the policy: whatever the host.
struct EveryHost;

impl PartialEq<&str> for EveryHost {
    fn eq(&self, _: &&str) -> bool {
        true
    }
}

struct Judge {
    resolver: Resolver,
    tries: Tries,
}

impl Judge {
    fn answered(&self, uri: &Uri) -> bool {
        if let Some(host) = uri.host() {
            self.resolver.inner().answered(host);
        }
        self.end(uri)
    }

    fn sends_again(&self, method: &Method, uri: &Uri, error: &(dyn StdError + 'static)) -> bool {
        match self.kind(method, uri, error) {
            Some((kind, limit)) if self.tries.take(uri, kind, limit) => {
                if kind == Kind::ClosedEarly {
                    self.resolver.inner().begin_care();
                }
                true
            }
            Some(_) | None => self.end(uri),
        }
    }

    /// The request is not sent again. The care was for itself: other requests of its task, as of a
    /// `join_all`, end none but their own.
    fn end(&self, uri: &Uri) -> bool {
        if self.tries.end(uri, Kind::ClosedEarly) > 0 {
            self.resolver.inner().end_care();
        }
        false
    }

    /// Returns as what the request may be sent again, and how often as that, if at all.
    fn kind(
        &self,
        method: &Method,
        uri: &Uri,
        error: &(dyn StdError + 'static),
    ) -> Option<(Kind, usize)> {
        if is_protocol_nack(error) {
            return Some((Kind::ProtocolNack, 2));
        }
        let client = causes(error).find_map(|cause| cause.downcast_ref::<legacy::Error>())?;
        if client.is_connect() {
            self.after_connect_error(uri, client)
        } else {
            self.after_early_close(method, uri, client)
        }
    }

    /// No byte of the request was sent, so that any method may be sent again.
    fn after_connect_error(&self, uri: &Uri, error: &legacy::Error) -> Option<(Kind, usize)> {
        if is_the_users_connect_timeout(error) {
            return None;
        }
        let outcome = Outcome::of(error);
        match outcome.again() {
            Again::Never => None,
            // Without a route from here only other addresses can help.
            Again::Few if outcome == Outcome::NoRoute && !self.expects_news(uri) => None,
            Again::Few => Some((Kind::Few(outcome), 2)),
            Again::WhileHopeful if is_given_up(error) => Some((Kind::GivenUp, 2)),
            // It was the proxy that was dialled, whatever is known of the host.
            Again::WhileHopeful if socks_connect(error).is_some() => Some((Kind::Connect, 2)),
            Again::WhileHopeful => {
                let (kind, limit) = self.hope(uri, outcome.is_after_tcp());
                Some((kind, limit)).filter(|(_, limit)| *limit > 0)
            }
        }
    }

    /// Returns as what and how often a failed connect may be tried again. A TCP error has tried every
    /// address that was dealt, which are all but of a host with many; an error after TCP only one, so
    /// that the others are left even when all are bad.
    fn hope(&self, uri: &Uri, after_tcp: bool) -> (Kind, usize) {
        match self.hope_of(uri) {
            Some(hope) if hope.health_left || hope.news => (Kind::Connect, usize::MAX),
            Some(hope) if after_tcp => (Kind::Connect, hope.addrs.saturating_sub(1)),
            Some(hope) => (Kind::Round, hope.rounds.saturating_sub(1)),
            // Behind a proxy: which host was dialled is not known.
            None => (Kind::Connect, 2),
        }
    }

    fn expects_news(&self, uri: &Uri) -> bool {
        self.hope_of(uri).is_some_and(|hope| hope.news)
    }

    fn hope_of(&self, uri: &Uri) -> Option<Hope> {
        uri.host().and_then(|host| self.resolver.inner().hope(host))
    }

    /// The connection died before a response.
    fn after_early_close(
        &self,
        method: &Method,
        uri: &Uri,
        error: &legacy::Error,
    ) -> Option<(Kind, usize)> {
        let early = EarlyClose::of(error)?;
        let dealt = uri
            .host()
            .and_then(|host| self.resolver.inner().closed_early(host, early, error));
        match early.sent {
            // As good as a failed connect.
            false => Some(self.hope(uri, true)),
            // The server may have acted on it.
            true if !is_idempotent(method) => None,
            true if self.went_out_on_an_old_connection(uri, dealt) => {
                Some((Kind::ClosedOld, usize::MAX))
            }
            // A failed retry is not retried.
            true => Some((Kind::ClosedEarly, 1)),
        }
    }

    /// Whether a retry was put on a connection that was dialled before the first failure: then it
    /// has not gone to another address yet.
    fn went_out_on_an_old_connection(&self, uri: &Uri, dealt: Option<Instant>) -> bool {
        let first = self.tries.since(uri);
        first.is_some_and(|first| dealt.is_none_or(|dealt| dealt < first))
    }
}

/// RFC 9110, section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    method.is_safe() || matches!(*method, Method::PUT | Method::DELETE)
}

/// With a connect timeout, reqwest ends a connect in one of two ways: from outside, with an error
/// of its own that no I/O error lies behind; or in hyper-util, address by address, with one that
/// the operating system did not give. Ours has a type, and the system's has a code.
fn is_the_users_connect_timeout(error: &legacy::Error) -> bool {
    if is_given_up(error) {
        return false;
    }
    causes(error).any(|cause| match cause.downcast_ref::<io::Error>() {
        Some(error) => error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none(),
        None => cause.to_string() == "operation timed out",
    })
}

fn is_given_up(error: &legacy::Error) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<ConnectError>())
        .any(ConnectError::is_given_up)
}

/// What reqwest sends again by default: the server said that it did not process the request
/// (RFC 9113, section 8.7).
fn is_protocol_nack(error: &(dyn StdError + 'static)) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<h2::Error>())
        .any(|error| {
            let said = |reason| error.is_remote() && error.reason() == Some(reason);
            (error.is_go_away() && said(h2::Reason::NO_ERROR))
                || (error.is_reset() && said(h2::Reason::REFUSED_STREAM))
        })
}
