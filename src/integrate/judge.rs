//! Whether a failed request may be sent again: one judge for all who send.

use std::error::Error as StdError;
use std::io;
use std::time::Instant;

use http::Method;
use hyper_util::client::legacy;

use super::record::{Kind, Record};
use crate::connect::ConnectError;
use crate::early::EarlyClose;
use crate::host::{self, Parsed};
use crate::outcome::{Again, causes, socks_connect};
use crate::race::OutOfTime;
use crate::resolver::Hope;
use crate::{Outcome, Resolver};

/// Judges by what the resolver knows; as what a request was sent before is in its [`Record`].
#[derive(Clone, Debug)]
pub(super) struct Judge {
    resolver: Resolver,
}

/// What is judged: by which method, and whom it was sent to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent<'a> {
    pub(super) method: &'a Method,
    pub(super) host: Option<&'a str>,
    /// Whether more may have been sent than the error is about, as before a redirect.
    pub(super) is_partly: bool,
}

impl Judge {
    pub(super) fn new(resolver: &Resolver) -> Self {
        Self {
            resolver: resolver.clone(),
        }
    }

    /// Takes an answer, whatever it says.
    pub(super) fn answered(&self, host: Option<&str>, record: &mut impl Record) {
        if let Some(host) = host {
            self.resolver.inner().answered(host);
        }
        self.end(record);
    }

