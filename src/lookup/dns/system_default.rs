//! The default lookup, which uses the stub resolver or the system's resolver.
//!
//! If the stub resolver implements the system's configuration in full, the lookup uses the stub resolver.

use std::time::Duration;

use super::settings::Settings;
use super::system::Decision;
use super::{Dns, Source, SystemConfig, SystemFiles};
use crate::error::ResolveError;
use crate::lookup::{Answer, Lookup, LookupFuture, System, system};
use crate::time;

/// The default lookup, which uses [`Dns`] or [`System`] as the system's configuration requires.
///
/// The module `system` makes the decision, makes another if the configuration files change, and logs each new
/// decision.
#[derive(Debug)]
pub(crate) struct SystemDefault {
    dns: Dns,
    system: System,
}

/// The time limit of [`Dns`] if [`System`] may answer afterwards.
///
/// This is half of the default time limit of a lookup, which is 5 s.
const SHARE: Duration = Duration::from_millis(2_500);

impl SystemDefault {
    pub(crate) fn new() -> Self {
        Self {
            dns: Dns::new(Source::System(SystemFiles::default())),
            system: System::new(),
        }
    }

    async fn ask(&self, host: &str) -> Result<Answer, ResolveError> {
        let settings = self.dns.settings().await;
        let Settings::System(config) = &settings else {
            return self.dns.ask(host, settings).await;
        };
        match decision_for(config, host) {
            Decision::System { .. } => self.ask_system(host).await,
            Decision::Dns { also_system: false } => self.dns.ask(host, settings).await,
            Decision::Dns { also_system: true } => {
                let asking = tokio::time::timeout(SHARE, self.dns.ask(host, settings)).await;
                match asking.unwrap_or_else(|_elapsed| Err(ResolveError::timed_out(host))) {
                    Ok(answer) => Ok(answer),
                    Err(error) => more_serious(error, self.ask_system(host).await),
                }
            }
        }
    }

    async fn ask_system(&self, host: &str) -> Result<Answer, ResolveError> {
        let now = time::now();
        let answer = self.system.lookup(host).await?;
        Ok(Answer {
            asked_at: Some(now),
            ..answer
        })
    }
}

/// Returns the decision for one host.
fn decision_for(config: &SystemConfig, host: &str) -> Decision {
    match config.is_for_system(host) {
        true => Decision::System {
            reason: "the name is not one of DNS".into(),
        },
        false => config.decision.clone(),
    }
}

/// Returns the system's answer, or the graver of two errors.
///
/// `of_dns` is the failure or the negative answer of the name servers. A failure is graver than a negative answer,
/// because a failure says less about the host.
fn more_serious(
    of_dns: ResolveError,
    of_system: Result<Answer, ResolveError>,
) -> Result<Answer, ResolveError> {
    let is_more_serious =
        |error: &ResolveError| !error.is_negative_answer() && !system::says_no_data(error);
    match of_system {
        Err(error) if of_dns.is_negative_answer() && is_more_serious(&error) => Err(error),
        Err(_) => Err(of_dns),
        Ok(answer) => Ok(answer),
    }
}

impl Lookup for SystemDefault {
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
        Box::pin(self.ask(host))
    }

    fn network_changed(&self) {
        self.dns.network_changed();
    }
}

#[cfg(test)]
mod tests;
