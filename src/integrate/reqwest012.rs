//! For reqwest 0.12: the same one line where the client is built.
//!
//! It is the same trait as of [`reqwest` 0.13](crate::reqwest), and does the same: reqwest has had
//! retries since 0.12.23, and 0.12.28 is asked for. One [`Resolver`](crate::Resolver) serves clients
//! of both versions.
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

pub use super::versions::ClientBuilderExt;

super::versions::adapt!(reqwest012);
