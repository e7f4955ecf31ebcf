//! Every dial that hyper-util begins and how it ends, from its own log.
//!
//! An edge that refuses or swallows packets cannot tell who dials it.
#![allow(dead_code, reason = "each test crate uses a part")]

#[path = "../../examples/failover/dial_log.rs"]
mod lines;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

/// One dial.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialled {
    /// As hyper-util dialled it: an IPv4-mapped address is one.
    pub(crate) addr: IpAddr,
    pub(crate) failed: bool,
}

/// Dials by port, in the order in which they began; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct DialLog(Arc<Mutex<HashMap<u16, Vec<Dialled>>>>);

impl DialLog {
    /// Begins to listen, for the whole process.
    pub(crate) fn start() -> Self {
        let dials = Self::default();
        let log = dials.clone();
        lines::each_line(move |line| log.take(line));
        dials
    }

    pub(crate) fn to_port(&self, port: u16) -> Vec<Dialled> {
        self.edit(|dials| dials.get(&port).cloned().unwrap_or_default())
    }

    fn edit<T>(&self, change: impl FnOnce(&mut HashMap<u16, Vec<Dialled>>) -> T) -> T {
        change(&mut self.0.lock().expect("no line panics"))
    }

    fn take(&self, line: &str) {
        let began = line
            .strip_prefix("connecting to ")
            .and_then(|it| it.parse().ok());
        let failed = line.strip_prefix("connect error for ");
        let failed = failed.and_then(|it| it.split(": ").next()?.parse().ok());
        self.edit(|dials| match (began, failed) {
            (Some(addr), _) => {
                let addr: SocketAddr = addr;
                let dial = Dialled {
                    addr: addr.ip(),
                    failed: false,
                };
                dials.entry(addr.port()).or_default().push(dial);
            }
            (None, Some(addr)) => {
                let addr: SocketAddr = addr;
                let all = dials.entry(addr.port()).or_default();
                let dial = all.iter_mut().rfind(|dial| dial.addr == addr.ip());
                dial.expect("what fails has begun").failed = true;
            }
            (None, None) => {}
        });
    }
}
