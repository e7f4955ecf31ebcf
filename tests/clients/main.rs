//! Tests the clients: every path on which a client connects, pooled connections, and requests that are sent again
//! (behaviors F10 to F12).
#![cfg(all(feature = "hickory", feature = "reqwest"))]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

#[cfg(feature = "middleware")]
mod middleware;
#[cfg(unix)]
mod nginx;
#[cfg(feature = "object-store")]
mod object_store;
mod passive_health;
mod paths;
mod pool;
mod pool_limits;
mod pool_reqwest;
#[cfg(feature = "hyper-client")]
mod ready_made;
#[cfg(feature = "reqwest-012")]
mod reqwest_012;
mod retries;
mod retry_policy;
