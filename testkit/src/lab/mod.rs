//! What the examples and the bench `soak` share.

#[cfg(all(feature = "hickory", feature = "reqwest"))]
pub mod clients;
pub mod clock;
pub mod get;
