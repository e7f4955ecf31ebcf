//! One lookup after another.

use std::fmt;
use std::time::Duration;

use super::{Answering, Lookup};
use crate::Error;
use crate::error::InvalidConfig;

/// Asks one lookup after another until one brings an answer, such as name servers first and then
/// the system.
///
/// Each but the last gets at most [`patience`](Self::patience), so that a server that does not
/// answer leaves time for the next. A name that does not exist ends the search: that is an answer.
/// For addresses that the program itself knows, to be used when *every* lookup has failed, see
/// [`Builder::fallbacks`](crate::Builder::fallbacks).
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "hickory")]
/// # fn resolver() -> Result<(), Box<dyn std::error::Error>> {
/// use sidestep::{Resolver, lookup::{Dns, Fallback, System}};
///
/// let servers = Dns::with_servers(["192.0.2.53:53".parse()?])?;
/// let lookup = Fallback::new(servers).or(System::new());
/// let resolver = Resolver::builder().lookup(lookup).build()?;
/// # Ok(())
/// # }
/// ```
pub struct Fallback {
    lookups: Vec<Box<dyn Lookup>>,
    patience: Duration,
}

/// A lookup has 5 s unless set otherwise: half of it for the first, half for the next.
const PATIENCE: Duration = Duration::from_millis(2_500);

impl Fallback {
    /// Begins with this lookup.
    #[must_use]
    pub fn new(first: impl Lookup) -> Self {
        Self {
            lookups: vec![Box::new(first)],
            patience: PATIENCE,
        }
    }

    /// Adds a lookup that is asked when those before it have failed.
    #[must_use]
    pub fn or(mut self, next: impl Lookup) -> Self {
        self.lookups.push(Box::new(next));
        self
    }

    /// Sets how long each lookup but the last may take.
    ///
    /// Defaults to 2.5 s. Together they should stay under
    /// [`Builder::lookup_timeout`](crate::Builder::lookup_timeout), or the last is never asked.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] when it is zero.
    pub fn patience(mut self, patience: Duration) -> Result<Self, InvalidConfig> {
        if patience.is_zero() {
            let problem = "no lookup answers in no time";
            return Err(InvalidConfig::new("Fallback::patience", problem));
        }
        self.patience = patience;
        Ok(self)
    }
}

impl Lookup for Fallback {
    fn lookup<'a>(&'a self, host: &'a str) -> Answering<'a> {
        Box::pin(async move {
            let (last, others) = self.lookups.split_last().expect("`new` adds the first");
            for lookup in others {
                match tokio::time::timeout(self.patience, lookup.lookup(host)).await {
                    Ok(Ok(answer)) if !answer.addrs.is_empty() => return Ok(answer),
                    Ok(Err(error)) if error.is_negative_answer() => return Err(error),
                    Ok(Ok(_)) => return Err(Error::no_records(host)),
                    Ok(Err(_)) | Err(_) => {}
                }
            }
            last.lookup(host).await
        })
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("lookups", &self.lookups.len())
            .finish_non_exhaustive()
    }
}
