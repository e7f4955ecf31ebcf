//! The current lookup, which the program may change while requests run.

use std::sync::{Arc, Mutex, PoisonError};

use crate::lookup::{Lookup, System};

/// The configured lookup, and whether the system's lookup is used in its place.
pub(super) struct Lookups(Mutex<Both>);

struct Both {
    configured: Arc<dyn Lookup>,
    /// Made at the first call of [`Lookups::use_system`].
    system: Option<Arc<System>>,
    use_system: bool,
}

impl Lookups {
    pub(super) fn new(configured: Arc<dyn Lookup>) -> Self {
        Self(Mutex::new(Both {
            configured,
            system: None,
            use_system: false,
        }))
    }

    /// Returns the lookup that is in use.
    pub(super) fn current(&self) -> Arc<dyn Lookup> {
        self.edit(|both| match &both.system {
            Some(system) if both.use_system => Arc::clone(system) as Arc<dyn Lookup>,
            _ => Arc::clone(&both.configured),
        })
    }

    /// Switches the system's lookup on or off, and returns whether that is a change.
    pub(super) fn use_system(&self, on: bool) -> bool {
        self.edit(|both| {
            both.system.get_or_insert_with(|| Arc::new(System::new()));
            std::mem::replace(&mut both.use_system, on) != on
        })
    }

    pub(super) fn configure(&self, lookup: Arc<dyn Lookup>) {
        self.edit(|both| both.configured = lookup);
    }

    /// Notifies the configured lookup of a change of the network.
    ///
    /// The configured lookup may be used again later, if it is not in use now. The system's lookup needs no
    /// notification.
    pub(super) fn network_changed(&self) {
        let configured = self.edit(|both| Arc::clone(&both.configured));
        configured.network_changed();
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Both) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
