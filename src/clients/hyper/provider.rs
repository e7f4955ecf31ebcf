//! The crypto provider of the client's TLS.

use std::panic;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;

use super::TlsConfigError;

/// Returns the crypto provider, the first of these that exists:
///
/// 1. the default provider of the process,
/// 2. the provider that a feature of this crate chooses: aws-lc-rs, then ring,
/// 3. the only provider that rustls was compiled with.
pub(super) fn provider() -> Result<Arc<CryptoProvider>, TlsConfigError> {
    match CryptoProvider::get_default() {
        Some(provider) => Ok(Arc::clone(provider)),
        None => chosen().map_or_else(the_only_one, |provider| Ok(Arc::new(provider))),
    }
}

#[cfg(feature = "hyper-client-aws-lc-rs")]
fn chosen() -> Option<CryptoProvider> {
    Some(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(all(feature = "hyper-client-ring", not(feature = "hyper-client-aws-lc-rs")))]
fn chosen() -> Option<CryptoProvider> {
    Some(rustls::crypto::ring::default_provider())
}

#[cfg(not(any(feature = "hyper-client-aws-lc-rs", feature = "hyper-client-ring")))]
fn chosen() -> Option<CryptoProvider> {
    None
}

/// Returns the provider that rustls determines from its own features, which any crate of the program may enable.
///
/// rustls installs that provider as the default of the process, as for every caller of [`ClientConfig::builder`].
fn the_only_one() -> Result<Arc<CryptoProvider>, TlsConfigError> {
    // The only way to get this provider from rustls 0.23 panics if there is none or more than one.
    let builder = panic::catch_unwind(ClientConfig::builder);
    let builder = builder.map_err(|_| TlsConfigError::no_provider())?;
    Ok(Arc::clone(builder.crypto_provider()))
}
