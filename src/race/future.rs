//! Runs a race: does what the plan says.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper_util::client::legacy::connect::Connection;
use smallvec::{SmallVec, smallvec};
use tokio::time::Sleep;
use tower_service::Service;

use super::dial::Dial;
use super::plan::{Plan, Step};
use super::track::{OutOfTime, Track, pace};
use crate::attempt::{Note, Slip};
use crate::connect::{HANGS, Observer, Patience, Unmade, Watched};
use crate::error::BoxError;
use crate::{Resolver, time};

/// The future of a race.
///
/// # Cancel safety
///
/// Dropping it ends all attempts. One that was [slow](crate::Builder::stalled_after) or nearly so gets a soft
/// strike, the others say nothing: the caller may just have gone away.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S, Req>
where
    S: Service<Req>,
{
    connector: S,
    request: Req,
    by: Observer,
    began: Instant,
    /// Mostly one, which needs no heap.
    attempts: SmallVec<[Attempt<S, Req>; 1]>,
    /// Once the first attempt was dealt the addresses.
    track: Option<Track>,
    first_error: Option<BoxError>,
    asking: Option<Asking>,
    alarm: Option<Pin<Box<Sleep>>>,
}

/// Waits for the answer after the one that the race began with.
type Asking = Pin<Box<dyn Future<Output = Option<(Note, Vec<IpAddr>)>> + Send>>;

struct Attempt<S, Req>
where
    S: Service<Req>,
{
    /// `None`: the first one, which has not been dealt an address yet.
    addr: Option<IpAddr>,
    connect: Watched<Dial<S, Req>>,
    is_dealt: bool,
    is_up: bool,
}

/// What the attempts have come to.
enum End<S, Req>
where
    S: Service<Req>,
{
    Won(Attempt<S, Req>, S::Response),
    Lost(Attempt<S, Req>, Unmade),
}

// No field is ever pinned in place.
impl<S, Req> Unpin for ResponseFuture<S, Req> where S: Service<Req> {}

