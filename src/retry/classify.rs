//! Rule: whether a failed request may be sent again. reqwest, tower and the middleware share the classifier.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;

use http::Method;
use hyper_util::client::legacy;
use smallvec::SmallVec;

use super::request_history::{Failure, HistoryStore, MAX_AFTER_NACKS, MAX_SENDS, RetryReason};
use crate::attempt::early_close::{self, EarlyClose};
use crate::connect::ConnectError;
use crate::happy_eyeballs::OutOfTime;
use crate::health::classify::error_chain;
use crate::health::classify::http::{is_protocol_nack, is_refused_stream};
use crate::health::classify::texts::{is_lost_checkout, is_timeout_of_reqwest, socks_connect};
use crate::health::outcome::RetryScope;
use crate::host::{self, Parsed};
use crate::resolver::FailoverOutlook;
use crate::resolver::HANGS;
use crate::{Outcome, Resolver, time};

/// Classifies failed requests by the state of the resolver and by the history in a [`HistoryStore`].
#[derive(Clone, Debug)]
pub(crate) struct RetryClassifier {
    resolver: Resolver,
}

/// The method and the host of a request that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentRequest<'a> {
    pub(crate) method: &'a Method,
    pub(crate) host: Option<&'a str>,
    /// Whether more of the request may have been sent than the error says, as before a redirect. Such a request is
    /// not sent again.
    pub(crate) is_partly: bool,
}

/// Most retries if each makes the caller wait for long, or if the failed address is not known.
const MAX_FEW: usize = 2;
/// Most retries of a request of which no byte was sent, while no address is known to have failed.
const MAX_UNKNOWN: usize = 8;

impl RetryClassifier {
    pub(crate) fn new(resolver: &Resolver) -> Self {
        Self {
            resolver: resolver.clone(),
        }
    }

    /// Records a response, whatever its status.
    pub(crate) fn answered(&self, host: Option<&str>, record: &mut impl HistoryStore) {
        if let Some(host) = host {
            self.resolver.inner().answered(host);
        }
        record.end();
    }

