//! Which lookup is asked; it may change while requests run.

use std::sync::{Arc, Mutex, PoisonError};

use crate::lookup::{Lookup, System};

/// The lookup that was set, and whether the system is asked in its place.
pub(super) struct Lookups(Mutex<Both>);

struct Both {
    configured: Arc<dyn Lookup>,
    /// Made when it is first wanted.
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

    /// Returns the one to ask now.
    pub(super) fn current(&self) -> Arc<dyn Lookup> {
        self.edit(|both| match &both.system {
            Some(system) if both.use_system => Arc::clone(system) as Arc<dyn Lookup>,
            _ => Arc::clone(&both.configured),
        })
    }

    /// Returns whether this is a change.
    pub(super) fn use_system(&self, on: bool) -> bool {
        self.edit(|both| {
            both.system.get_or_insert_with(|| Arc::new(System::new()));
            std::mem::replace(&mut both.use_system, on) != on
        })
    }

    pub(super) fn configure(&self, lookup: Arc<dyn Lookup>) {
        self.edit(|both| both.configured = lookup);
    }

    /// Tells the configured one, for it may be asked again; the system knows by itself.
    pub(super) fn network_changed(&self) {
        let configured = self.edit(|both| Arc::clone(&both.configured));
        configured.network_changed();
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Both) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
