//! Reports every attempt that a client begins, from the log of hyper-util.
//!
//! An edge that refuses or swallows packets cannot count attempts.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Metadata};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// Calls `tell` at each attempt of this process from now on, in the task that begins the attempt. An IPv4-mapped
/// address is passed as an IPv4 address.
pub fn tell_each(tell: impl Fn(SocketAddr) + Send + Sync + 'static) {
    each_line(move |line| {
        let addr = line.strip_prefix("connecting to ");
        if let Some(addr) = addr.and_then(|addr| addr.parse::<SocketAddr>().ok()) {
            tell(SocketAddr::new(addr.ip().to_canonical(), addr.port()));
        }
    });
}

/// Calls `take` with each line that the connector logs, in the task that logs the line.
pub fn each_line(take: impl Fn(&str) + Send + Sync + 'static) {
    let log = tracing_subscriber::registry().with(Lines(take));
    tracing::subscriber::set_global_default(log).expect("the program sets no other subscriber");
}

struct Lines<F>(F);

impl<S, F> Layer<S> for Lines<F>
where
    S: Subscriber,
    F: Fn(&str) + 'static,
{
    /// Turns off the logs of all other crates at the call sites.
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
        self.0(&message.0);
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
