//! Waits for a connect and reports how the connect ends.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper_util::client::legacy::connect::Connection;

use super::attempt_info::{AttemptInfo, TimeoutMode};
use super::pending::Pending;
use crate::attempt::{AttemptContext, Resolution};
use crate::attempt::{ConnectionId, early_close};
use crate::connect::tunnel;
use crate::error::BoxError;
use crate::health::classify;
use crate::resolver::{AttemptEnd, ConnectReport, HANGS};
use crate::{Outcome, time};

/// A connect in the scope of an attempt context, whose end is reported to the resolver.
///
/// If the connect is dropped while it is slow or nearly slow, its address gets a soft strike. An earlier drop says
/// nothing about the address.
pub(crate) struct WatchedConnect<F> {
    // hyper-util moves the future, and a task-local scope can't be moved once it was polled, so the scope is in a box.
    pending: Pin<Box<Pending<F>>>,
    context: AttemptContext,
    by: AttemptInfo,
    timeout_mode: TimeoutMode,
    asked_outside: u64,
    watch: WatchPhase,
}

/// A connect that failed or was given up.
pub(crate) struct ConnectFailure {
    pub(crate) ending: AttemptEnd,
    pub(crate) error: BoxError,
    /// The time after which the watch gave the connect up, if the watch did so.
    pub(crate) given_up_after: Option<Duration>,
}

/// The state of the watch over a pending connect.
#[derive(Clone, Copy, Debug, PartialEq)]
enum WatchPhase {
    /// The connect is not slow yet.
    Pending,
    /// The connect is slow. At `next` the watch checks whether there is something better to connect to.
    Slow { next: Instant },
    /// The connect has ended, or nothing follows from waiting longer.
    Done,
}

impl<F> WatchedConnect<F> {
    pub(crate) fn new(
        connecting: F,
        context: AttemptContext,
        by: AttemptInfo,
        timeout_mode: TimeoutMode,
    ) -> Self
    where
        F: Future,
    {
        let pending = Box::pin(Pending::new(context.scope(connecting)));
        let asked_outside = by.resolver.inner().queries_without_context();
        let watch = match timeout_mode {
            TimeoutMode::NestedInRace => WatchPhase::Done,
            TimeoutMode::Standalone | TimeoutMode::CallerRetries | TimeoutMode::InRace => {
                WatchPhase::Pending
            }
        };
        Self {
            pending,
            context,
            by,
            timeout_mode,
            asked_outside,
            watch,
        }
    }

    pub(crate) fn context(&self) -> &AttemptContext {
        &self.context
    }

    /// Returns the report of a connect that has ended with `ending`. A layer inside a race returns none.
    pub(crate) fn account(&self, ending: &AttemptEnd) -> Option<ConnectReport> {
        let families_used = self.by.families_used.load();
        let account = self
            .by
            .resolver
            .inner()
            .connect_report(&self.context, families_used, ending);
        account.filter(|_| self.timeout_mode != TimeoutMode::NestedInRace)
    }

    /// Reports the connect as slow if it began before `before` and has not been reported yet.
    pub(crate) fn report_pending_since(&mut self, before: Instant) {
        if self.watch == WatchPhase::Pending
            && self
                .context
                .single()
                .is_some_and(|it| it.resolved_at < before)
        {
            self.slow();
        }
    }

    /// Ends the watch because another attempt of the race has connected.
    ///
    /// If `is_beaten` is true, the other attempt started a whole delay later, and the loss is reported. The report
    /// counts behind a proxy, too, because the origin of both attempts is the same.
    pub(crate) fn lost_race(mut self, is_beaten: bool) {
        if is_beaten && self.watch == WatchPhase::Pending {
            self.by.resolver.inner().lost(&self.context);
        }
        self.watch = WatchPhase::Done;
    }

    /// Reports that the connect has timed out, and ends the watch.
    pub(crate) fn timed_out(mut self) {
        self.report_slow(&AttemptEnd::TimedOut);
        self.watch = WatchPhase::Done;
    }

    /// Reports that the connect is slow or has timed out. If TCP to a proxy is known to be up, the origin may be the
    /// cause, and nothing is reported.
    fn report_slow(&self, ending: &AttemptEnd) {
        if !(self.context.is_tcp_connected() && self.is_behind_a_proxy()) {
            self.end(ending);
        }
    }

