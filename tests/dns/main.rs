//! Tests where addresses come from: the cache with its answers, and lookups at name servers (behaviors A1 to A12).
//!
//! `answers` has a scripted lookup and needs no feature. The other modules have name servers and stock clients.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

#[cfg(all(feature = "hickory", feature = "reqwest"))]
mod address_order;
mod answers;
#[cfg(all(unix, feature = "hickory", feature = "reqwest"))]
mod file_descriptors;
#[cfg(all(feature = "hickory", feature = "reqwest"))]
mod filter;
#[cfg(all(feature = "hickory", feature = "reqwest"))]
mod many_records;
#[cfg(all(feature = "hickory", feature = "reqwest"))]
mod name_servers;
#[cfg(all(feature = "hickory", feature = "reqwest"))]
mod outages;
#[cfg(all(feature = "hickory", feature = "reqwest"))]
mod overrides;
#[cfg(all(feature = "hickory", feature = "reqwest"))]
mod runtimes;
#[cfg(all(feature = "hickory", feature = "reqwest"))]
mod stub;
