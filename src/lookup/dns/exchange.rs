//! Sends one question to one name server. No other module sends queries.
//!
//! Each query has its own socket with a random port (RFC 5452). The socket is closed at the end of the query, so
//! that no socket stays bound to a runtime. hickory provides messages and streams.

mod sockets;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use hickory_resolver::net::tcp::TcpClientStream;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::{DnsMultiplexer, DnsRequestSender, FirstAnswer as _};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{
    DnsRequest, DnsRequestOptions, DnsResponse, Message, Query, ResponseCode,
};
use hickory_resolver::proto::rr::{Name, RecordType};

use self::sockets::{NoQuestion, Sockets};
use super::config::{Protocol, Server};
use super::fault::Fault;
use super::reply::{self, Meaning};
use crate::addrs::Family;
use crate::health::classify::texts;

/// A question for the addresses of one family of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) name: Name,
    pub(super) family: Family,
}

/// The positive or negative answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ServerAnswer {
    Addresses(Vec<IpAddr>, Duration),
    Denied(Denied),
}

/// A negative answer, with the time for which the cache may keep the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    NotFound(Option<Duration>),
    NoRecords(Option<Duration>),
    /// The name is an alias of a name without addresses.
    AliasToNothing(Option<Duration>),
}

/// The result of one question to one server.
#[derive(Debug)]
pub(super) struct ExchangeResult {
    pub(super) server_answer: Result<ServerAnswer, Fault>,
    /// Whether the server refused EDNS, but not the same query without EDNS.
    pub(super) refused_edns: bool,
}

/// Sends a question to one server, and follows aliases whose targets the reply lacks.
///
/// # Cancel safety
///
/// Dropping the future closes its sockets.
pub(super) async fn ask(
    server: Server,
    question: Question,
    edns: bool,
    timeout: Duration,
) -> ExchangeResult {
    let mut refused_edns = false;
    let asking = follow(server, question, edns, timeout, &mut refused_edns);
    let server_answer = tokio::time::timeout(timeout, asking).await;
    ExchangeResult {
        server_answer: server_answer.unwrap_or(Err(Fault::Silent)),
        refused_edns,
    }
}

async fn follow(
    server: Server,
    question: Question,
    mut edns: bool,
    timeout: Duration,
    refused_edns: &mut bool,
) -> Result<ServerAnswer, Fault> {
    let rtype = match question.family {
        Family::V4 => RecordType::A,
        Family::V6 => RecordType::AAAA,
    };
    let (mut name, mut followed, mut shortest) = (question.name, 0, u32::MAX);
    loop {
        let query = Query::query(name.clone(), rtype);
        let mut meaning = send_and_read(server, &query, edns, timeout, followed).await;
        if edns && meaning.as_ref().is_err_and(refuses_edns) {
            edns = false;
            meaning = send_and_read(server, &query, edns, timeout, followed).await;
            *refused_edns = !meaning.as_ref().is_err_and(refuses_edns);
        }
        let denied = |denied| Ok(ServerAnswer::Denied(denied));
        let in_secs = |ttl: u32| Duration::from_secs(ttl.min(shortest).into());
        match meaning? {
            Meaning::Addresses { addrs, ttl } => {
                return Ok(ServerAnswer::Addresses(addrs, in_secs(ttl)));
            }
            Meaning::AliasToNothing(ttl) => return denied(Denied::AliasToNothing(ttl)),
            Meaning::NotFound(ttl) | Meaning::NoRecords(ttl) if followed > 0 => {
                return denied(Denied::AliasToNothing(ttl));
            }
            Meaning::NotFound(ttl) => return denied(Denied::NotFound(ttl)),
            Meaning::NoRecords(ttl) => return denied(Denied::NoRecords(ttl)),
            Meaning::Alias { to, links, ttl } => {
                (name, followed, shortest) = (to, followed + links, shortest.min(ttl));
            }
        }
    }
}

/// Returns whether a server that does not support EDNS may cause this fault (RFC 6891, section 7).
fn refuses_edns(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Code(ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS)
    )
}

