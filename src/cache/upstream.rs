//! The current lookup, which the program may replace while requests run.

use std::sync::{Arc, Mutex, PoisonError};

use crate::lookup::Lookup;

/// The lookup that the resolver uses.
pub(super) struct CurrentLookup(Mutex<Arc<dyn Lookup>>);

impl CurrentLookup {
    pub(super) fn new(lookup: Arc<dyn Lookup>) -> Self {
        Self(Mutex::new(lookup))
    }

    pub(super) fn get(&self) -> Arc<dyn Lookup> {
        self.edit(|current| Arc::clone(current))
    }

    /// Replaces the lookup, and returns the previous one.
    pub(super) fn replace(&self, lookup: Arc<dyn Lookup>) -> Arc<dyn Lookup> {
        self.edit(|current| std::mem::replace(current, lookup))
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Arc<dyn Lookup>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
