//! Whether a failed request may be sent again: one judge for all who send.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;

use http::Method;
use hyper_util::client::legacy;
use smallvec::SmallVec;

use super::record::{Failed, Kind, MOST_AFTER_NACKS, MOST_SENDS, Record};
use crate::connect::{ConnectError, HANGS};
use crate::early::{self, EarlyClose};
use crate::host::{self, Parsed};
use crate::outcome::foreign::{is_lost_checkout, is_timeout_of_reqwest, socks_connect};
use crate::outcome::{Again, causes};
use crate::race::OutOfTime;
use crate::resolver::Hope;
use crate::{Outcome, Resolver, time};

/// Judges by what the resolver knows; what a request has cost before is in its [`Record`].
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

/// Retries that help little: the caller waits for long, or what failed is not known.
const FEW: usize = 2;
/// Retries of a request that no byte was sent of, while no address is known to have failed.
const MOST_UNKNOWN: usize = 8;

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
        record.end();
    }

    /// Returns whether the request is to be sent again, which the record then knows.
    pub(super) fn sends_again(
        &self,
        sent: Sent<'_>,
        error: &(dyn StdError + 'static),
        record: &mut impl Record,
    ) -> bool {
        // The error is read in any case: an address may be to blame.
        let failed = self.failed(sent, error, record);
        let failed = failed.filter(|_| !sent.is_partly);
        let judged = failed.and_then(|failed| {
            let now = time::now();
            record.edit(|history| (history.may_retry(&failed, now), history.was_refused_again()))
        });
        let (may_retry, was_refused_again) = judged.unwrap_or_default();
        match may_retry {
            true if was_refused_again => self.leave_refusing(sent.host, error),
            true => {}
            false => record.end(),
        }
        may_retry
    }

    /// The connection has refused the stream of a request twice: a soft strike for its address, and the
    /// next request goes out on another connection while there is a healthy address to connect to. One
    /// refused stream may only be over the server's limit (RFC 9113, section 5.1.2).
    fn leave_refusing(&self, host: Option<&str>, error: &(dyn StdError + 'static)) {
        let client = causes(error).find_map(|cause| cause.downcast_ref::<legacy::Error>());
        let connection = client.and_then(legacy::Error::connect_info);
        let Some((connection, host)) = connection.zip(host).filter(|_| is_refused_stream(error))
        else {
            return;
        };
        if let Some(info) = early::info(connection) {
            let (shared, addr) = (self.resolver.inner(), info.remote_addr().ip());
            shared.unavailable(host, addr, "REFUSED_STREAM");
            if shared.hope(host).is_some_and(|hope| hope.is_healthy) {
                connection.poison();
            }
        }
    }

    /// Reads what has failed. `None`: sending again is of no use, or not allowed.
    fn failed(
        &self,
        sent: Sent<'_>,
        error: &(dyn StdError + 'static),
        record: &mut impl Record,
    ) -> Option<Failed> {
        if is_protocol_nack(error) {
            return Some(Failed::of(Kind::ProtocolNack, MOST_AFTER_NACKS));
        }
        let client = causes(error).find_map(|cause| cause.downcast_ref::<legacy::Error>())?;
        if client.is_connect() {
            self.after_connect_error(sent.host, client)
        } else {
            self.after_early_close(sent, client, record)
        }
    }

    /// No byte of the request was sent, so that any method may be sent again.
    fn after_connect_error(&self, host: Option<&str>, error: &legacy::Error) -> Option<Failed> {
        if is_the_users_connect_timeout(error) {
            return None;
        }
        // The connect was another request's, which is told of the addresses.
        if causes(error).any(is_lost_checkout) {
            return Attempted::default().while_hopeful(host, self.hope_of(host));
        }
        let attempted = Attempted::of(error);
        let (hope, outcome) = (self.hope_of(host), attempted.outcome);
        match outcome.again() {
            Again::Never => None,
            // The request has met another address already.
            Again::Few if attempted.wrong_certificates > 1 => None,
            // Without a route from here only other addresses can help.
            Again::Few
                if outcome == Outcome::NoRoute && !hope.as_ref().is_some_and(|it| it.news) =>
            {
                None
            }
            Again::Few => Some(attempted.failed(Kind::Connect, FEW, hope)),
            Again::WhileHopeful if is_given_up(error) => {
                let has_target = |hope: &Hope| hope.may_connect || !hope.left.is_empty();
                let most = if hope.as_ref().is_some_and(has_target) {
                    usize::MAX
                } else {
                    FEW
                };
                Some(attempted.failed(Kind::ConnectTimeout, most, hope))
            }
            // The proxy was dialled, whatever is known of the host.
            Again::WhileHopeful if socks_connect(error).is_some() => {
                Some(attempted.failed(Kind::Connect, FEW, None))
            }
            Again::WhileHopeful => attempted.while_hopeful(host, hope),
        }
    }

    fn hope_of(&self, host: Option<&str>) -> Option<Hope> {
        host.and_then(|host| self.resolver.inner().hope(host))
    }

    /// The connection died before a response.
    fn after_early_close(
        &self,
        sent: Sent<'_>,
        error: &legacy::Error,
        record: &mut impl Record,
    ) -> Option<Failed> {
        let early = EarlyClose::of(error)?;
        let retried = record.edit(|history| history.retried()).flatten();
        let shared = self.resolver.inner();
        let closed = |host| shared.closed_early(host, early, retried, error);
        let attempted = Attempted {
            outcome: Outcome::ClosedEarly,
            addrs: sent.host.map(closed).unwrap_or_default(),
            ..Attempted::default()
        };
        match early.sent {
            // As good as a failed connect.
            false => attempted.while_hopeful(sent.host, self.hope_of(sent.host)),
            // The server may have acted on the request.
            true if !is_idempotent(sent.method) => None,
            true => {
                let hope = self.hope_of(sent.host);
                Some(attempted.failed(Kind::EarlyClose, MOST_SENDS - 1, hope))
            }
        }
    }
}

/// What a failed connect has come to, as its error and its account tell.
struct Attempted {
    /// That of the error, unless another one has ended the race.
    outcome: Outcome,
    /// The addresses that were attempted.
    addrs: SmallVec<[IpAddr; 4]>,
    /// How many addresses the connect was dealt; `None` where that is not known.
    dealt: Option<usize>,
    wrong_certificates: usize,
    /// Whether the connect was a race.
    is_race: bool,
    /// Whether the connect knew addresses that it did not attempt.
    has_more: bool,
    /// Whether the connect was given up after it had hung for long.
    has_hung: bool,
    /// How many attempts there were, known or not.
    at_least: usize,
}

impl Default for Attempted {
    fn default() -> Self {
        Self {
            outcome: Outcome::Unknown,
            addrs: SmallVec::new(),
            dealt: None,
            wrong_certificates: 0,
            is_race: false,
            has_more: false,
            has_hung: false,
            at_least: 0,
        }
    }
}

impl Attempted {
    fn of(error: &legacy::Error) -> Self {
        let account = ConnectError::find(error);
        let attempts = account.map_or(&[][..], ConnectError::attempts);
        let now = attempts.iter().filter(|attempt| attempt.ago.is_none());
        let ends = now.filter_map(|attempt| Some((attempt.addr, attempt.outcome?)));
        let (addrs, ends): (SmallVec<_>, Vec<_>) = ends.unzip();
        let count = |wanted| ends.iter().filter(|&&end| end == wanted).count();
        let wrong_certificates = count(Outcome::BadCertificate);
        let outcome = match () {
            () if count(Outcome::Local) > 0 => Outcome::Local,
            () if wrong_certificates > 0 => Outcome::BadCertificate,
            () => Outcome::of(error),
        };
        Self {
            outcome,
            addrs,
            dealt: account.map(|_| attempts.len()),
            wrong_certificates,
            is_race: account.is_some_and(ConnectError::is_race),
            has_more: attempts.iter().any(|attempt| attempt.outcome.is_none()),
            has_hung: account.and_then(ConnectError::given_up_after) >= Some(HANGS),
            // A connect that was given up has attempted an address in each of its lanes.
            at_least: account
                .filter(|error| error.is_given_up())
                .map_or(1, ConnectError::lanes),
        }
    }

    /// Returns a failure after which the request is sent again while there is an address to try.
    fn while_hopeful(self, host: Option<&str>, hope: Option<Hope>) -> Option<Failed> {
        let most = match &hope {
            // A pooled connection that others use too: each that is checked out may be closed by then.
            Some(_) if self.addrs.is_empty() => MOST_UNKNOWN,
            Some(_) => usize::MAX,
            // An address, and no name was asked for: there is no other.
            None if self.addrs.is_empty() && host.is_some_and(is_address) => return None,
            // Behind a proxy: the host that was dialled is not known.
            None => FEW,
        };
        Some(self.failed(Kind::Connect, most, hope))
    }

    fn failed(self, kind: Kind, most: usize, hope: Option<Hope>) -> Failed {
        // The address that has just failed and has left comes last, and leaves the room to the others.
        let is_over = |addr: &&IpAddr| self.addrs.contains(*addr);
        let given = |hope: &Hope| hope.next - hope.left.iter().filter(is_over).count();
        let of_hope = hope.as_ref().map_or(1, given);
        let has_left = |hope: &Hope| {
            let mut addrs = self.addrs.iter();
            !self.addrs.is_empty() && addrs.all(|addr| !hope.known.addrs.contains(*addr))
        };
        let has_moved = hope.as_ref().is_some_and(has_left);
        let next = match kind {
            // A race that has attempted all that it knew may do so once more, and then with a fresh answer.
            _ if self.is_race && !self.has_more => 2 * of_hope,
            _ if self.is_race || kind == Kind::ConnectTimeout => of_hope,
            _ => self.dealt.unwrap_or(of_hope),
        };
        // After a connect that hung for long, or at addresses that have left, the next one may hang in its lanes, too.
        let hangs = kind == Kind::ConnectTimeout && (has_moved || self.has_hung);
        Failed {
            kind,
            attempts: self.addrs.len().max(self.at_least),
            addrs: self.addrs,
            // A race that failed has met the addresses of other answers, too.
            given: match kind {
                Kind::ConnectTimeout if !self.is_race => self.dealt.unwrap_or_default(),
                _ => 0,
            },
            next,
            next_if_it_hangs: if hangs { self.at_least.min(next) } else { next },
            most,
            hope,
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
        None => is_timeout_of_reqwest(cause),
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
            error.is_go_away() && said(h2::Reason::NO_ERROR)
        })
        || is_refused_stream(error)
}

fn is_refused_stream(error: &(dyn StdError + 'static)) -> bool {
    let is_refused = |error: &h2::Error| {
        error.is_remote() && error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
    };
    causes(error)
        .filter_map(|cause| cause.downcast_ref())
        .any(is_refused)
}
