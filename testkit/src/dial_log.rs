//! Every attempt that hyper-util begins and the end of the attempt, from the log of hyper-util.
//!
//! An edge that refuses or swallows packets cannot count attempts.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::connector_log::each_line;

/// One attempt.
#[derive(Clone, Copy, Debug)]
pub struct Dialled {
    /// The address as hyper-util logs it: an IPv4-mapped address stays IPv4-mapped.
    pub addr: IpAddr,
    pub failed: bool,
}

/// Attempts by port, in the order in which they began. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct DialLog(Arc<watch::Sender<HashMap<u16, Vec<Dialled>>>>);

static LOG: OnceLock<DialLog> = OnceLock::new();

impl DialLog {
    /// Forgets the attempts to a port, which now belongs to the edges of another test.
    pub(crate) fn forget(port: u16) {
        if let Some(log) = LOG.get() {
            log.0.send_modify(|attempts| {
                attempts.remove(&port);
            });
        }
    }

    /// Returns the log of this process, which begins with the first call.
    pub fn start() -> Self {
        let begin = || {
            let attempts = Self::default();
            let log = attempts.clone();
            each_line(move |line| log.take(line));
            attempts
        };
        LOG.get_or_init(begin).clone()
    }

    pub fn to_port(&self, port: u16) -> Vec<Dialled> {
        self.0.borrow().get(&port).cloned().unwrap_or_default()
    }

    /// Waits until `are` is true of the attempts to a port.
    pub async fn until(&self, port: u16, are: impl Fn(&[Dialled]) -> bool) {
        let mut log = self.0.subscribe();
        let attempts =
            |log: &HashMap<u16, Vec<Dialled>>| log.get(&port).is_some_and(|all| are(all));
        drop(log.wait_for(attempts).await);
    }

    fn take(&self, line: &str) {
        let began = line
            .strip_prefix("connecting to ")
            .and_then(|it| it.parse().ok());
        let failed = line.strip_prefix("connect error for ");
        let failed = failed.and_then(|it| it.split(": ").next()?.parse().ok());
        self.0.send_if_modified(|attempts| match (began, failed) {
            (Some(addr), _) => {
                let addr: SocketAddr = addr;
                let attempt = Dialled {
                    addr: addr.ip(),
                    failed: false,
                };
                attempts.entry(addr.port()).or_default().push(attempt);
                true
            }
            (None, Some(addr)) => {
                let addr: SocketAddr = addr;
                let all = attempts.entry(addr.port()).or_default();
                let attempt = all.iter_mut().rfind(|attempt| attempt.addr == addr.ip());
                // The attempt of another test may have begun before the log.
                attempt.is_some_and(|attempt| {
                    attempt.failed = true;
                    true
                })
            }
            (None, None) => false,
        });
    }
}
