//! An answer, and which of its host's it is.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::flight::Brought;
use crate::order::Addrs;

/// Counts the invalidations of one host.
///
/// An answer carries the generation at which its lookup was *sent*: an answer older than its
/// host is suspect, and a lookup sent before an invalidation cannot clear the mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u64);

impl Generation {
    /// Of an answer that no lookup brought: there is none to be marked.
    const NONE: Self = Self(u64::MAX);

    pub(super) fn bump(&mut self) {
        self.0 = self.0.saturating_add(1);
    }
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Lookup,
    /// This edition of the table of fallbacks.
    Fallback(u32),
    /// The table of pins.
    Pin,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) addrs: Addrs,
    pub(crate) origin: Origin,
    pub(crate) generation: Generation,
    pub(crate) asked_at: Instant,
    pub(crate) refresh_at: Instant,
    pub(crate) expires_at: Instant,
    /// Whether one family's addresses are missing, which may be there.
    pub(crate) is_partial: bool,
    used: AtomicBool,
    /// Whether the answer was served stale.
    was_stale: AtomicBool,
    turn: AtomicU32,
    /// How many answers of the host before this one, and this one, had a new address.
    changes: AtomicU32,
    /// When the addresses of a family were asked for whose lookup has failed since.
    kept_from: Option<Instant>,
}

impl Known {
    pub(super) fn new(brought: &Brought, generation: Generation, asked_at: Instant) -> Self {
        Self {
            addrs: brought.addrs.clone(),
            origin: brought.origin,
            generation,
            asked_at,
            refresh_at: asked_at + brought.refresh_after,
            expires_at: asked_at + brought.life,
            is_partial: brought.is_partial,
            used: AtomicBool::new(false),
            was_stale: AtomicBool::new(false),
            turn: AtomicU32::new(0),
            changes: AtomicU32::new(0),
            kept_from: None,
        }
    }

    /// An answer that came out of turn, as after a failed connect, leaves the next lookup ahead where
    /// it was. A dead edge makes all processes of a fleet ask within seconds; were each to count from
    /// there, they would ask together ever after. A partial answer's turn comes sooner than the whole
    /// one's, and is not kept.
    pub(super) fn in_turn_with(self, old: &Self, now: Instant) -> Self {
        match now < old.refresh_at && !old.is_partial {
            true => Self {
                refresh_at: self.refresh_at.min(old.refresh_at),
                ..self
            },
            false => self,
        }
    }

    /// An answer that remembers what the one before it has named.
    pub(super) fn after(self, old: &Self) -> Self {
        Self {
            addrs: self.addrs.after(&old.addrs),
            ..self
        }
    }

    /// An answer that one family's lookup failed for, with that family's addresses of the answer
    /// before: a failure on one side ends nothing on the other.
    pub(super) fn completed(self, old: &Self) -> Self {
        match self.addrs.completed(&old.addrs) {
            Some(addrs) => Self {
                addrs,
                is_partial: false,
                kept_from: Some(old.kept_from.unwrap_or(old.asked_at)),
                ..self
            },
            None => self,
        }
    }

    /// How long ago it had been asked for, or taken from the fallbacks; for pins nobody is asked.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        match self.origin {
            Origin::Pin => Duration::ZERO,
            Origin::Lookup | Origin::Fallback(_) => now.saturating_duration_since(self.asked_at),
        }
    }

    /// From when on nothing of it may be kept: as long after the oldest part of it was asked for as
    /// an answer may be served past its life.
    pub(super) fn gone_at(&self, serve_stale: Duration) -> Instant {
        match self.kept_from {
            Some(kept_from) => kept_from + serve_stale,
            None => self.expires_at + serve_stale,
        }
    }

    /// What the program itself knows, taken now; not asked again before then.
    pub(super) fn fallen_back(
        brought: &Brought,
        generation: Generation,
        not_before: Instant,
        now: Instant,
    ) -> Self {
        let known = Self::new(brought, generation, now);
        let ahead = brought.life.saturating_sub(brought.refresh_after);
        Self {
            refresh_at: known.refresh_at.max(not_before),
            expires_at: known.expires_at.max(not_before + ahead),
            ..known
        }
    }

    /// The same answer with other addresses: its times stay.
    pub(super) fn refitted(&self, brought: &Brought) -> Self {
        Self {
            refresh_at: self.refresh_at,
            expires_at: self.expires_at,
            turn: AtomicU32::new(self.turn.load(Ordering::Relaxed)),
            ..Self::new(brought, self.generation, self.asked_at)
        }
    }

    /// An answer that is never kept. `turn` tells how many came before it.
    pub(crate) fn pinned(addrs: Addrs, turn: u32, now: Instant) -> Self {
        Self {
            addrs,
            origin: Origin::Pin,
            generation: Generation::NONE,
            asked_at: now,
            refresh_at: now,
            expires_at: now,
            is_partial: false,
            used: AtomicBool::new(true),
            was_stale: AtomicBool::new(false),
            turn: AtomicU32::new(turn),
            changes: AtomicU32::new(0),
            kept_from: None,
        }
    }

    /// Whether it may be served at all, in its life or so long past it.
    pub(crate) fn may_be_served(&self, now: Instant, serve_stale: Duration) -> bool {
        now < self.expires_at + serve_stale
    }

    /// Whether it is what another edition of the fallbacks said.
    pub(crate) fn is_outdated(&self, edition: impl FnOnce() -> u32) -> bool {
        matches!(self.origin, Origin::Fallback(of) if of != edition())
    }

    /// Returns true for the first one who uses this answer, and never again.
    pub(crate) fn is_first_use(&self) -> bool {
        // Read before written: a write at each use would be shared by all threads.
        !self.used.load(Ordering::Relaxed) && !self.used.swap(true, Ordering::Relaxed)
    }

    /// Returns true when the answer is served stale for the first time, and never again.
    pub(crate) fn is_first_stale(&self) -> bool {
        !self.was_stale.load(Ordering::Relaxed) && !self.was_stale.swap(true, Ordering::Relaxed)
    }

    /// Whether somebody asked for it after it had come.
    pub(super) fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// The next use is the first again: a lookup ahead has failed, and is to be repeated.
    pub(crate) fn forget_use(&self) {
        self.used.store(false, Ordering::Relaxed);
    }

    /// Continues the counts of the answer before. `is_new`: this answer has a new address.
    pub(super) fn continue_counts(&self, old: &Self, is_new: bool) {
        let turn = old.turn.load(Ordering::Relaxed);
        self.turn.store(turn, Ordering::Relaxed);
        let changes = old.changes.load(Ordering::Relaxed);
        self.changes
            .store(changes.saturating_add(is_new.into()), Ordering::Relaxed);
    }

    /// Returns how many answers of the host until this one had a new address.
    #[cfg(feature = "__again")]
    pub(crate) fn changes(&self) -> u32 {
        self.changes.load(Ordering::Relaxed)
    }

    #[cfg(all(test, feature = "__again"))]
    pub(crate) fn with_changes(self, changes: u32) -> Self {
        let changes = AtomicU32::new(changes);
        Self { changes, ..self }
    }

    /// Returns how often it was called before, for this answer and those before it.
    pub(crate) fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) as usize
    }
}
