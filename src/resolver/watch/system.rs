//! Subscribes to the notices of the system about its interfaces, by the crate netwatcher.

use std::sync::mpsc::SyncSender;

use super::Subscription;
use crate::error::BoxError;

/// Subscribes to the notices. `Cargo.toml` lists the same systems.
#[cfg(any(
    target_os = "android",
    target_os = "freebsd",
    target_os = "linux",
    target_vendor = "apple",
    windows
))]
pub(super) fn subscribe(notice: SyncSender<()>) -> Result<Subscription, BoxError> {
    let watch = netwatcher::watch_interfaces_with_callback(move |_update| {
        // If the channel is full, a notice waits already. If the channel is closed, the watch has ended.
        let _ = notice.try_send(());
    })?;
    Ok(Box::new(watch))
}

#[cfg(not(any(
    target_os = "android",
    target_os = "freebsd",
    target_os = "linux",
    target_vendor = "apple",
    windows
)))]
pub(super) fn subscribe(_notice: SyncSender<()>) -> Result<Subscription, BoxError> {
    Err("on this operating system they can't be watched".into())
}
