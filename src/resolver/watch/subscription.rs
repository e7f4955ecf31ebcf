//! The subscription to the system's notices.

use std::sync::Mutex;

/// The subscription to the notices of the system, which is dropped with the last resolver. The drop ends the thread.
#[derive(Default)]
pub(in crate::resolver) struct Watch(pub(super) Mutex<Option<Subscription>>);

/// A subscription to the notices of the system, which end when the subscription is dropped.
///
/// The channel has room for one notice. If a notice waits already, a further notice says nothing new and is dropped.
pub(super) type Subscription = Box<dyn Send>;
