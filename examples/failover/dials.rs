//! Counts every connect that a client begins, from hyper-util's own log.
//!
//! An edge that refuses or swallows packets cannot count who dials it.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Level, Metadata};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// Connects begun so far, by address; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dials(Arc<Mutex<HashMap<SocketAddr, usize>>>);

impl Dials {
    /// Begins to count, for the whole process.
    pub(crate) fn watch() -> Self {
        let dials = Self::default();
        let log = tracing_subscriber::registry().with(dials.clone());
        tracing::subscriber::set_global_default(log).expect("nobody else listens to the log");
        dials
    }

    /// Counts the dials to `addr`, under its IPv4 or its IPv4-mapped form.
    pub(crate) fn to(&self, addr: SocketAddr) -> usize {
        self.edit(|dials| dials.get(&addr).copied().unwrap_or(0))
    }

    /// Counts the dials to any address with this port.
    pub(crate) fn to_port(&self, port: u16) -> usize {
        let with_port = |(addr, n): (&SocketAddr, &usize)| (addr.port() == port).then_some(*n);
        self.edit(|dials| dials.iter().filter_map(with_port).sum())
    }

    fn edit<T>(&self, change: impl FnOnce(&mut HashMap<SocketAddr, usize>) -> T) -> T {
        change(&mut self.0.lock().expect("no count panics"))
    }
}

impl<S: Subscriber> Layer<S> for Dials {
    /// Switches every other line of every crate's log off where it stands.
    fn register_callsite(&self, line: &'static Metadata<'static>) -> Interest {
        match *line.level() == Level::DEBUG && line.target() == HYPER_UTIL {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        let addr = message.0.strip_prefix("connecting to ");
        if let Some(addr) = addr.and_then(|addr| addr.parse::<SocketAddr>().ok()) {
            let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
            self.edit(|dials| *dials.entry(addr).or_default() += 1);
        }
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