    fn connected(&self, connection: &impl Connection) {
        let Some(info) = early_close::info(&connection.connected()) else {
            return self.end(&AttemptEnd::ConnectedUnknownPeer);
        };
        let ends = ConnectionId::of(&info);
        let peer = ends.remote.ip();
        let resolution = self.context.containing(peer);
        let first = resolution.and_then(|resolution| resolution.addrs.as_slice().first().copied());
        self.by.families_used.note(peer, first);
        self.end(&AttemptEnd::Connected(ends));
        if self.context.is_empty() {
            let shared = self.by.resolver.inner();
            shared.warn_if_context_lost(self.asked_outside, peer);
        }
    }

    /// Returns the end of a connect that has failed with this error.
    fn ending(&self, error: &(dyn StdError + 'static)) -> AttemptEnd {
        let (outcome, text) = (Outcome::from_error(error), classify::describe_chain(error));
        let shared = self.by.resolver.inner();
        let outcome = shared.refine_no_route(&self.context, outcome, error);
        if let Some((addr, _)) = classify::texts::socks_connect(error) {
            return AttemptEnd::FailedAt(addr, outcome, text);
        }
        let target = self.by.target();
        let is_origin_failure = |resolution: Resolution| {
            tunnel::is_origin_failure(error, target.as_deref(), resolution.host.as_str())
        };
        match self.context.single().is_some_and(is_origin_failure) {
            true => AttemptEnd::Failed(Outcome::Unknown, text),
            false => AttemptEnd::Failed(outcome, text),
        }
    }

    fn end(&self, ending: &AttemptEnd) {
        if self.timeout_mode == TimeoutMode::NestedInRace {
            return;
        }
        let families_used = self.by.families_used.load();
        self.by
            .resolver
            .inner()
            .attempt_ended(&self.context, families_used, ending);
    }

    /// Watches a pending connect. Reports the connect once it is slow, and then gives the connect up for something
    /// better.
    fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<ConnectFailure> {
        while self.watch != WatchPhase::Done {
            if !self.pending.has_alarm() {
                let Some(due) = self.due() else {
                    return Poll::Pending;
                };
                self.pending.as_mut().set_alarm(due);
            }
            let due = ready!(self.pending.as_mut().poll_alarm(cx));
            match self.watch {
                // The recent connects may have taken longer meanwhile, so that this connect is not slow yet.
                WatchPhase::Pending if self.slow_at() > Some(due) => continue,
                WatchPhase::Pending => self.slow(),
                WatchPhase::Slow { .. } => {
                    self.search_again(time::now());
                    self.watch = self.next_look(time::now());
                }
                WatchPhase::Done => {}
            }
            if let Some(ending) = self.better_ending(due) {
                self.watch = WatchPhase::Done;
                return Poll::Ready(self.given_up(ending));
            }
        }
        Poll::Pending
    }

    /// Returns whether the connect goes to a proxy, so that the origin may be slow.
    fn is_behind_a_proxy(&self) -> bool {
        let (target, resolution) = (self.by.target(), self.context.single());
        target.is_some_and(|target| {
            resolution.is_some_and(|resolution| resolution.host.as_str() != &*target)
        })
    }

    /// Returns when the connect is slow. The time counts from when the addresses were resolved, so a slow lookup does
    /// not count.
    fn slow_at(&self) -> Option<Instant> {
        let health = self.by.resolver.inner().health();
        let resolution = self.context.single()?;
        let after = match self.timeout_mode {
            TimeoutMode::InRace => health.slow_after_in_race(&resolution.host),
            TimeoutMode::Standalone | TimeoutMode::CallerRetries | TimeoutMode::NestedInRace => {
                health.slow_after(&resolution.host)
            }
        };
        Some(resolution.resolved_at + after)
    }

    fn slow(&mut self) {
        self.report_slow(&AttemptEnd::Slow);
        self.watch = self.next_look(time::now());
    }

    /// Re-resolves the host of a connect that hangs, because DNS may change later than the first re-resolve.
    fn search_again(&self, now: Instant) {
        if let Some(resolution) = self.context.single()
            && now >= resolution.resolved_at + HANGS
        {
            self.by.resolver.inner().search_again(&resolution, now);
        }
    }

    /// Returns the phase of a slow connect, with the time of the next check.
    ///
    /// Checks are [`LOOK`] apart, so that a change is found within that time. If a give-up becomes allowed sooner, the
    /// check comes at that time.
    fn next_look(&self, now: Instant) -> WatchPhase {
        let shared = self.by.resolver.inner();
        let next = match self.timeout_mode {
            TimeoutMode::Standalone => self.times_out_at().map(|end| end.max(now + LOOK)),
            TimeoutMode::CallerRetries => {
                let resolution = self.context.single();
                let all_slow_at = resolution.map(|resolution| {
                    shared.all_slow_at(&resolution, self.context.is_tcp_connected())
                });
                let all_slow_at = all_slow_at.filter(|at| *at > now);
                Some(all_slow_at.map_or(now + LOOK, |at| at.min(now + LOOK)))
            }
            TimeoutMode::InRace | TimeoutMode::NestedInRace => None,
        };
        next.map_or(WatchPhase::Done, |next| WatchPhase::Slow { next })
    }

    /// Returns how a slow connect ends now, if there is something better to connect to.
    fn better_ending(&self, now: Instant) -> Option<AttemptEnd> {
        if self.watch == WatchPhase::Done {
            return None;
        }
        let (shared, resolution) = (self.by.resolver.inner(), self.context.single()?);
        let may_be_the_origin = self.context.is_tcp_connected() && self.is_behind_a_proxy();
        if self.timeout_mode == TimeoutMode::CallerRetries
            && !may_be_the_origin
            && shared.is_better_given_up(&resolution, self.context.is_tcp_connected(), now)
        {
            return Some(AttemptEnd::Slow);
        }
        let is_over = self.times_out_at().is_some_and(|end| end <= now);
        (is_over && shared.may_connect_elsewhere(&resolution, now)).then_some(AttemptEnd::TimedOut)
    }

    /// Returns when the watch has something to do. A race watches the time of its attempts itself.
    fn due(&self) -> Option<Instant> {
        match self.watch {
            WatchPhase::Pending if self.timeout_mode == TimeoutMode::InRace => None,
            WatchPhase::Pending => self.slow_at(),
            WatchPhase::Slow { next } => Some(next),
            WatchPhase::Done => None,
        }
    }

    fn times_out_at(&self) -> Option<Instant> {
        let health = self.by.resolver.inner().health();
        let timeout = self.by.timeout?;
        let resolution = self.context.single()?;
        Some(resolution.resolved_at + timeout.max(health.slow_after(&resolution.host)))
    }

    fn failed(&self, error: BoxError) -> ConnectFailure {
        let ending = self.ending(&*error);
        self.end(&ending);
        ConnectFailure {
            ending,
            error,
            given_up_after: None,
        }
    }

    fn given_up(&self, ending: AttemptEnd) -> ConnectFailure {
        let resolution = self.context.single();
        match &resolution {
            Some(resolution) if matches!(ending, AttemptEnd::Slow) => {
                let shared = self.by.resolver.inner();
                shared.record_give_up(resolution, self.context.is_tcp_connected());
            }
            _ => self.report_slow(&ending),
        }
        let after = resolution
            .map(|resolution| time::now().saturating_duration_since(resolution.resolved_at));
        ConnectFailure {
            ending,
            error: io::Error::from(io::ErrorKind::TimedOut).into(),
            given_up_after: Some(after.unwrap_or_default()),
        }
    }
}

/// The time between two checks whether there is something better than a slow connect.
const LOOK: Duration = Duration::from_millis(100);

impl<F, C, E> Future for WatchedConnect<F>
where
    F: Future<Output = Result<C, E>>,
    C: Connection,
    E: Into<BoxError>,
{
    type Output = Result<C, ConnectFailure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Poll::Ready(ended) = this.pending.as_mut().poll_connect(cx) else {
            return this.poll_watch(cx).map(Err);
        };
        this.watch = WatchPhase::Done;
        Poll::Ready(match ended {
            Ok(connection) => {
                this.connected(&connection);
                Ok(connection)
            }
            Err(error) => Err(this.failed(error.into())),
        })
    }
}

impl<F> Drop for WatchedConnect<F> {
    /// Reports the connect as slow if it is dropped in the last tenth of its time.
    ///
    /// A client's timeout of the same length begins with the connect, and so ends a moment before the watch.
    fn drop(&mut self) {
        if self.watch != WatchPhase::Pending {
            return;
        }
        if let Some((due, resolution)) = self.slow_at().zip(self.context.single())
            && due <= time::now() + due.saturating_duration_since(resolution.resolved_at) / 10
        {
            self.report_slow(&AttemptEnd::Slow);
        }
    }
}
