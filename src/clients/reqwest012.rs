//! Adds sidestep to a client of reqwest 0.12, by one line where the client is built.
//!
//! The trait is the same as for [`reqwest` 0.13](crate::reqwest), with the same effect: reqwest has had retries since
//! 0.12.23, and this crate requires 0.12.28. One [`Resolver`](crate::Resolver) serves clients of both versions.
//!
//! # Examples
//!
//! ```no_run
//! # use reqwest012 as reqwest;
//! use sidestep::reqwest012::ClientBuilderExt as _;
//!
//! let resolver = sidestep::Resolver::new();
//! let client = reqwest::Client::builder().sidestep(&resolver).build()?;
//! # Ok::<(), reqwest::Error>(())
//! ```

pub use super::reqwest_adapter::ClientBuilderExt;

super::reqwest_adapter::adapt!(reqwest012);
