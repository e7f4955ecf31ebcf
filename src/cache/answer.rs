//! An answer of a host, and the generation at which its lookup was sent.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::addrs::AddressSet;
use crate::events::AnswerSource;

/// Counts the invalidations of one host.
///
/// An answer carries the generation at which its lookup was *sent*. If that generation is lower than the host's, the
/// answer is suspect. A lookup that was sent before an invalidation therefore does not clear the mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u64);

impl Generation {
    /// The generation of an override, which no invalidation marks as suspect.
    const NONE: Self = Self(u64::MAX);

    /// Returns a generation that is higher than all of the `hosts` hosts that were added before.
    ///
    /// A host that is removed and added again therefore has other generations than before.
    pub(super) fn of_new_host(hosts: u64) -> Self {
        Self(hosts << 32)
    }

    pub(super) fn bump(&mut self) {
        self.0 = self.0.saturating_add(1);
    }
}

/// The source of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Lookup,
    /// The table of fallbacks.
    Fallback,
    /// The table of overrides.
    Override,
}

/// An answer of a host. The cache keeps the answers of lookups only.
#[derive(Debug)]
pub(crate) struct CachedAnswer {
    pub(crate) addrs: AddressSet,
    pub(crate) origin: Origin,
    pub(crate) generation: Generation,
    pub(crate) asked_at: Instant,
    pub(crate) refresh_at: Instant,
    pub(crate) expires_at: Instant,
    /// Whether the addresses of one family are missing because its lookup failed or is pending.
    pub(crate) is_partial: bool,
    used: AtomicBool,
    /// Whether the answer was served stale.
    was_stale: AtomicBool,
    turn: AtomicU32,
    /// Number of answers of the host, up to this one, that had a new address.
    changes: AtomicU32,
    /// When the lookup of a family that was kept from an older answer was sent.
    ///
    /// `None` if no family was kept.
    kept_from: Option<Instant>,
}

/// Addresses that a lookup returned, and their lifetime.
#[derive(Clone, Debug)]
pub(crate) struct FreshAddresses {
    pub(crate) addrs: AddressSet,
    /// Whether the addresses of one family are missing because its lookup failed or is pending.
    pub(crate) is_partial: bool,
    pub(crate) life: Duration,
    /// Time after which an answer in use is refreshed.
    pub(crate) refresh_after: Duration,
}

impl CachedAnswer {
    pub(super) fn new(
        fresh_addrs: &FreshAddresses,
        generation: Generation,
        asked_at: Instant,
    ) -> Self {
        Self {
            addrs: fresh_addrs.addrs.clone(),
            origin: Origin::Lookup,
            generation,
            asked_at,
            refresh_at: asked_at + fresh_addrs.refresh_after,
            expires_at: asked_at + fresh_addrs.life,
            is_partial: fresh_addrs.is_partial,
            used: AtomicBool::new(false),
            was_stale: AtomicBool::new(false),
            turn: AtomicU32::new(0),
            changes: AtomicU32::new(0),
            kept_from: None,
        }
    }

    /// Returns the answer with the refresh time of `old`, if that time is earlier and still to come.
    ///
    /// An unscheduled lookup, as after a failed connect, therefore does not move the next refresh. Otherwise all
    /// processes of a fleet that lost the same address within seconds would refresh in lockstep from then on. The
    /// refresh time of a partial answer is not kept, because a partial answer is refreshed sooner than a whole one.
    pub(super) fn in_turn_with(self, old: &Self, now: Instant) -> Self {
        match now < old.refresh_at && !old.is_partial {
            true => Self {
                refresh_at: self.refresh_at.min(old.refresh_at),
                ..self
            },
            false => self,
        }
    }

    /// Adds the addresses that earlier answers named to the memory of this answer.
    pub(super) fn after(self, old: &Self) -> Self {
        Self {
            addrs: self.addrs.after(&old.addrs),
            ..self
        }
    }

    /// Returns the answer with the addresses of `old` for the family that is missing here, if `old` has any.
    ///
    /// The failed lookup of one family therefore does not remove the addresses of that family.
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