    /// Returns whether the request must be sent again, and records that in `record`.
    pub(crate) fn sends_again(
        &self,
        sent: SentRequest<'_>,
        error: &(dyn StdError + 'static),
        record: &mut impl HistoryStore,
    ) -> bool {
        // The error is read even if the request is not sent again, because an address may have failed.
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

    /// Records a soft strike for an address that has refused the stream of a request twice.
    ///
    /// If the host has a healthy address to connect to, the connection takes no new requests, so the next request goes
    /// out on another one. A single refused stream may only be over the server's limit of streams (RFC 9113, section
    /// 5.1.2).
    fn leave_refusing(&self, host: Option<&str>, error: &(dyn StdError + 'static)) {
        let client = error_chain(error).find_map(|cause| cause.downcast_ref::<legacy::Error>());
        let connection = client.and_then(legacy::Error::connect_info);
        let Some((connection, host)) = connection.zip(host).filter(|_| is_refused_stream(error))
        else {
            return;
        };
        if let Some(info) = early_close::info(connection) {
            let (shared, addr) = (self.resolver.inner(), info.remote_addr().ip());
            shared.unavailable(host, addr, "REFUSED_STREAM");
            if shared
                .failover_outlook(host)
                .is_some_and(|outlook| outlook.is_healthy)
            {
                connection.poison();
            }
        }
    }

    /// Returns the failure that an error stands for, or `None` if a retry is useless or not allowed.
    fn failed(
        &self,
        sent: SentRequest<'_>,
        error: &(dyn StdError + 'static),
        record: &mut impl HistoryStore,
    ) -> Option<Failure> {
        if is_protocol_nack(error) {
            return Some(Failure::of(RetryReason::ProtocolNack, MAX_AFTER_NACKS));
        }
        let client = error_chain(error).find_map(|cause| cause.downcast_ref::<legacy::Error>())?;
        if client.is_connect() || error_chain(client).any(is_lost_checkout) {
            self.after_connect_error(sent.host, client)
        } else {
            self.after_early_close(sent, client, record)
        }
    }

    /// Classifies a failed connect. No byte of the request was sent, so any method may be sent again.
    fn after_connect_error(&self, host: Option<&str>, error: &legacy::Error) -> Option<Failure> {
        if is_the_users_connect_timeout(error) {
            return None;
        }
        // The connect belonged to another request, whose error names the addresses.
        if error_chain(error).any(is_lost_checkout) {
            return FailedConnect::default()
                .retry_while_addresses_left(host, self.outlook_of(host));
        }
        let attempted = FailedConnect::of(error);
        let (outlook, outcome) = (self.outlook_of(host), attempted.outcome);
        match outcome.retry_scope() {
            RetryScope::Never => None,
            // The request has already met another address.
            RetryScope::Few if attempted.wrong_certificates > 1 => None,
            // Without a route, only other addresses can help, and only a fresh answer can name them.
            RetryScope::Few
                if outcome == Outcome::NoRoute
                    && !outlook.as_ref().is_some_and(|it| it.fresh_answer_expected) =>
            {
                None
            }
            RetryScope::Few => Some(attempted.failed(RetryReason::Connect, MAX_FEW, outlook)),
            RetryScope::WhileAddressesLeft if is_given_up(error) => {
                let has_target =
                    |outlook: &FailoverOutlook| outlook.may_connect || !outlook.left.is_empty();
                let most = if outlook.as_ref().is_some_and(has_target) {
                    usize::MAX
                } else {
                    MAX_FEW
                };
                Some(attempted.failed(RetryReason::ConnectTimeout, most, outlook))
            }
            // The failed address is the proxy's, so the outlook of the host does not apply.
            RetryScope::WhileAddressesLeft if socks_connect(error).is_some() => {
                Some(attempted.failed(RetryReason::Connect, MAX_FEW, None))
            }
            RetryScope::WhileAddressesLeft => attempted.retry_while_addresses_left(host, outlook),
        }
    }

    fn outlook_of(&self, host: Option<&str>) -> Option<FailoverOutlook> {
        host.and_then(|host| self.resolver.inner().failover_outlook(host))
    }

    /// Classifies the end of a connection that died before a response.
    fn after_early_close(
        &self,
        sent: SentRequest<'_>,
        error: &legacy::Error,
        record: &mut impl HistoryStore,
    ) -> Option<Failure> {
        let early = EarlyClose::of(error)?;
        let retried = record.edit(|history| history.retried()).flatten();
        let shared = self.resolver.inner();
        let closed = |host| shared.closed_early(host, early, retried, error);
        let attempted = FailedConnect {
            outcome: Outcome::ClosedEarly,
            addrs: sent.host.map(closed).unwrap_or_default(),
            ..FailedConnect::default()
        };
        match early.sent {
            // No byte was sent, as after a failed connect.
            false => attempted.retry_while_addresses_left(sent.host, self.outlook_of(sent.host)),
            // The server may have acted on the request.
            true if !is_idempotent(sent.method) => None,
            true => {
                let outlook = self.outlook_of(sent.host);
                Some(attempted.failed(RetryReason::EarlyClose, MAX_SENDS - 1, outlook))
            }
        }
    }
}

/// A failed connect, as its error and the [`ConnectError`] in that error describe it.
struct FailedConnect {
    /// The outcome of the error, unless an attempt ended with a local error or a wrong certificate.
    outcome: Outcome,
    /// The addresses that were attempted.
    addrs: SmallVec<[IpAddr; 4]>,
    /// How many addresses the connect was given; `None` if that is not known.
    selected: Option<usize>,
    wrong_certificates: usize,
    /// Whether the connect was a race.
    is_race: bool,
    /// Whether the connect was given addresses that it did not attempt.
    has_more: bool,
    /// Whether the connect was given up after it had been pending for [`HANGS`] or longer.
    has_hung: bool,
    /// A lower bound for the number of attempts, which includes attempts at unknown addresses.
    at_least: usize,
}

impl Default for FailedConnect {
    fn default() -> Self {
        Self {
            outcome: Outcome::Unknown,
            addrs: SmallVec::new(),
            selected: None,
            wrong_certificates: 0,
            is_race: false,
            has_more: false,
            has_hung: false,
            at_least: 0,
        }
    }
}

impl FailedConnect {
    fn of(error: &legacy::Error) -> Self {
        let account = ConnectError::find(error);
        let attempts = account.map_or(&[][..], ConnectError::attempts);
        let now = attempts.iter().filter(|attempt| attempt.ago.is_none());
        let ends = now.filter_map(|attempt| Some((attempt.addr, attempt.outcome?)));
        let (addrs, ends): (SmallVec<_>, Vec<_>) = ends.unzip();
        let count = |wanted| ends.iter().filter(|&&end| end == wanted).count();
        let wrong_certificates = count(Outcome::BadCertificate);
        let outcome = match () {
            () if count(Outcome::LocalError) > 0 => Outcome::LocalError,
            () if wrong_certificates > 0 => Outcome::BadCertificate,
            () => Outcome::from_error(error),
        };
        Self {
            outcome,
            addrs,
            selected: account.map(|_| attempts.len()),
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

    /// Returns a failure after which the request is sent again while an address is left to connect to.
    fn retry_while_addresses_left(
        self,
        host: Option<&str>,
        outlook: Option<FailoverOutlook>,
    ) -> Option<Failure> {
        let most = match &outlook {
            // A shared pooled connection failed, and each further one may be closed by the time of its checkout.
            Some(_) if self.addrs.is_empty() => MAX_UNKNOWN,
            Some(_) => usize::MAX,
            // The host is an IP address, for which there is no lookup and no other address.
            None if self.addrs.is_empty() && host.is_some_and(is_address) => return None,
            // Behind a proxy, the host of the connect is not known.
            None => MAX_FEW,
        };
        Some(self.failed(RetryReason::Connect, most, outlook))
    }

    fn failed(self, kind: RetryReason, most: usize, outlook: Option<FailoverOutlook>) -> Failure {
        // An address that left DNS and has just failed is attempted last, so its place goes to the others.
        let is_over = |addr: &&IpAddr| self.addrs.contains(*addr);
        let given =
            |outlook: &FailoverOutlook| outlook.next - outlook.left.iter().filter(is_over).count();
        let of_outlook = outlook.as_ref().map_or(1, given);
        let has_left = |outlook: &FailoverOutlook| {
            let mut addrs = self.addrs.iter();
            !self.addrs.is_empty() && addrs.all(|addr| !outlook.known.addrs.contains(*addr))
        };
        let has_moved = outlook.as_ref().is_some_and(has_left);
        let next = match kind {
            // A race that has attempted all its addresses may attempt them once more, and then those of a fresh answer.
            _ if self.is_race && !self.has_more => 2 * of_outlook,
            _ if self.is_race || kind == RetryReason::ConnectTimeout => of_outlook,
            _ => self.selected.unwrap_or(of_outlook),
        };
        // If the connect hung for long, or its addresses have left, the next connect may hang in its lanes, too.
        let hangs = kind == RetryReason::ConnectTimeout && (has_moved || self.has_hung);
        Failure {
            kind,
            attempts: self.addrs.len().max(self.at_least),
            addrs: self.addrs,
            // A failed race has attempted addresses of other answers, too.
            given: match kind {
                RetryReason::ConnectTimeout if !self.is_race => self.selected.unwrap_or_default(),
                _ => 0,
            },
            next,
            next_if_it_hangs: if hangs { self.at_least.min(next) } else { next },
            most,
            outlook,
        }
    }
}

fn is_address(host: &str) -> bool {
    matches!(host::parse(host), Ok(Parsed::Literal(_) | Parsed::Loopback))
}

/// Returns whether a method is idempotent (RFC 9110, section 9.2.2).
pub(crate) fn is_idempotent(method: &Method) -> bool {
    method.is_safe() || matches!(*method, Method::PUT | Method::DELETE)
}

/// Returns whether the user's own connect timeout ended the connect.
///
/// If a connect timeout is set, reqwest ends the connect in one of two ways. reqwest's own timer returns an error of
/// reqwest that has no I/O error as a source. hyper-util's timer, which runs for each address, returns an I/O error
/// without a code of the operating system. A timeout of this crate has a type of its own, and a timeout of the system
/// has a code.
fn is_the_users_connect_timeout(error: &legacy::Error) -> bool {
    if is_given_up(error) || error_chain(error).any(|cause| cause.is::<OutOfTime>()) {
        return false;
    }
    error_chain(error).any(|cause| match cause.downcast_ref::<io::Error>() {
        Some(error) => error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none(),
        None => is_timeout_of_reqwest(cause),
    })
}

fn is_given_up(error: &legacy::Error) -> bool {
    error_chain(error)
        .filter_map(|cause| cause.downcast_ref::<ConnectError>())
        .any(ConnectError::is_given_up)
}
