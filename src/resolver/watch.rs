//! Watches the network interfaces of the system. Only this module starts a thread.
//!
//! ```text
//! notice of the system ▶ wait for the end of the burst ▶ find the source addresses of connects to the internet
//!     ▶ another network: `network_changed`
//! ```

mod subscription;
mod system;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, Weak};
use std::thread;
use std::time::Instant;

use self::subscription::Subscription;
pub(super) use self::subscription::Watch;
use super::{Inner, Resolver};
use crate::cache::SourceAddress;
use crate::error::BoxError;
use crate::resolver::network_monitor::{NetworkFingerprint, NetworkMonitor};
use crate::time;

/// The error of [`Resolver::watch_network`], if the system's network interfaces cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error(
    "could not watch the system's network interfaces: call Resolver::network_changed yourself when \
     the device has moved to another network"
)]
pub struct WatchError {
    source: BoxError,
}

impl Resolver {
    /// Calls [`network_changed`](Self::network_changed) whenever the device moves to another network.
    ///
    /// Use the watch in programs on devices that move, such as phones, laptops and devices that connect by VPN. One
    /// call serves all clones, and a second call does nothing. The watch needs no tokio runtime and lasts as long as
    /// the last clone, which is forever for a resolver in a `static`. While no interface changes, the watch costs one
    /// thread that sleeps and, except on Windows and Android, one thread that listens. The thread emits
    /// [`Event::NetworkChanged`](crate::Event::NetworkChanged) outside of any runtime.
    ///
    /// # What is another network
    ///
    /// After a change of interfaces, the watch waits until no further change has come for a second, but at most 5 s.
    /// The watch then finds the source addresses of connects to the internet. Because some changes come late, the
    /// watch does so again 3 s and 10 s after the last change. The network is another one if the IPv4 source address
    /// or the /64 of the IPv6 source address has changed, or if a family has come or gone.
    ///
    /// | change | another network |
    /// |---|---|
    /// | another Wi-Fi, Wi-Fi instead of Ethernet, a VPN that takes all traffic | yes |
    /// | containers, virtual machines, link-local addresses, privacy addresses (RFC 8981) | no |
    /// | a network that is gone for a while and comes back | no |
    ///
    /// If [`ResolverBuilder::source_address`](crate::ResolverBuilder::source_address) is set, that function returns
    /// the source addresses instead of the system.
    ///
    /// # What the watch does not see
    ///
    /// The watch does not notice these changes. Call [`network_changed`](Self::network_changed) if your program does.
    ///
    /// - Another network gives the device the same addresses.
    /// - The network gets another gateway or name server.
    /// - A VPN takes only some destinations.
    /// - The page of a captive portal is accepted.
    ///
    /// # Errors
    ///
    /// Returns a [`WatchError`] if the system refuses, for example without a free file descriptor, and on systems
    /// other than Linux, Android, macOS, iOS, FreeBSD and Windows. On Android, the Rust part must have the app's
    /// `Context` by the crate `ndk-context`, the app must have the permission `ACCESS_NETWORK_STATE`, and the build
    /// needs an Android SDK.
    ///
    /// # Examples
    ///
    /// ```
    /// let resolver = sidestep::Resolver::new();
    /// if let Err(error) = resolver.watch_network() {
    ///     eprintln!("{error}: {:?}", std::error::Error::source(&error)); // the resolver works without the watch
    /// }
    /// ```
    pub fn watch_network(&self) -> Result<(), WatchError> {
        self.shared
            .watch_by(system::subscribe)
            .map_err(|source| WatchError { source })
    }
}

impl Inner {
    fn watch_by(
        self: &Arc<Self>,
        subscribe: impl FnOnce(SyncSender<()>) -> Result<Subscription, BoxError>,
    ) -> Result<(), BoxError> {
        let mut watch = self.watch.0.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.is_none() {
            let (notice, notices) = sync_channel(1);
            let subscription = subscribe(notice)?;
            let source_of = self.cache.source_address();
            let shared = Arc::downgrade(self);
            thread::Builder::new()
                .name("sidestep-watch".into())
                .spawn(move || follow(&notices, &*source_of, &shared))?;
            *watch = Some(subscription);
        }
        Ok(())
    }
}

/// Runs the watch until the notices end, which they do when the last resolver is dropped.
///
/// The thread holds the resolver weakly.
fn follow(notices: &Receiver<()>, source_of: &SourceAddress, shared: &Weak<Inner>) {
    let mut monitor = NetworkMonitor::at(NetworkFingerprint::of(source_of));
    loop {
        match wait(notices, monitor.due()) {
            Ok(()) => monitor.notice(time::now()),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                // A panic of the user's `source_address`, lookup or observer must not end the watch.
                let look = AssertUnwindSafe(|| {
                    if monitor.check(NetworkFingerprint::of(source_of))
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
