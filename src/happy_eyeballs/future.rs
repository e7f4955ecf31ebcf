//! Runs a race by the steps that its [`RaceState`] returns.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper_util::client::legacy::connect::Connection;
use smallvec::{SmallVec, smallvec};
use tokio::time::Sleep;
use tower::Service;

use super::dial::Dial;
use super::resolved_race::{OutOfTime, ResolvedRace, config};
use super::state::{RaceState, Step};
use super::times::RaceTimes;
use crate::attempt::{AttemptContext, Resolution};
use crate::connect::{AttemptInfo, ConnectFailure, TimeoutMode, WatchedConnect};
use crate::error::BoxError;
use crate::resolver::HANGS;
use crate::time;

/// The future of a [race](crate::HappyEyeballsLayer).
///
/// # Cancel safety
///
/// If the future is dropped, all attempts end. If an attempt was [slow](crate::ResolverBuilder::slow_connect_after) or
/// nearly so, its address gets a soft strike. The other attempts say nothing about their addresses, because the caller
/// may just have gone away.
#[must_use = "futures do nothing unless polled"]
pub struct HappyEyeballsFuture<S, Req>
where
    S: Service<Req>,
{
    connector: S,
    request: Req,
    by: AttemptInfo,
    times: RaceTimes,
    began: Instant,
    /// The pending attempts. Mostly there is one, which needs no heap allocation.
    attempts: SmallVec<[Attempt<S, Req>; 1]>,
    /// The state of the race. `None` until the first attempt has resolved the host.
    resolved: Option<ResolvedRace>,
    first_error: Option<BoxError>,
    asking: Option<Asking>,
    alarm: Option<Pin<Box<Sleep>>>,
}

/// The pending re-resolve of the race's host.
type Asking = Pin<Box<dyn Future<Output = Option<(Resolution, Vec<IpAddr>)>> + Send>>;

struct Attempt<S, Req>
where
    S: Service<Req>,
{
    /// The address of the attempt. `None` until the first attempt has resolved the host.
    addr: Option<IpAddr>,
    connect: WatchedConnect<Dial<S, Req>>,
    is_resolved: bool,
    is_up: bool,
}

/// The end of an attempt.
enum End<S, Req>
where
    S: Service<Req>,
{
    Won(Attempt<S, Req>, S::Response),
    Lost(Attempt<S, Req>, ConnectFailure),
}

// No field is ever pinned in place.
impl<S, Req> Unpin for HappyEyeballsFuture<S, Req> where S: Service<Req> {}

