//! Watches the system's interfaces: the one place with a thread.
//!
//! ```text
//! a notice of the system ▶ wait for the burst to end ▶ from where is the internet dialled now?
//!     ▶ from elsewhere: `network_changed`
//! ```

mod system;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Instant;

use super::config::SourceAddress;
use super::{Resolver, Shared};
use crate::error::BoxError;
use crate::time;
use crate::whereabouts::{Place, Whereabouts};

/// The system's network interfaces could not be watched.
#[derive(Debug, thiserror::Error)]
#[error(
    "could not watch the system's network interfaces: call Resolver::network_changed yourself when \
     the device has moved to another network"
)]
pub struct WatchFailed {
    source: BoxError,
}

/// What the system's notices end with. It ends with the last resolver, and its thread with it.
#[derive(Default)]
pub(super) struct Watch(Mutex<Option<Subscription>>);

/// Notices come until it is dropped. Each is sent where there is room: one that waits says it all.
type Subscription = Box<dyn Send>;

impl Resolver {
    /// Notices by itself when the device is on another network, and calls
    /// [`network_changed`](Self::network_changed).
    ///
    /// For programs on devices that move: phones, laptops, what connects by VPN. One call is enough
    /// for all clones, a second one does nothing. It needs no tokio runtime and lasts as long as
    /// the last clone, in a `static` for ever. While no interface changes it costs nothing but one
    /// thread that sleeps and, on all systems but Windows and Android, one that listens.
    /// [`Event::NetworkChanged`](crate::Event::NetworkChanged) is then told outside of any runtime.
    ///
    /// # What is another network
    ///
    /// When interfaces have changed and a second has passed without more of it (5 s at most), the
    /// system is asked from which addresses the internet would be dialled, and again 3 s and 10 s
    /// after the last change, for what comes late. It is another network when the IPv4 address or
    /// the /64 of the IPv6 address is not the one found last, or a family has come or gone.
    /// So another Wi-Fi, Wi-Fi for Ethernet and a VPN that takes everything count. Containers,
    /// virtual machines, link-local addresses and privacy addresses (RFC 8981) do not, and neither
    /// does a network that is gone for a while and comes back. A
    /// [`Builder::source_address`](crate::Builder::source_address) of yours is asked in place of the
    /// system.
    ///
    /// # What it does not see
    ///
    /// Another network that gives the device the same addresses; another gateway or name server on
    /// the same one; a VPN that takes some destinations only; a captive portal before and after
    /// its page is accepted. Call [`network_changed`](Self::network_changed) if your program knows.
    ///
    /// # Errors
    ///
    /// [`WatchFailed`] when the system refuses, as when there are no more file descriptors; and on
    /// systems other than Linux, Android, macOS, iOS, FreeBSD and Windows. On Android the Rust part
    /// must have the app's `Context` by the crate `ndk-context`, the app the permission
    /// `ACCESS_NETWORK_STATE`, and the build an Android SDK.
    ///
    /// # Examples
    ///
    /// ```
    /// let resolver = sidestep::Resolver::new();
    /// if let Err(error) = resolver.watch_network() {
    ///     eprintln!("{error}: {:?}", std::error::Error::source(&error)); // all else works without
    /// }
    /// ```
    pub fn watch_network(&self) -> Result<(), WatchFailed> {
        self.shared
            .watch_by(system::subscribe)
            .map_err(|source| WatchFailed { source })
    }
}

impl Shared {
    fn watch_by(
        self: &Arc<Self>,
        subscribe: impl FnOnce(SyncSender<()>) -> Result<Subscription, BoxError>,
    ) -> Result<(), BoxError> {
        let mut watch = self.watch.0.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.is_none() {
            let (notice, notices) = sync_channel(1);
            let subscription = subscribe(notice)?;
            let source_of = self.config.source_of();
            let shared = Arc::downgrade(self);
            thread::Builder::new()
                .name("sidestep-watch".into())
                .spawn(move || follow(&notices, &*source_of, &shared))?;
            *watch = Some(subscription);
        }
        Ok(())
    }
}

/// Ends with the notices, which end with the last resolver; until then it holds that weakly.
fn follow(notices: &Receiver<()>, source_of: &SourceAddress, shared: &Weak<Shared>) {
    let mut whereabouts = Whereabouts::at(Place::of(source_of));
    loop {
        match wait(notices, whereabouts.due()) {
            Ok(()) => whereabouts.notice(time::now()),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                // What a user's source_address, lookup or observer panics at must not end the watch.
                let look = AssertUnwindSafe(|| {
                    if whereabouts.look(Place::of(source_of))
                        && let Some(shared) = shared.upgrade()
                    {
                        shared.network_changed();
                    }
                });
                let _: thread::Result<()> = catch_unwind(look);
            }
        }
    }
}

fn wait(notices: &Receiver<()>, due: Option<Instant>) -> Result<(), RecvTimeoutError> {
    match due {
        Some(due) => notices.recv_timeout(due.saturating_duration_since(time::now())),
        None => notices
            .recv()
            .map_err(|_ended| RecvTimeoutError::Disconnected),
    }
}

#[cfg(test)]
mod tests;
