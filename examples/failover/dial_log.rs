//! Tells of every connect that a client begins, from hyper-util's own log.
//!
//! An edge that refuses or swallows packets cannot tell who dials it.
#![allow(dead_code, reason = "each target uses a part")]

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Metadata};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// Calls `tell` at each connect of this process from now on, in the task that begins it. An
/// IPv4-mapped address is told as the IPv4 address that it is.
pub(crate) fn tell_each(tell: impl Fn(SocketAddr) + Send + Sync + 'static) {
    each_line(move |line| {
        let addr = line.strip_prefix("connecting to ");
        if let Some(addr) = addr.and_then(|addr| addr.parse::<SocketAddr>().ok()) {
            tell(SocketAddr::new(addr.ip().to_canonical(), addr.port()));
        }
    });
}

/// Hands each line that the connector logs to `take`, in the task that logs it.
pub(crate) fn each_line(take: impl Fn(&str) + Send + Sync + 'static) {
    let log = tracing_subscriber::registry().with(Lines(take));
    tracing::subscriber::set_global_default(log).expect("the program sets no other subscriber");
}

struct Lines<F>(F);

impl<S, F> Layer<S> for Lines<F>
where
    S: Subscriber,
    F: Fn(&str) + 'static,
{
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
