//! Reasons why a name server gave no usable answer.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hickory_resolver::proto::op::ResponseCode;

/// The reason why a name server gave no usable answer.
///
/// A fault says nothing about the name.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The server answered with an error code.
    Code(ResponseCode),
    /// The server answered with a referral.
    Referral,
    /// The server answered without addresses, and neither recurses nor is authoritative.
    Lame,
    /// The reply repeats another question or no question.
    OtherQuestion,
    /// All records of the reply belong to other names.
    OtherName,
    /// The aliases of the reply form a loop.
    AliasLoop,
    /// The reply has more aliases than a question follows.
    AliasChain,
    /// The reply can't be decoded.
    Undecodable,
    /// The server did not answer in time.
    Silent,
    /// The server can't be reached from this machine.
    Unreachable(Arc<io::Error>),
    /// This machine could not send the query, for example because no file descriptor was left.
    Machine(Arc<io::Error>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "answered {code:?}"),
            Self::Referral => f.write_str("answered with a referral; it does not recurse"),
            Self::Lame => f.write_str(
                "answered nothing, and neither recurses nor is authoritative for the name",
            ),
            Self::OtherQuestion => f.write_str("answered another question"),
            Self::OtherName => f.write_str("answered with records of another name"),
            Self::AliasLoop => f.write_str("answered with aliases (CNAME) in a loop"),
            Self::AliasChain => f.write_str("answered with more than 16 aliases (CNAME)"),
            Self::Undecodable => f.write_str("sent a reply that can't be decoded"),
            Self::Silent => f.write_str("did not answer in time"),
            Self::Unreachable(error) => write!(f, "can't be reached: {error}"),
            Self::Machine(error) => write!(
                f,
                "was not asked, because this machine could not: {error}; raise its limits or \
                 close what is open"
            ),
        }
    }
}

/// A fault, and the name server of the query.
#[derive(Clone, Debug, thiserror::Error)]
#[error("name server {server} {fault}")]
pub(super) struct ServerFailed {
    pub(super) server: SocketAddr,
    pub(super) fault: Fault,
}
