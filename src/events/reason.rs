//! The reason for a lookup.

/// Why a host is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LookupReason {
    /// The answer of the host is in use and near the end of its lifetime.
    Refresh,
    /// A connect to an address of the host failed, or a connection failed after the connect.
    ConnectFailed,
    /// The answer of the host has expired.
    Expired,
    /// The program invalidated the answer of the host.
    Invalidated,
    /// The cache has no answer of the host.
    Miss,
}
