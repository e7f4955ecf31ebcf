//! When reqwest sends a request again.

use std::error::Error as StdError;
use std::io;

use http::{Extensions, Method, Uri};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpInfo;
use reqwest::retry::{Builder, for_host};

use super::tries::{Kind, Tries};
use crate::connect::AttemptTimedOut;
use crate::outcome::{Again, causes};
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
                None => judge.tries.end(attempt.uri()),
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
    fn sends_again(&self, method: &Method, uri: &Uri, error: &(dyn StdError + 'static)) -> bool {
        let kind = self.kind(method, uri, error);
        kind.map_or_else(|| self.tries.end(uri), |kind| self.tries.take(uri, kind))
    }

    /// Returns as what the request may be sent again, if at all.
    fn kind(&self, method: &Method, uri: &Uri, error: &(dyn StdError + 'static)) -> Option<Kind> {
        if is_protocol_nack(error) {
            return Some(Kind::ProtocolNack);
        }
        let client = causes(error).find_map(|cause| cause.downcast_ref::<legacy::Error>())?;
        if client.is_connect() {
            self.after_connect_error(uri, client)
        } else {
            self.after_early_close(method, uri, client)
        }
    }

    /// No byte of the request was sent, so that any method may be sent again.
    fn after_connect_error(&self, uri: &Uri, error: &legacy::Error) -> Option<Kind> {
        if is_the_users_connect_timeout(error) {
            return None;
        }
        let hope = uri
            .host()
            .and_then(|host| self.resolver.shared().has_hope(host));
        match (Outcome::of(error).again(), hope) {
            (Again::Never, _) | (Again::WhileHopeful, Some(false)) => None,
            (Again::Once, _) => Some(Kind::Certificate),
            (Again::WhileHopeful, Some(true)) if is_given_up(error) => Some(Kind::GivenUp),
            (Again::WhileHopeful, Some(true)) => Some(Kind::Connect),
            // Behind a proxy: which host was dialled is not known.
            (Again::WhileHopeful, None) => Some(Kind::ConnectUnknown),
        }
    }

    /// The connection died before a response. The server may have acted on the request.
    fn after_early_close(&self, method: &Method, uri: &Uri, error: &legacy::Error) -> Option<Kind> {
        if !is_closed_early(error) {
            return None;
        }
        let mut extras = Extensions::new();
        error.connect_info()?.get_extras(&mut extras);
        if let (Some(info), Some(host)) = (extras.get::<HttpInfo>(), uri.host()) {
            self.resolver
                .report(host, info.remote_addr().ip(), Outcome::ClosedEarly);
        }
        is_idempotent(method).then_some(Kind::ClosedEarly)
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
    causes(error).any(|cause| cause.is::<AttemptTimedOut>())
}

/// End of file or a reset where a response was due, as hyper says it.
fn is_closed_early(error: &legacy::Error) -> bool {
    causes(error).any(|cause| {
        let incomplete = cause
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_incomplete_message() || error.is_closed());
        let cut = cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| is_cut(error.kind()));
        incomplete || cut
    })
}

fn is_cut(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as K;
    matches!(
        kind,
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof
    )
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