/// Sends a query over the server's protocol, and again over TCP if the reply is truncated.
async fn send_and_read(
    server: Server,
    query: &Query,
    edns: bool,
    timeout: Duration,
    followed: usize,
) -> Result<Meaning, Fault> {
    let read = |reply: &Message| reply::read(reply, query.name(), query.query_type(), followed);
    let request = request(query, edns);
    match server.protocol {
        Protocol::Tcp => read(&*over_tcp(server.addr, request, timeout).await?),
        Protocol::Udp => {
            let reply = over_udp(server.addr, request.clone(), timeout).await?;
            if !reply.truncation {
                return read(&reply);
            }
            // TCP gets half of the time limit, so that time is left to use the truncated reply.
            match over_tcp(server.addr, request, timeout / 2).await {
                Ok(whole) => read(&whole),
                // If TCP is blocked, the addresses of the truncated reply are better than none.
                Err(fault) => match read(&reply) {
                    Ok(some @ Meaning::Addresses { .. }) => Ok(some),
                    _ => Err(fault),
                },
            }
        }
    }
}

fn request(query: &Query, edns: bool) -> DnsRequest {
    let mut options = DnsRequestOptions::default();
    options.use_edns = edns;
    DnsRequest::from_query(query.clone(), options)
}

async fn over_udp(
    server: SocketAddr,
    request: DnsRequest,
    timeout: Duration,
) -> Result<Message, Fault> {
    let sockets = Sockets::default();
    // Each call sends one query, because `servers` decides when to send another.
    let stream = UdpClientStream::builder(server, sockets.clone())
        .with_timeout(Some(timeout))
        .with_max_retries(1);
    let reply = stream.build().send_message(request).first_answer().await;
    let reply = reply.map_err(|error| fault(&error))?.into_message();
    match reply.truncation {
        true => Ok(sockets.whole_of(&reply).unwrap_or(reply)),
        false => Ok(reply),
    }
}

/// Sends a query over a new TCP connection.
///
/// No connection is kept for other queries, because truncated replies are rare.
async fn over_tcp(
    server: SocketAddr,
    request: DnsRequest,
    timeout: Duration,
) -> Result<DnsResponse, Fault> {
    let (connecting, sender) =
        TcpClientStream::new(server, None, Some(timeout), Sockets::default());
    let stream = connecting.await.map_err(|error| fault(&error))?;
    let mut stream = DnsMultiplexer::new(stream, sender).with_timeout(timeout);
    let mut replies = pin!(stream.send_message(request));
    let reply = poll_fn(|cx| {
        if let Poll::Ready(reply) = replies.poll_next_unpin(cx) {
            return Poll::Ready(reply);
        }
        // Polling the connection delivers the reply, or the error that ends the connection.
        let _ = stream.poll_next_unpin(cx);
        replies.poll_next_unpin(cx)
    });
    match reply.await {
        Some(reply) => reply.map_err(|error| fault(&error)),
        None => Err(Fault::Silent),
    }
}

fn fault(error: &NetError) -> Fault {
    match error {
        NetError::Timeout => Fault::Silent,
        NetError::Io(error) => io_fault(error),
        NetError::Proto(_) => Fault::Undecodable,
        NetError::Dns(DnsError::ResponseCode(code)) => Fault::Code(*code),
        _ => Fault::Unreachable(Arc::new(io::Error::other(error.to_string()))),
    }
}

fn io_fault(error: &Arc<io::Error>) -> Fault {
    if let Some(NoQuestion(code)) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return match code {
            ResponseCode::NoError | ResponseCode::NXDomain => Fault::OtherQuestion,
            code => Fault::Code(*code),
        };
    }
    match is_of_this_machine(error) {
        true => Fault::Machine(Arc::clone(error)),
        false => Fault::Unreachable(Arc::clone(error)),
    }
}

/// Returns whether a limit of this machine caused the error.
///
/// A missing permission does not count, because a packet filter or a prohibiting route may block one server only.
fn is_of_this_machine(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
        || error.raw_os_error().is_some_and(texts::is_local_code)
}

#[cfg(test)]
mod tests;
