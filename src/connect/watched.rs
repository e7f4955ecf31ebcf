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
use crate::error::BoxError;
use crate::resolver::{Account, Ending};
use crate::{Outcome, blame, outcome, time, tunnel};

/// A connect under a slip, whose end is reported.
///
/// Dropped, it is a soft strike against its address if it was pending for nearly
/// [`stalled_after`](crate::Builder::stalled_after), and says nothing if not.
pub(crate) struct Watched<F> {
    // Boxed: a task-local scope can't be moved once polled, and hyper-util wants to move it.
    pending: Pin<Box<Pending<F>>>,
    slip: Slip,
    by: Observer,
    patience: Patience,
    asked_outside: u64,
    watch: Watch,
    looks: u32,
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
    /// Until it is held to be slow.
    ForStall,
    /// Until it is given up.
    ForTimeout,
    /// It ended, or nothing more follows from waiting.
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
            Patience::Alone | Patience::Redialled | Patience::Raced => Watch::ForStall,
        };
        Self {
            pending,
            slip,
            by,
            patience,
            asked_outside,
            watch,
            looks: 0,
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

    /// Says that it has been pending for too long, if that was not told yet.
    pub(crate) fn is_slow(&mut self) {
        if self.watch == Watch::ForStall {
            self.stalled();
        }
    }

    /// Says that another one was quicker, and whether this one was beaten though it began earlier: then
    /// it counts as slow, if it is not only as slow as others were. Behind a proxy too, for the origin was
    /// the same.
    pub(crate) fn lost(mut self, is_beaten: bool) {
        if is_beaten && self.by.resolver.inner().is_unusual(&self.slip) {
            self.is_slow();
        }
        self.watch = Watch::Over;
    }

    /// Says that it has taken too long.
    pub(crate) fn timed_out(mut self) {
        self.hangs(&Ending::GivenUp);
        self.watch = Watch::Over;
    }

    /// Reports that it is pending. Where TCP to a proxy is up, as far as somebody inside has told, it may
    /// as well be the origin that hangs.
    fn hangs(&self, ending: &Ending) {
        if !(self.slip.is_up() && self.is_behind_a_proxy()) {
            self.end(ending);
        }
    }

    fn connected(&self, connection: &impl Connection) {
        let Some(info) = info(connection) else {
            return self.end(&Ending::Nameless);
        };
        let (peer, local) = (info.remote_addr(), info.local_addr());
        let note = self.slip.note_with(peer.ip());
        let first = note.and_then(|note| note.dealt.as_slice().first().copied());
        self.by.reached.note(peer.ip(), first);
        self.end(&Ending::Connected { peer, local });
        if self.slip.is_blank() {
            let shared = self.by.resolver.inner();
            shared.check_blank_slip(self.asked_outside, peer.ip());
        }
    }

    /// What an error says of the addresses that were dealt.
    fn ending(&self, error: &(dyn StdError + 'static)) -> Ending {
        let (outcome, text) = (Outcome::of(error), outcome::text(error));
        if let Some((addr, _)) = outcome::socks_connect(error) {
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

    /// Waits beside a pending connect: reports that it is slow, then gives it up.
    fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<Unmade> {
        while self.watch != Watch::Over {
            let Some(due) = self.due() else {
                return Poll::Pending;
            };
            ready!(self.pending.as_mut().poll_alarm(due, cx));
            self.looks += 1;
            match self.watch {
                Watch::ForTimeout if self.times_out_at() <= Some(due) || self.is_hopeless() => {
                    self.watch = Watch::Over;
                    return Poll::Ready(self.given_up());
                }
                Watch::ForStall if self.has_stalled(due) => self.stalled(),
                Watch::ForStall | Watch::ForTimeout | Watch::Over => {}
            }
        }
        Poll::Pending
    }

    /// Whether it is held to be slow: it has been pending for long, or was overtaken.
    fn has_stalled(&self, due: Instant) -> bool {
        self.stalls_at() <= Some(due)
            || (!self.is_behind_a_proxy() && self.by.resolver.inner().is_overtaken(&self.slip))
    }

    /// Then the time may be the origin's.
    fn is_behind_a_proxy(&self) -> bool {
        let (target, note) = (self.by.target(), self.slip.only_note());
        target.is_some_and(|target| note.is_some_and(|note| note.host.as_str() != &*target))
    }

    fn stalls_at(&self) -> Option<Instant> {
        let config = self.by.resolver.inner().config();
        let note = self.slip.only_note();
        note.map(|note| note.at + config.stalled_after)
    }

    fn stalled(&mut self) {
        self.hangs(&Ending::Stalled);
        self.watch = if self.may_time_out() {
            Watch::ForTimeout
        } else {
            Watch::Over
        };
    }

    fn is_redialled(&self) -> bool {
        self.patience == Patience::Redialled
    }

    /// Whether it is given up before its time, to be dialled elsewhere.
    fn is_hopeless(&self) -> bool {
        self.is_redialled() && self.by.resolver.inner().is_hopeless(&self.slip)
    }

    /// When there is something to do. Time counts from when addresses were dealt: a slow lookup is no
    /// fault of theirs.
    fn due(&self) -> Option<Instant> {
        let look = self.slip.only_note()?.at + FIRST_LOOK + LOOK * self.looks;
        match self.watch {
            Watch::ForStall => self.stalls_at().map(|end| end.min(look)),
            Watch::ForTimeout if self.is_redialled() => {
                self.times_out_at().map(|end| end.min(look))
            }
            Watch::ForTimeout => self.times_out_at(),
            Watch::Over => None,
        }
    }

    fn times_out_at(&self) -> Option<Instant> {
        let config = self.by.resolver.inner().config();
        let after = config.attempt_timeout?.max(config.stalled_after);
        self.slip.only_note().map(|note| note.at + after)
    }

    /// With one address there is nothing else to dial, so giving up would only do harm.
    fn may_time_out(&self) -> bool {
        self.patience != Patience::Raced
            && self.by.resolver.inner().config().attempt_timeout.is_some()
            && self
                .slip
                .only_note()
                .is_some_and(|note| note.dealt.as_slice().len() > 1)
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

    fn given_up(&self) -> Unmade {
        let note = self.slip.only_note();
        let after = note.map(|note| time::now().saturating_duration_since(note.at));
        self.hangs(&Ending::GivenUp);
        Unmade {
            ending: Ending::GivenUp,
            error: io::Error::from(io::ErrorKind::TimedOut).into(),
            given_up_after: Some(after.unwrap_or_default()),
        }
    }
}

/// A pending connect looks whether it was overtaken when the connector below has had its time to dial
/// another address beside the first, and so often from then on.
const FIRST_LOOK: Duration = blame::HEAD_START;
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
        if self.watch != Watch::ForStall {
            return;
        }
        let nearly = self.by.resolver.inner().config().stalled_after / 10;
        if self
            .stalls_at()
            .is_some_and(|due| due <= time::now() + nearly)
        {
            self.hangs(&Ending::Stalled);
        }
    }
}
