//! The default lookup: the stub resolver if it implements the system's configuration in full, else the
//! system.

use std::time::Duration;

use super::system::Decision;
use super::{Dns, Settings, Source, SystemConfig, SystemFiles};
use crate::error::Error;
use crate::lookup::{Answer, Answering, Lookup, System, system};
use crate::time;

/// The default lookup, which asks [`Dns`] or [`System`] as the system's configuration says.
///
/// The decision is made again if the files of the configuration change. The module `system` logs each
/// decision.
#[derive(Debug)]
pub(crate) struct SystemDefault {
    dns: Dns,
    system: System,
}

/// Time limit of the name servers if the system is asked after them: half of a lookup's 5 s.
const SHARE: Duration = Duration::from_millis(2_500);

impl SystemDefault {
    pub(crate) fn new() -> Self {
        Self {
            dns: Dns::new(Source::System(SystemFiles::default())),
            system: System::new(),
        }
    }

    async fn ask(&self, host: &str) -> Result<Answer, Error> {
        let settings = self.dns.settings().await;
        let Settings::System(config) = &settings else {
            return self.dns.ask(host, settings).await;
        };
        match decision_for(config, host) {
            Decision::System { .. } => self.ask_system(host).await,
            Decision::Dns { also_system: false } => self.dns.ask(host, settings).await,
            Decision::Dns { also_system: true } => {
                let asking = tokio::time::timeout(SHARE, self.dns.ask(host, settings)).await;
                match asking.unwrap_or_else(|_elapsed| Err(Error::timed_out(host))) {
                    Ok(answer) => Ok(answer),
                    Err(error) => graver(error, self.ask_system(host).await),
                }
            }
        }
    }

    async fn ask_system(&self, host: &str) -> Result<Answer, Error> {
        let now = time::now();
        let answer = self.system.lookup(host).await?;
        Ok(Answer {
            asked_at: Some(now),
            ..answer
        })
    }
}

/// Returns the decision for one name.
fn decision_for(config: &SystemConfig, host: &str) -> Decision {
    match config.is_for_system(host) {
        true => Decision::System {
            reason: "the name is not one of DNS".into(),
        },
        false => config.decision.clone(),
    }
}

/// Returns the system's answer, or the graver error: the one that says less about the name.
///
/// The name servers have failed or given a negative answer before.
fn graver(of_dns: Error, of_system: Result<Answer, Error>) -> Result<Answer, Error> {
    let is_graver = |error: &Error| !error.is_negative_answer() && !system::says_no_data(error);
    match of_system {
        Err(error) if of_dns.is_negative_answer() && is_graver(&error) => Err(error),
        Err(_) => Err(of_dns),
        Ok(answer) => Ok(answer),
    }
}

impl Lookup for SystemDefault {
    fn lookup<'a>(&'a self, host: &'a str) -> Answering<'a> {
        Box::pin(self.ask(host))
    }

    fn network_changed(&self) {
        self.dns.network_changed();
    }
}

#[cfg(test)]
mod tests;
