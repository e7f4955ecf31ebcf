//! A chain of lookups.

use std::fmt;
use std::time::Duration;

use super::{Answer, Lookup, LookupFuture};
use crate::error::ConfigError;
use crate::{ResolveError, time};

/// Tries several lookups in turn until one answers, such as name servers first and then the system.
///
/// Each lookup except the last may take [`per_lookup_timeout`](Self::per_lookup_timeout), so that a server that does
/// not answer leaves time for the next lookup. Each call starts with the first lookup again. An answer that the name
/// does not exist, or has no addresses, ends the chain.
///
/// Addresses that the program configures need no chain. The resolver uses
/// [`ResolverBuilder::overrides`](crate::ResolverBuilder::overrides) before every lookup. The resolver uses
/// [`ResolverBuilder::fallbacks`](crate::ResolverBuilder::fallbacks) if a lookup fails, and for a waiting caller after
/// [`ResolverBuilder::serve_stale_after`](crate::ResolverBuilder::serve_stale_after).
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "hickory")]
/// # fn resolver() -> Result<(), Box<dyn std::error::Error>> {
/// use sidestep::{Resolver, lookup::{Chain, Dns, System}};
///
/// let servers = Dns::with_servers(["192.0.2.53:53".parse()?])?;
/// let lookup = Chain::new(servers).or(System::new());
/// let resolver = Resolver::builder().lookup(lookup).build()?;
/// # Ok(())
/// # }
/// ```
pub struct Chain {
    lookups: Vec<Box<dyn Lookup>>,
    patience: Option<Duration>,
}

/// Time that all lookups of a chain share, equal to the default of `lookup_timeout`.
const TOGETHER: Duration = Duration::from_secs(5);

impl Chain {
    /// Makes a chain that starts with this lookup.
    #[must_use]
    pub fn new(first: impl Lookup) -> Self {
        Self {
            lookups: vec![Box::new(first)],
            patience: None,
        }
    }

    /// Adds a lookup, which is used if all lookups before it have failed.
    #[must_use]
    pub fn or(mut self, next: impl Lookup) -> Self {
        self.lookups.push(Box::new(next));
        self
    }

    /// Sets how long each lookup except the last may take.
    ///
    /// Defaults to 5 s divided by the number of lookups, such as 2.5 s for two. Set this time if
    /// [`ResolverBuilder::lookup_timeout`](crate::ResolverBuilder::lookup_timeout) is not 5 s, because the chain does
    /// not reach the remaining lookups after `lookup_timeout`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the time is zero.
    pub fn per_lookup_timeout(mut self, patience: Duration) -> Result<Self, ConfigError> {
        if patience.is_zero() {
            let problem = "no lookup answers in no time";
            return Err(ConfigError::new("Chain::per_lookup_timeout", problem));
        }
        self.patience = Some(patience);
        Ok(self)
    }
}

impl Lookup for Chain {
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
        Box::pin(async move {
            let (last, others) = self.lookups.split_last().expect("`new` adds the first");
            let share = TOGETHER / u32::try_from(self.lookups.len()).unwrap_or(u32::MAX);
            let patience = self.patience.unwrap_or(share);
            for lookup in others {
                match tokio::time::timeout(patience, ask(&**lookup, host)).await {
                    Ok(Err(error)) if !error.is_negative_answer() => {}
                    Ok(said) => return said,
                    Err(_elapsed) => {}
                }
            }
            ask(&**last, host).await
        })
    }

    fn root_dot_matters(&self) -> bool {
        self.lookups.iter().any(|lookup| lookup.root_dot_matters())
    }

    fn network_changed(&self) {
        for lookup in &self.lookups {
            lookup.network_changed();
        }
    }
}

/// Runs one lookup. The lifetime of its answer starts with this lookup, and not with the chain.
async fn ask(lookup: &dyn Lookup, host: &str) -> Result<Answer, ResolveError> {
    let now = time::now();
    let answer = lookup.lookup(host).await?;
    Ok(Answer {
        asked_at: Some(answer.asked_at.unwrap_or(now)),
        ..answer
    })
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("lookups", &self.lookups.len())
            .finish_non_exhaustive()
    }
}
