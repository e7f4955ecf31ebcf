//! Every dial that hyper-util begins and how it ends, from its own log.
//!
//! An edge that refuses or swallows packets cannot tell who dials it.

#[path = "../../examples/failover/dial_log.rs"]
mod lines;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

/// One dial.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialled {
    /// As hyper-util dialled it: an IPv4-mapped address is one.
    pub(crate) addr: IpAddr,
    pub(crate) failed: bool,
}

/// Dials by port, in the order in which they began; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct DialLog(Arc<watch::Sender<HashMap<u16, Vec<Dialled>>>>);

impl DialLog {
    /// Returns the log of this process, which begins with the first call.
    pub(crate) fn start() -> Self {
        static LOG: OnceLock<DialLog> = OnceLock::new();
        let begin = || {
            let dials = Self::default();
            let log = dials.clone();
            lines::each_line(move |line| log.take(line));
            dials
        };
        LOG.get_or_init(begin).clone()
    }

    pub(crate) fn to_port(&self, port: u16) -> Vec<Dialled> {
        self.0.borrow().get(&port).cloned().unwrap_or_default()
    }

    /// Waits until the dials to a port are so.
    pub(crate) async fn until(&self, port: u16, are: impl Fn(&[Dialled]) -> bool) {
        let mut log = self.0.subscribe();
        let dials = |log: &HashMap<u16, Vec<Dialled>>| log.get(&port).is_some_and(|all| are(all));
        drop(log.wait_for(dials).await);
    }

    fn take(&self, line: &str) {
        let began = line
            .strip_prefix("connecting to ")
            .and_then(|it| it.parse().ok());
        let failed = line.strip_prefix("connect error for ");
        let failed = failed.and_then(|it| it.split(": ").next()?.parse().ok());
        self.0.send_if_modified(|dials| match (began, failed) {
            (Some(addr), _) => {
                let addr: SocketAddr = addr;
                let dial = Dialled {
                    addr: addr.ip(),
                    failed: false,
                };
                dials.entry(addr.port()).or_default().push(dial);
                true
            }
            (None, Some(addr)) => {
                let addr: SocketAddr = addr;
                let all = dials.entry(addr.port()).or_default();
                let dial = all.iter_mut().rfind(|dial| dial.addr == addr.ip());
                dial.expect("what fails has begun").failed = true;
                true
            }
            (None, None) => false,
        });
    }
}