    /// Returns whether the request is to be sent again, which the record then knows.
    pub(super) fn sends_again(
        &self,
        sent: Sent<'_>,
        error: &(dyn StdError + 'static),
        record: &mut impl Record,
    ) -> bool {
        match self.kind(sent, error, record) {
            Some((kind, limit)) if !sent.is_partly && record.take(kind, limit) => {
                if kind == Kind::ClosedEarly {
                    self.resolver.inner().begin_care();
                }
                true
            }
            Some(_) | None => {
                self.end(record);
                false
            }
        }
    }

    /// The request is not sent again. The care was for itself: other requests of its task, as of a
    /// `join_all`, end none but their own.
    pub(super) fn end(&self, record: &mut impl Record) {
        if record.end(Kind::ClosedEarly) > 0 {
            self.resolver.inner().end_care();
        }
    }

    /// Returns as what the request may be sent again, and how often as that, if at all.
    fn kind(
        &self,
        sent: Sent<'_>,
        error: &(dyn StdError + 'static),
        record: &impl Record,
    ) -> Option<(Kind, usize)> {
        if is_protocol_nack(error) {
            return Some((Kind::ProtocolNack, 2));
        }
        let client = causes(error).find_map(|cause| cause.downcast_ref::<legacy::Error>())?;
        if client.is_connect() {
            self.after_connect_error(sent.host, client)
        } else {
            self.after_early_close(sent, client, record)
        }
    }

    /// No byte of the request was sent, so that any method may be sent again.
    fn after_connect_error(
        &self,
        host: Option<&str>,
        error: &legacy::Error,
    ) -> Option<(Kind, usize)> {
        if is_the_users_connect_timeout(error) {
            return None;
        }
        let ends = Ends::of(error);
        let outcome = ends.outcome;
        match outcome.again() {
            Again::Never => None,
            // It has met another address already.
            Again::Few if ends.wrong_certificates > 1 => None,
            // Without a route from here only other addresses can help.
            Again::Few if outcome == Outcome::NoRoute && !self.expects_news(host) => None,
            Again::Few => Some((Kind::Few(outcome), 2)),
            Again::WhileHopeful if is_given_up(error) => Some((Kind::GivenUp, 2)),
            // It was the proxy that was dialled, whatever is known of the host.
            Again::WhileHopeful if socks_connect(error).is_some() => Some((Kind::Connect, 2)),
            Again::WhileHopeful => {
                let (kind, limit) = self.hope(host, outcome.is_after_tcp(), ends.dialled);
                Some((kind, limit)).filter(|(_, limit)| *limit > 0)
            }
        }
    }

    /// Returns as what and how often a failed connect may be tried again. A TCP error has tried every
    /// address that was dealt, which are all but of a host with many; an error after TCP only one, so
    /// that the others are left even when all are bad. A race has dialled all.
    fn hope(&self, host: Option<&str>, after_tcp: bool, dialled: usize) -> (Kind, usize) {
        match self.hope_of(host) {
            Some(hope) if hope.health_left || hope.news => (Kind::Connect, usize::MAX),
            Some(hope) if dialled >= hope.addrs => (Kind::Round, 0),
            Some(hope) if after_tcp => (Kind::Connect, hope.addrs.saturating_sub(1)),
            Some(hope) => (Kind::Round, hope.rounds.saturating_sub(1)),
            // An address, and nobody has asked for a name: there is no other.
            None if dialled == 0 && host.is_some_and(is_address) => (Kind::Round, 0),
            // Behind a proxy: which host was dialled is not known.
            None => (Kind::Connect, 2),
        }
    }

    fn expects_news(&self, host: Option<&str>) -> bool {
        self.hope_of(host).is_some_and(|hope| hope.news)
    }

    fn hope_of(&self, host: Option<&str>) -> Option<Hope> {
        host.and_then(|host| self.resolver.inner().hope(host))
    }

    /// The connection died before a response.
    fn after_early_close(
        &self,
        sent: Sent<'_>,
        error: &legacy::Error,
        record: &impl Record,
    ) -> Option<(Kind, usize)> {
        let early = EarlyClose::of(error)?;
        let shared = self.resolver.inner();
        let dealt = sent
            .host
            .and_then(|host| shared.closed_early(host, early, error));
        match early.sent {
            // As good as a failed connect.
            false => Some(self.hope(sent.host, true, 0)),
            // The server may have acted on it.
            true if !is_idempotent(sent.method) => None,
            // One that nobody names has died as soon as it was made.
            true if early.local.is_some() && went_out_on_an_old_connection(record, dealt) => {
                Some((Kind::ClosedOld, usize::MAX))
            }
            // A failed retry is not retried.
            true => Some((Kind::ClosedEarly, 1)),
        }
    }
}

/// Whether a retry was put on a connection that was dialled before the first failure: then it has
/// not gone to another address yet.
fn went_out_on_an_old_connection(record: &impl Record, dealt: Option<Instant>) -> bool {
    let first = record.since();
    first.is_some_and(|first| dealt.is_none_or(|dealt| dealt < first))
}

/// What a failed connect has come to, as its error and its account tell.
struct Ends {
    /// That of the error, unless another one has ended the race.
    outcome: Outcome,
    dialled: usize,
    wrong_certificates: usize,
}

impl Ends {
    fn of(error: &legacy::Error) -> Self {
        let attempts = ConnectError::find(error).map_or(&[][..], ConnectError::attempts);
        let now = attempts.iter().filter(|attempt| attempt.ago.is_none());
        let ends: Vec<_> = now.filter_map(|attempt| attempt.outcome).collect();
        let count = |wanted| ends.iter().filter(|&&end| end == wanted).count();
        let wrong_certificates = count(Outcome::BadCertificate);
        let outcome = match () {
            () if count(Outcome::Local) > 0 => Outcome::Local,
            () if wrong_certificates > 0 => Outcome::BadCertificate,
            () => Outcome::of(error),
        };
        Self {
            outcome,
            dialled: ends.len(),
            wrong_certificates,
        }
    }
}

fn is_address(host: &str) -> bool {
    matches!(host::parse(host), Ok(Parsed::Literal(_) | Parsed::Loopback))
}

/// RFC 9110, section 9.2.2.
pub(super) fn is_idempotent(method: &Method) -> bool {
    method.is_safe() || matches!(*method, Method::PUT | Method::DELETE)
}

/// With a connect timeout, reqwest ends a connect in one of two ways: from outside, with an error
/// of its own that no I/O error lies behind; or in hyper-util, address by address, with one that
/// the operating system did not give. Ours has a type, and the system's has a code.
fn is_the_users_connect_timeout(error: &legacy::Error) -> bool {
    if is_given_up(error) || causes(error).any(|cause| cause.is::<OutOfTime>()) {
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
pub(super) fn is_protocol_nack(error: &(dyn StdError + 'static)) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<h2::Error>())
        .any(|error| {
            let said = |reason| error.is_remote() && error.reason() == Some(reason);
            (error.is_go_away() && said(h2::Reason::NO_ERROR))
                || (error.is_reset() && said(h2::Reason::REFUSED_STREAM))
        })
}