    /// Returns the source of the answer, given whether the answer is suspect.
    pub(crate) fn source(&self, is_suspect: bool, now: Instant) -> AnswerSource {
        match self.origin {
            Origin::Override => AnswerSource::Override,
            Origin::Fallback => AnswerSource::Fallback,
            Origin::Lookup if now >= self.expires_at => AnswerSource::Stale,
            Origin::Lookup if is_suspect => AnswerSource::Suspect,
            Origin::Lookup => AnswerSource::Fresh,
        }
    }

    /// Returns the time since the lookup was sent; zero for an override or a fallback.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        match self.origin {
            Origin::Override | Origin::Fallback => Duration::ZERO,
            Origin::Lookup => now.saturating_duration_since(self.asked_at),
        }
    }

    /// Returns how long the answer stays fresh. `None`: an answer from a table does not expire.
    pub(crate) fn expires_in(&self, now: Instant) -> Option<Duration> {
        let left = self.expires_at.saturating_duration_since(now);
        (self.origin == Origin::Lookup).then_some(left)
    }

    /// Returns when addresses of the answer may no longer complete a partial answer.
    ///
    /// If the answer has a family that was kept from an older answer, the time is `max_stale` after the lookup of that
    /// family was sent. Otherwise the time is `max_stale` after the answer expires.
    pub(super) fn gone_at(&self, max_stale: Duration) -> Instant {
        match self.kept_from {
            Some(kept_from) => kept_from + max_stale,
            None => self.expires_at + max_stale,
        }
    }

    /// Returns an answer from the overrides.
    pub(crate) fn overridden(addrs: AddressSet, now: Instant) -> Self {
        Self::of_table(addrs, Origin::Override, Generation::NONE, now)
    }

    /// Returns an answer from the fallbacks. `generation` is that of the host.
    pub(crate) fn fallback(addrs: AddressSet, generation: Generation, now: Instant) -> Self {
        Self::of_table(addrs, Origin::Fallback, generation, now)
    }

    fn of_table(addrs: AddressSet, origin: Origin, generation: Generation, now: Instant) -> Self {
        Self {
            addrs,
            origin,
            generation,
            asked_at: now,
            refresh_at: now,
            expires_at: now,
            is_partial: false,
            used: AtomicBool::new(true),
            was_stale: AtomicBool::new(false),
            turn: AtomicU32::new(0),
            changes: AtomicU32::new(0),
            kept_from: None,
        }
    }

    /// Returns whether the answer is fresh, or has been expired for less than `max_stale`.
    pub(crate) fn may_be_served(&self, now: Instant, max_stale: Duration) -> bool {
        now < self.expires_at + max_stale
    }

    /// Returns true for the first use of this answer, and false for later uses.
    pub(crate) fn is_first_use(&self) -> bool {
        // The flag is read first, because a write at each use would contend among all threads.
        !self.used.load(Ordering::Relaxed) && !self.used.swap(true, Ordering::Relaxed)
    }

    /// Returns true the first time that the answer is served stale, and false afterwards.
    pub(crate) fn is_first_stale(&self) -> bool {
        !self.was_stale.load(Ordering::Relaxed) && !self.was_stale.swap(true, Ordering::Relaxed)
    }

    /// Returns whether a caller got the answer from the cache.
    pub(super) fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Makes the next use count as the first use, so that a refresh is scheduled again.
    pub(crate) fn clear_used(&self) {
        self.used.store(false, Ordering::Relaxed);
    }

    /// Continues the counts of `old`. `is_new` is true if this answer has a new address.
    pub(super) fn continue_counts(&self, old: &Self, is_new: bool) {
        let turn = old.turn.load(Ordering::Relaxed);
        self.turn.store(turn, Ordering::Relaxed);
        let changes = old.changes.load(Ordering::Relaxed);
        self.changes
            .store(changes.saturating_add(is_new.into()), Ordering::Relaxed);
    }

    /// Returns the number of answers of the host, up to this one, that had a new address.
    pub(crate) fn changes(&self) -> u32 {
        self.changes.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn with_changes(self, changes: u32) -> Self {
        let changes = AtomicU32::new(changes);
        Self { changes, ..self }
    }

    /// Sets the number of earlier calls, because a table counts the calls of its rows itself.
    pub(crate) fn set_turn(&self, turn: u32) {
        self.turn.store(turn, Ordering::Relaxed);
    }

    /// Returns the number of earlier calls, for this answer and the host's answers before it.
    pub(crate) fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) as usize
    }
}
