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

pub use super::reqwest_adapter::ClientBuilderExt;
pub use super::rotating_client::RotatingClient;

super::reqwest_adapter::adapt!(reqwest);
