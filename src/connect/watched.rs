//! One watched connect: waits for it and reports its end, however it comes.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper_util::client::legacy::connect::Connection;

use super::info::info;
use super::observer::{Observer, Patience};
use super::pending::Pending;
use crate::attempt::{Note, Slip};
use crate::ends::Ends;
use crate::error::BoxError;
use crate::resolver::{Account, Ending};
use crate::{Outcome, outcome, time, tunnel};

/// A connect under a slip, whose end is reported.
///
/// A drop is a soft strike against the address if the connect was slow or nearly so, and otherwise says nothing.
pub(crate) struct Watched<F> {
    // Boxed: a task-local scope can't be moved once polled, and hyper-util wants to move it.
    pending: Pin<Box<Pending<F>>>,
    slip: Slip,
    by: Observer,
    patience: Patience,
    asked_outside: u64,
    watch: Watch,
}

/// A connect that came to nothing.
pub(crate) struct Unmade {
    pub(crate) ending: Ending,
    pub(crate) error: BoxError,
    /// After how long the watch gave it up.
    pub(crate) given_up_after: Option<Duration>,
}

/// How far the watch over a pending connect has come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Watch {
    /// The connect is not slow yet.
    Pending,
    /// The connect is slow. The watch looks at `next` for something better.
    Slow { next: Instant },
    /// The connect has ended, or nothing follows from waiting longer.
    Over,
}

impl<F> Watched<F> {
    pub(crate) fn new(connecting: F, slip: Slip, by: Observer, patience: Patience) -> Self
    where
        F: Future,
    {
        let pending = Box::pin(Pending::new(slip.around(connecting)));
        let asked_outside = by.resolver.inner().unslipped();
        let watch = match patience {
            Patience::Inside => Watch::Over,
            Patience::Alone | Patience::Redialled | Patience::Raced => Watch::Pending,
        };
        Self {
            pending,
            slip,
            by,
            patience,
            asked_outside,
            watch,
        }
    }

    pub(crate) fn slip(&self) -> &Slip {
        &self.slip
    }

    /// Gives an account of one that has ended so.
    pub(crate) fn account(&self, ending: &Ending) -> Option<Account> {
        let reach = self.by.reached.so_far();
        let account = self.by.resolver.inner().account(&self.slip, reach, ending);
        account.filter(|_| self.patience != Patience::Inside)
    }

    /// Reports the connect as slow if it began before `before` and was not reported yet.
    pub(crate) fn report_pending_since(&mut self, before: Instant) {
        if self.watch == Watch::Pending && self.slip.only_note().is_some_and(|it| it.at < before) {
            self.slow();
        }
    }

    /// Reports that another attempt of the race was quicker. `is_beaten`: the other attempt started a whole delay
    /// later. The report counts behind a proxy, too, because the origin is the same.
    pub(crate) fn lost(mut self, is_beaten: bool) {
        if is_beaten && self.watch == Watch::Pending {
            self.by.resolver.inner().lost(&self.slip);
        }
        self.watch = Watch::Over;
    }

    /// Says that it has taken too long.
    pub(crate) fn timed_out(mut self) {
        self.hangs(&Ending::GivenUp);
        self.watch = Watch::Over;
    }

    /// Reports the connect as pending. If TCP to a proxy is known to be up, the origin may be what hangs, and nothing
    /// is reported.
    fn hangs(&self, ending: &Ending) {
        if !(self.slip.is_up() && self.is_behind_a_proxy()) {
            self.end(ending);
        }
    }

    fn connected(&self, connection: &impl Connection) {
        let Some(info) = info(connection) else {
            return self.end(&Ending::Nameless);
        };
        let ends = Ends::of(&info);
        let peer = ends.remote.ip();
        let note = self.slip.note_with(peer);
        let first = note.and_then(|note| note.dealt.as_slice().first().copied());
        self.by.reached.note(peer, first);
        self.end(&Ending::Connected(ends));
        if self.slip.is_blank() {
            let shared = self.by.resolver.inner();
            shared.check_blank_slip(self.asked_outside, peer);
        }
    }