impl<S, Req> ResponseFuture<S, Req>
where
    S: Service<Req> + Clone,
    S::Response: Connection,
    S::Error: Into<BoxError>,
    Req: Clone,
{
    pub(super) fn new(ready: &mut S, connector: S, request: Req, by: Observer) -> Self {
        let slip = Slip::first(by.resolver.inner().id());
        // hyper-rustls calls the connector below it at once, others inside their future.
        let connecting = slip.around_call(|| ready.call(request.clone()));
        let dial = Dial::Called { connecting };
        let first = Attempt {
            addr: None,
            connect: Watched::new(dial, slip, by.clone(), Patience::Raced),
            is_dealt: true,
            is_up: false,
        };
        Self {
            connector,
            request,
            by,
            began: time::now(),
            attempts: smallvec![first],
            track: None,
            first_error: None,
            asking: None,
            alarm: None,
        }
    }

    /// Polls what runs until nothing moves. Ready when one has connected.
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
            self.take_news(place);
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

    /// Learns what an attempt has come to know: the addresses, that it has begun, and that TCP is up.
    fn take_news(&mut self, place: usize) {
        let attempt = &mut self.attempts[place];
        if self.track.is_none()
            && let Some((note, addrs)) = attempt.connect.slip().list()
        {
            attempt.addr = addrs.first().copied();
            let addrs = addrs.iter().copied();
            let deadline = deadline(&self.by.resolver, self.began);
            let pace = pace(&self.by.resolver, &note.host, deadline);
            let plan = Plan::begun(pace, addrs, note.at);
            self.track = Some(Track { plan, note });
        }
        let (Some(track), Some(addr)) = (&mut self.track, attempt.addr) else {
            return;
        };
        if !attempt.is_dealt
            && let Some(note) = attempt.connect.slip().only_note()
        {
            attempt.is_dealt = true;
            track.plan.began(addr, note.at);
        }
        if !attempt.is_up && attempt.connect.slip().is_up() {
            attempt.is_up = true;
            track.plan.is_up(addr, time::now());
        }
    }

    /// Lets the others go. Those that a start of a whole delay did not help count as slow.
    fn won(&mut self, winner: &Attempt<S, Req>) {
        let track = self.track.as_ref().zip(winner.addr);
        let beaten = track.map(|(track, winner)| track.plan.beaten_by(winner).collect::<Vec<_>>());
        let beaten = beaten.unwrap_or_default();
        for attempt in self.attempts.drain(..) {
            let is_beaten = attempt.addr.is_some_and(|addr| beaten.contains(&addr));
            attempt.connect.lost(is_beaten);
        }
    }

    fn failed(&mut self, attempt: &Attempt<S, Req>, unmade: Unmade) {
        if let (Some(track), Some(addr)) = (&mut self.track, attempt.addr) {
            track
                .plan
                .failed(addr, unmade.ending.outcome(), time::now());
        }
        self.first_error.get_or_insert(unmade.error);
    }

    fn next_step(&mut self) -> Step {
        let now = time::now();
        match &mut self.track {
            Some(Track { plan, note }) => {
                let shared = self.by.resolver.inner();
                plan.next(now, |waiting, since| {
                    shared.start_in_time(&note.host, waiting, since, now)
                })
            }
            None if self.attempts.is_empty() => Step::GiveUp,
            None => match deadline(&self.by.resolver, self.began) {
                Some(deadline) if now >= deadline => Step::GiveUp,
                deadline => Step::Wait(deadline),
            },
        }
    }

    fn dial(&mut self, addr: IpAddr) {
        let Some(track) = &self.track else {
            return;
        };
        let slip = Slip::pinned(self.by.resolver.inner().id(), &track.note, addr);
        let dial = Dial::new(self.connector.clone(), self.request.clone());
        self.attempts.push(Attempt {
            addr: Some(addr),
            connect: Watched::new(dial, slip, self.by.clone(), Patience::Raced),
            is_dealt: false,
            is_up: false,
        });
    }

    fn end(&mut self, addr: IpAddr) {
        let place = self.attempts.iter().position(|it| it.addr == Some(addr));
        if let Some(place) = place {
            self.attempts.remove(place).connect.timed_out();
            let limit = self.by.resolver.inner().config().attempt_timeout;
            let ended = || OutOfTime {
                what: format!("an attempt to connect to {addr}"),
                after: limit.unwrap_or_default(),
                setting: "attempt_timeout",
            };
            self.first_error.get_or_insert_with(|| ended().into_error());
        }
    }

    fn ask_again(&mut self) {
        if let Some(track) = &self.track {
            if !self.attempts.is_empty() {
                self.by.resolver.inner().search(&track.note);
            }
            let (shared, host) = (self.by.resolver.inner().clone(), track.note.host.clone());
            self.asking = Some(Box::pin(shared.again(host)));
        }
    }

    /// Ready when the second answer is there.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(asking) = &mut self.asking else {
            return Poll::Pending;
        };
        let answer = ready!(asking.as_mut().poll(cx));
        self.asking = None;
        self.take_answer(answer);
        Poll::Ready(())
    }

    /// After two lookups, a race whose attempts are slow takes a newer answer that another connect has brought.
    /// Attempts that hang for [`HANGS`] are reported, so that the host is looked up more often.
    fn take_newer_answer(&mut self) -> bool {
        if self.waits_for_others()
            && let Some(before) = time::now().checked_sub(HANGS)
        {
            let attempts = self.attempts.iter_mut();
            attempts.for_each(|attempt| attempt.connect.report_pending_since(before));
            if let Some(track) = self.track.as_ref().filter(|_| self.began < before) {
                self.by.resolver.inner().search(&track.note);
            }
        }
        let newer = match &self.track {
            Some(track) if self.waits_for_others() => {
                self.by.resolver.inner().newer_answer(&track.note)
            }
            Some(_) | None => None,
        };
        let is_newer = newer.is_some();
        if is_newer {
            self.take_answer(newer);
        }
        is_newer
    }

    /// Takes a fresh answer: later attempts are of it. `None`: the lookup brought none.
    fn take_answer(&mut self, answer: Option<(Note, Vec<IpAddr>)>) {
        if let Some(track) = &mut self.track {
            let (note, addrs) = answer.unzip();
            track.note = note.unwrap_or_else(|| track.note.clone());
            track.plan.answered(&addrs.unwrap_or_default(), time::now());
        }
    }

    fn waits_for_others(&self) -> bool {
        self.track
            .as_ref()
            .is_some_and(|track| track.plan.waits_for_others())
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
            setting: "connect_timeout",
        };
        let error = error.unwrap_or_else(|| ended().into_error());
        match &self.track {
            Some(track) => track.explain(&self.by.resolver, error, given_up_after),
            None => error,
        }
    }
}

/// Time between two looks for a newer answer.
const LOOK: Duration = Duration::from_millis(100);

/// When a race that began at `began` is over.
fn deadline(resolver: &Resolver, began: Instant) -> Option<Instant> {
    let timeout = resolver.inner().config().connect_timeout;
    timeout.map(|timeout| began + timeout)
}

impl<S, Req> Future for ResponseFuture<S, Req>
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
                Step::End(addr) => self.end(addr),
                Step::AskAgain => self.ask_again(),
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

impl<S, Req> fmt::Debug for ResponseFuture<S, Req>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
