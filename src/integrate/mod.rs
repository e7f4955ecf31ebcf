//! Thin adapters to what others define.

#[cfg(feature = "reqwest")]
pub mod reqwest;
#[cfg(feature = "reqwest")]
mod retry;
mod tower;
#[cfg(feature = "reqwest")]
mod tries;
