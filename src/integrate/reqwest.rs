//! For reqwest 0.13: one line where the client is built.
//!
//! # Examples
//!
//! ```no_run
//! use sidestep::reqwest::ClientBuilderExt as _;
//!
//! let resolver = sidestep::Resolver::new();
//! let client = reqwest::Client::builder().sidestep(&resolver).build()?;
//! # Ok::<(), reqwest::Error>(())
//! ```

pub use super::moving::MovingClient;
pub use super::versions::ClientBuilderExt;

super::versions::adapt!(reqwest);
