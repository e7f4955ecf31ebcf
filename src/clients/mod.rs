//! Adapters to the clients and traits of other crates.

#[cfg(any(feature = "reqwest", feature = "reqwest-012"))]
mod attempt_logs;
#[cfg(feature = "hyper-client")]
pub mod hyper;
#[cfg(feature = "middleware")]
pub mod middleware;
#[cfg(feature = "reqwest")]
mod moving;
#[cfg(feature = "object-store")]
pub mod object_store;
#[cfg(feature = "reqwest")]
pub mod reqwest;
#[cfg(feature = "reqwest-012")]
pub mod reqwest012;
#[cfg(any(feature = "reqwest", feature = "reqwest-012"))]
mod retry;
mod tower;
#[cfg(any(feature = "reqwest", feature = "reqwest-012"))]
mod versions;
