//! One lookup after another.

use std::fmt;
use std::time::Duration;

use super::{Answer, Answering, Lookup};
use crate::error::InvalidConfig;
use crate::{Error, time};

/// Asks one lookup after another until one brings an answer, such as name servers first and then
/// the system.
///
/// Each but the last gets at most its [`patience`](Self::patience), so that a server that does not
/// answer leaves time for the next; each lookup begins with the first again. A name that does not
/// exist ends the search: that is an answer. For addresses that the program itself knows there is
/// no need of it: [`Builder::pins`](crate::Builder::pins) go before every lookup, and
/// [`Builder::fallbacks`](crate::Builder::fallbacks) are used when there is no answer, which for a
/// caller who waits is after [`Builder::stale_after`](crate::Builder::stale_after).
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
    patience: Option<Duration>,
}

/// The time that they share: what one lookup has unless `lookup_timeout` is set.
const TOGETHER: Duration = Duration::from_secs(5);

impl Fallback {
    /// Begins with this lookup.
    #[must_use]
    pub fn new(first: impl Lookup) -> Self {
        Self {
            lookups: vec![Box::new(first)],
            patience: None,
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
    /// Defaults to 5 s divided among all of them: 2.5 s when there are two. Set it when
    /// [`Builder::lookup_timeout`](crate::Builder::lookup_timeout) is not 5 s: when that is over, those
    /// that are left are not asked.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] when it is zero.
    pub fn patience(mut self, patience: Duration) -> Result<Self, InvalidConfig> {
        if patience.is_zero() {
            let problem = "no lookup answers in no time";
            return Err(InvalidConfig::new("Fallback::patience", problem));
        }
        self.patience = Some(patience);
        Ok(self)
    }
}

impl Lookup for Fallback {
    fn lookup<'a>(&'a self, host: &'a str) -> Answering<'a> {
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

/// An answer lives from when it was asked for, and not from when the first lookup was.
async fn ask(lookup: &dyn Lookup, host: &str) -> Result<Answer, Error> {
    let now = time::now();
    let answer = lookup.lookup(host).await?;
    Ok(Answer {
        asked_at: Some(answer.asked_at.unwrap_or(now)),
        ..answer
    })
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("lookups", &self.lookups.len())
            .finish_non_exhaustive()
    }
}
