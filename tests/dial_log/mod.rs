//! Every dial that hyper-util begins and how it ends, from its own log.
//!
//! An edge that refuses or swallows packets cannot tell who dials it.
#![allow(dead_code, reason = "each test crate uses a part")]

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Metadata};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

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
        let log = tracing_subscriber::registry().with(dials.clone());
        tracing::subscriber::set_global_default(log).expect("nobody else listens to the log");
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

impl<S: Subscriber> Layer<S> for DialLog {
    /// Switches every other crate's log off where it stands.
    fn register_callsite(&self, line: &'static Metadata<'static>) -> Interest {
        match line.target() == HYPER_UTIL {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        self.take(&message.0);
    }
}

const HYPER_UTIL: &str = "hyper_util::client::legacy::connect::http";

/// The text of a log line.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            write!(self.0, "{value:?}").expect("a string takes what is written");
        }
    }
}