impl<S, Req> HappyEyeballsFuture<S, Req>
where
    S: Service<Req> + Clone,
    S::Response: Connection,
    S::Error: Into<BoxError>,
    Req: Clone,
{
    pub(super) fn new(
        ready: &mut S,
        connector: S,
        request: Req,
        by: AttemptInfo,
        times: RaceTimes,
    ) -> Self {
        let context = AttemptContext::race_first(by.resolver.inner().id());
        // hyper-rustls calls its inner connector at once. Other connectors do so inside their future.
        let connecting = context.sync_scope(|| ready.call(request.clone()));
        let dial = Dial::Called { connecting };
        let first = Attempt {
            addr: None,
            connect: WatchedConnect::new(dial, context, by.clone(), TimeoutMode::InRace),
            is_resolved: true,
            is_up: false,
        };
        Self {
            connector,
            request,
            by,
            times,
            began: time::now(),
            attempts: smallvec![first],
            resolved: None,
            first_error: None,
            asking: None,
            alarm: None,
        }
    }

    /// Polls the attempts and handles their ends. The result is the first connection.
    fn poll_attempts(&mut self, cx: &mut Context<'_>) -> Poll<S::Response> {
        while let Some(end) = self.next_end(cx) {
            match end {
                End::Won(attempt, connection) => {
                    self.won(&attempt);
                    return Poll::Ready(connection);
                }
                End::Lost(attempt, unmade) => self.failed(&attempt, unmade),
            }
        }
        Poll::Pending
    }

    fn next_end(&mut self, cx: &mut Context<'_>) -> Option<End<S, Req>> {
        for place in 0..self.attempts.len() {
            let polled = Pin::new(&mut self.attempts[place].connect).poll(cx);
            self.poll_progress(place);
            if let Poll::Ready(ended) = polled {
                let attempt = self.attempts.remove(place);
                return Some(match ended {
                    Ok(connection) => End::Won(attempt, connection),
                    Err(unmade) => End::Lost(attempt, unmade),
                });
            }
        }
        None
    }

    /// Reads the progress of an attempt from its attempt context. The progress is the resolved addresses, the start of
    /// the attempt, and TCP being up.
    fn poll_progress(&mut self, place: usize) {
        let attempt = &mut self.attempts[place];
        if self.resolved.is_none()
            && let Some((resolution, addrs)) = attempt.connect.context().race_candidates()
        {
            attempt.addr = addrs.first().copied();
            let addrs = addrs.iter().copied();
            let shared = self.by.resolver.inner();
            let config = config(shared.health(), &resolution.host, self.times, self.began);
            let state = RaceState::begun(config, addrs, resolution.resolved_at);
            self.resolved = Some(ResolvedRace { state, resolution });
        }
        let (Some(resolved), Some(addr)) = (&mut self.resolved, attempt.addr) else {
            return;
        };
        if !attempt.is_resolved
            && let Some(resolution) = attempt.connect.context().single()
        {
            attempt.is_resolved = true;
            resolved.state.began(addr, resolution.resolved_at);
        }
        if !attempt.is_up && attempt.connect.context().is_tcp_connected() {
            attempt.is_up = true;
            resolved.state.is_up(addr, time::now());
        }
    }

    /// Ends the attempts that lost. Attempts that had a head start of a whole delay are reported as beaten.
    fn won(&mut self, winner: &Attempt<S, Req>) {
        let resolved = self.resolved.as_ref().zip(winner.addr);
        let beaten =
            resolved.map(|(resolved, winner)| resolved.state.beaten_by(winner).collect::<Vec<_>>());
        let beaten = beaten.unwrap_or_default();
        for attempt in self.attempts.drain(..) {
            let is_beaten = attempt.addr.is_some_and(|addr| beaten.contains(&addr));
            attempt.connect.lost_race(is_beaten);
        }
    }

    fn failed(&mut self, attempt: &Attempt<S, Req>, unmade: ConnectFailure) {
        if let (Some(resolved), Some(addr)) = (&mut self.resolved, attempt.addr) {
            resolved
                .state
                .failed(addr, unmade.ending.outcome(), time::now());
        }
        self.first_error.get_or_insert(unmade.error);
    }

    fn next_step(&mut self) -> Step {
        let now = time::now();
        match &mut self.resolved {
            Some(ResolvedRace { state, resolution }) => {
                let health = self.by.resolver.inner().health();
                state.next(now, |waiting, since| {
                    health.choose_attempt(&resolution.host, waiting, since, now)
                })
            }
            None if self.attempts.is_empty() => Step::GiveUp,
            None => match self.times.deadline(self.began) {
                Some(deadline) if now >= deadline => Step::GiveUp,
                deadline => Step::Wait(deadline),
            },
        }
    }

    fn dial(&mut self, addr: IpAddr) {
        let Some(resolved) = &self.resolved else {
            return;
        };
        let context =
            AttemptContext::race_address(self.by.resolver.inner().id(), &resolved.resolution, addr);
        let dial = Dial::new(self.connector.clone(), self.request.clone());
        self.attempts.push(Attempt {
            addr: Some(addr),
            connect: WatchedConnect::new(dial, context, self.by.clone(), TimeoutMode::InRace),
            is_resolved: false,
            is_up: false,
        });
    }

    fn end(&mut self, addr: IpAddr) {
        let place = self.attempts.iter().position(|it| it.addr == Some(addr));
        if let Some(place) = place {
            self.attempts.remove(place).connect.timed_out();
            let limit = self.times.attempt_timeout;
            let ended = || OutOfTime {
                what: format!("an attempt to connect to {addr}"),
                after: limit.unwrap_or_default(),
                setting: "attempt_timeout",
            };
            self.first_error.get_or_insert_with(|| ended().into_error());
        }
    }

    /// Re-resolves the host.
    ///
    /// The backoff may defer the lookup, so the race takes the current answer at once. That may be newer than the
    /// addresses of the race, or the last resort may lead and be slow.
    fn reresolve(&mut self) {
        if let Some(resolved) = &mut self.resolved {
            let (shared, host) = (
                self.by.resolver.inner().clone(),
                resolved.resolution.host.clone(),
            );
            if !self.attempts.is_empty() {
                shared.search(&resolved.resolution, self.began);
                if let Some((resolution, addrs)) = shared.meanwhile(&resolved.resolution) {
                    resolved.resolution = resolution;
                    resolved.state.take_addrs(&addrs, time::now());
                }
            }
            self.asking = Some(Box::pin(shared.reresolved(host)));
        }
    }

    /// Polls the re-resolve. The result is ready once the race has taken the answer.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(asking) = &mut self.asking else {
            return Poll::Pending;
        };
        let answer = ready!(asking.as_mut().poll(cx));
        self.asking = None;
        self.take_answer(answer);
        Poll::Ready(())
    }

    /// Takes a newer answer that the lookup of another connect has brought, and returns whether there was one.
    ///
    /// The race does so while attempts are pending and the race itself can do nothing more. The race also reports
    /// attempts that hang for [`HANGS`], so that the host is looked up more often.
    fn take_newer_answer(&mut self) -> bool {
        if self.waits_for_others()
            && let Some(before) = time::now().checked_sub(HANGS)
        {
            let attempts = self.attempts.iter_mut();
            attempts.for_each(|attempt| attempt.connect.report_pending_since(before));
            if let Some(resolved) = self.resolved.as_ref().filter(|_| self.began < before) {
                let shared = self.by.resolver.inner();
                shared.search(&resolved.resolution, self.began);
            }
        }
        let newer = match &self.resolved {
            Some(resolved) if self.waits_for_others() => {
                self.by.resolver.inner().newer_answer(&resolved.resolution)
            }
            Some(_) | None => None,
        };
        let is_newer = newer.is_some();
        if is_newer {
            self.take_answer(newer);
        }
        is_newer
    }

    /// Takes an answer, whose addresses later attempts go to. `None`: the lookup brought no answer.
    fn take_answer(&mut self, answer: Option<(Resolution, Vec<IpAddr>)>) {
        if let Some(resolved) = &mut self.resolved {
            let (resolution, addrs) = answer.unzip();
            resolved.resolution = resolution.unwrap_or_else(|| resolved.resolution.clone());
            resolved
                .state
                .answered(&addrs.unwrap_or_default(), time::now());
        }
    }

    fn waits_for_others(&self) -> bool {
        self.resolved
            .as_ref()
            .is_some_and(|resolved| resolved.state.waits_for_others())
    }

    fn poll_alarm(&mut self, until: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = until else {
            return Poll::Pending;
        };
        let until = tokio::time::Instant::from_std(until);
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if alarm.deadline() != until {
            alarm.as_mut().reset(until);
        }
        alarm.as_mut().poll(cx)
    }

    fn error(&mut self) -> BoxError {
        let is_given_up = !self.attempts.is_empty();
        let after = time::now().saturating_duration_since(self.began);
        let given_up_after = is_given_up.then_some(after);
        let error = self.first_error.take();
        let ended = || OutOfTime {
            what: "a connect, lookup and all,".to_owned(),
            after,
            setting: "timeout",
        };
        let error = error.unwrap_or_else(|| ended().into_error());
        match &self.resolved {
            Some(resolved) => resolved.explain(&self.by.resolver, error, given_up_after),
            None => error,
        }
    }
}

/// The time between two checks for a newer answer.
const LOOK: Duration = Duration::from_millis(100);

impl<S, Req> Future for HappyEyeballsFuture<S, Req>
where
    S: Service<Req> + Clone,
    S::Response: Connection,
    S::Error: Into<BoxError>,
    Req: Clone,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if let Poll::Ready(connection) = self.poll_attempts(cx) {
                return Poll::Ready(Ok(connection));
            }
            match self.next_step() {
                Step::Dial(addr) => self.dial(addr),
                Step::TimeOut(addr) => self.end(addr),
                Step::Reresolve => self.reresolve(),
                Step::GiveUp => return Poll::Ready(Err(self.error())),
                Step::Wait(until) => {
                    if self.poll_answer(cx).is_pending() && !self.take_newer_answer() {
                        let look = self.waits_for_others().then(|| time::now() + LOOK);
                        let until = until.into_iter().chain(look).min();
                        ready!(self.poll_alarm(until, cx));
                    }
                }
            }
        }
    }
}

impl<S, Req> fmt::Debug for HappyEyeballsFuture<S, Req>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HappyEyeballsFuture")
            .finish_non_exhaustive()
    }
}