    /// What an error says of the addresses that were dealt.
    fn ending(&self, error: &(dyn StdError + 'static)) -> Ending {
        let (outcome, text) = (Outcome::of(error), outcome::text(error));
        let shared = self.by.resolver.inner();
        let outcome = shared.without_ports(&self.slip, outcome, error);
        if let Some((addr, _)) = outcome::foreign::socks_connect(error) {
            return Ending::FailedAt(addr, outcome, text);
        }
        let target = self.by.target();
        let is_behind =
            |note: Note| tunnel::is_behind(error, target.as_deref(), note.host.as_str());
        match self.slip.only_note().is_some_and(is_behind) {
            true => Ending::Failed(Outcome::Unknown, text),
            false => Ending::Failed(outcome, text),
        }
    }

    fn end(&self, ending: &Ending) {
        if self.patience == Patience::Inside {
            return;
        }
        let reach = self.by.reached.so_far();
        self.by.resolver.inner().ended(&self.slip, reach, ending);
    }

    /// Waits beside a pending connect: reports that it is slow, then gives it up for something better.
    fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<Unmade> {
        while self.watch != Watch::Over {
            if !self.pending.has_alarm() {
                let Some(due) = self.due() else {
                    return Poll::Pending;
                };
                self.pending.as_mut().set_alarm(due);
            }
            let due = ready!(self.pending.as_mut().poll_alarm(cx));
            match self.watch {
                // The recent connects may have become slower meanwhile.
                Watch::Pending if self.slow_at() > Some(due) => continue,
                Watch::Pending => self.slow(),
                Watch::Slow { .. } => {
                    self.search_again(time::now());
                    self.watch = self.next_look(time::now());
                }
                Watch::Over => {}
            }
            if let Some(ending) = self.better_ending(due) {
                self.watch = Watch::Over;
                return Poll::Ready(self.given_up(ending));
            }
        }
        Poll::Pending
    }

    /// Whether the connect goes to a proxy, so that the origin may take the time.
    fn is_behind_a_proxy(&self) -> bool {
        let (target, note) = (self.by.target(), self.slip.only_note());
        target.is_some_and(|target| note.is_some_and(|note| note.host.as_str() != &*target))
    }

    /// Time counts from when the addresses were known: a slow lookup is no fault of theirs.
    fn slow_at(&self) -> Option<Instant> {
        let shared = self.by.resolver.inner();
        let note = self.slip.only_note()?;
        let after = match self.patience {
            Patience::Raced => shared.slow_after_in_race(&note.host),
            Patience::Alone | Patience::Redialled | Patience::Inside => {
                shared.slow_after(&note.host)
            }
        };
        Some(note.at + after)
    }

    fn slow(&mut self) {
        self.hangs(&Ending::Stalled);
        self.watch = self.next_look(time::now());
    }

    /// DNS may follow later than the first lookup.
    fn search_again(&self, now: Instant) {
        if let Some(note) = self.slip.only_note()
            && now >= note.at + HANGS
        {
            self.by.resolver.inner().search_again(&note, now);
        }
    }

    /// A look finds a change within [`LOOK`]; the one after which a give-up is allowed comes at its time.
    fn next_look(&self, now: Instant) -> Watch {
        let shared = self.by.resolver.inner();
        let next = match self.patience {
            Patience::Alone => self.times_out_at().map(|end| end.max(now + LOOK)),
            Patience::Redialled => {
                let note = self.slip.only_note();
                let all_slow_at = note.map(|note| shared.all_slow_at(&note, self.slip.is_up()));
                let all_slow_at = all_slow_at.filter(|at| *at > now);
                Some(all_slow_at.map_or(now + LOOK, |at| at.min(now + LOOK)))
            }
            Patience::Raced | Patience::Inside => None,
        };
        next.map_or(Watch::Over, |next| Watch::Slow { next })
    }

    /// How a slow connect is given up now, if there is something better.
    fn better_ending(&self, now: Instant) -> Option<Ending> {
        if self.watch == Watch::Over {
            return None;
        }
        let (shared, note) = (self.by.resolver.inner(), self.slip.only_note()?);
        let may_be_the_origin = self.slip.is_up() && self.is_behind_a_proxy();
        if self.patience == Patience::Redialled
            && !may_be_the_origin
            && shared.is_better_given_up(&note, self.slip.is_up(), now)
        {
            return Some(Ending::Stalled);
        }
        let is_over = self.times_out_at().is_some_and(|end| end <= now);
        (is_over && shared.may_connect_elsewhere(&note, now)).then_some(Ending::GivenUp)
    }

    /// When there is something to do. A race watches the time of its attempts itself.
    fn due(&self) -> Option<Instant> {
        match self.watch {
            Watch::Pending if self.patience == Patience::Raced => None,
            Watch::Pending => self.slow_at(),
            Watch::Slow { next } => Some(next),
            Watch::Over => None,
        }
    }

    fn times_out_at(&self) -> Option<Instant> {
        let shared = self.by.resolver.inner();
        let timeout = shared.config().attempt_timeout?;
        let note = self.slip.only_note()?;
        Some(note.at + timeout.max(shared.slow_after(&note.host)))
    }

    fn failed(&self, error: BoxError) -> Unmade {
        let ending = self.ending(&*error);
        self.end(&ending);
        Unmade {
            ending,
            error,
            given_up_after: None,
        }
    }

    fn given_up(&self, ending: Ending) -> Unmade {
        let note = self.slip.only_note();
        match &note {
            Some(note) if matches!(ending, Ending::Stalled) => {
                let shared = self.by.resolver.inner();
                shared.doubt_second_lane(note, self.slip.is_up());
            }
            _ => self.hangs(&ending),
        }
        let after = note.map(|note| time::now().saturating_duration_since(note.at));
        Unmade {
            ending,
            error: io::Error::from(io::ErrorKind::TimedOut).into(),
            given_up_after: Some(after.unwrap_or_default()),
        }
    }
}

/// A connect hangs after this time, within which the system sends a SYN three times.
pub(crate) const HANGS: Duration = Duration::from_secs(3);
/// A slow connect looks so often whether there is something better.
const LOOK: Duration = Duration::from_millis(100);

impl<F, C, E> Future for Watched<F>
where
    F: Future<Output = Result<C, E>>,
    C: Connection,
    E: Into<BoxError>,
{
    type Output = Result<C, Unmade>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Poll::Ready(ended) = this.pending.as_mut().poll_connect(cx) else {
            return this.poll_watch(cx).map(Err);
        };
        this.watch = Watch::Over;
        Poll::Ready(match ended {
            Ok(connection) => {
                this.connected(&connection);
                Ok(connection)
            }
            Err(error) => Err(this.failed(error.into())),
        })
    }
}

impl<F> Drop for Watched<F> {
    /// A timeout as long as the watch began with the connect, and so ends a moment before it: a
    /// drop in the last tenth has been pending for long enough.
    fn drop(&mut self) {
        if self.watch != Watch::Pending {
            return;
        }
        if let Some((due, note)) = self.slow_at().zip(self.slip.only_note())
            && due <= time::now() + due.saturating_duration_since(note.at) / 10
        {
            self.hangs(&Ending::Stalled);
        }
    }
}
