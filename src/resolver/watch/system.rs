//! Notices of the system, by the crate netwatcher.

use std::sync::mpsc::SyncSender;

use super::Subscription;
use crate::error::BoxError;

/// The same systems stand in `Cargo.toml`.
#[cfg(any(
    target_os = "android",
    target_os = "freebsd",
    target_os = "linux",
    target_vendor = "apple",
    windows
))]
pub(super) fn subscribe(notice: SyncSender<()>) -> Result<Subscription, BoxError> {
    let watch = netwatcher::watch_interfaces_with_callback(move |_update| {
        // Full: one notice waits already. Closed: nobody listens any more.
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
