//! Keeps the answers of all hosts, and decides how a caller is served.
//!
//! | an answer is | from | a caller gets |
//! |---|---|---|
//! | fresh | the end of its lookup | the answer |
//! | due for a refresh | `refresh_at` | the answer; if the answer is in use, the host is looked up in the background |
//! | expired | `expires_at` | a new answer, or the expired answer if the lookup is slow or fails |
//! | gone | `expires_at` + `max_stale` | a new answer, or the error of the lookup |
//! | suspect | a failed connect | the suspect answer while a healthy address is left, and otherwise as for an expired answer |
//! | invalidated | a call of the program | as for an expired answer |

mod answer;
mod entry;
#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod laws;
mod lookups;
pub(crate) mod reresolve;
mod store;
pub(crate) mod ttl;

pub(crate) use self::answer::{CachedAnswer, FreshAddresses, Generation, Origin};
pub use self::entry::LookupReason;
pub(crate) use self::entry::{HostEntry, ServePlan};
pub(crate) use self::lookups::{CompletedLookup, InFlightLookup, LookupSender};
pub(crate) use self::store::Store;
