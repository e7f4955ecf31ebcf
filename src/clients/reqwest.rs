//! Adds sidestep to a client of reqwest 0.13, by one line where the client is built.
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

pub use super::moving::RotatingClient;
pub use super::versions::ClientBuilderExt;

super::versions::adapt!(reqwest);
