//! Adapters to the clients and traits of other crates.

#[cfg(feature = "hyper-client")]
pub mod hyper;
#[cfg(feature = "middleware")]
pub mod middleware;
mod name_service;
#[cfg(feature = "object-store")]
pub mod object_store;
#[cfg(any(feature = "reqwest", feature = "reqwest-012"))]
mod request_histories;
#[cfg(feature = "reqwest")]
pub mod reqwest;
#[cfg(feature = "reqwest-012")]
pub mod reqwest012;
#[cfg(any(feature = "reqwest", feature = "reqwest-012"))]
mod reqwest_adapter;
#[cfg(any(feature = "reqwest", feature = "reqwest-012"))]
mod reqwest_retry;
#[cfg(feature = "reqwest")]
mod rotating_client;
