//! A process that uses sidestep, whose rules are connected as in `resolver` and `connect` of the crate.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Id;

use crate::addrs::{
    self, AddressList, AddressOrder, AddressSet, Family, MAX_PER_FAMILY, SelectParams,
};
use crate::attribution;
use crate::attribution::FamiliesUsed;
use crate::cache::reresolve::RateLimiter;
use crate::cache::ttl::{self, TtlBounds};
use crate::cache::{
    CachedAnswer, CompletedLookup, FreshAddresses, Generation, HostEntry, InFlightLookup,
    LookupReason, LookupSender, Origin, ServePlan,
};
use crate::error::ResolveError;
use crate::health::outcome::Outcome;
use crate::health::record::{AddressRecord, Failure, Rank, Transition};
use crate::health::{HealthStore, Trial};
use crate::host::{self, Host, Parsed};
use crate::life::{Client, Event, Life};
use crate::scenario::Edges;

// The defaults of `ResolverBuilder`.
const TTL: TtlBounds = TtlBounds {
    min: Duration::from_secs(1),
    max: Duration::from_secs(60),
};
const SERVE_STALE: Duration = Duration::from_secs(24 * 60 * 60);
const STALE_AFTER: Duration = Duration::from_millis(1_800);
/// Maximum number of times that a request is sent again (`retry`).
const TRIES: u32 = 8;
const PORT: u16 = 443;
/// The edges have only IPv4 addresses, and the connector is not bound to an address.
const REACH: FamiliesUsed = FamiliesUsed {
    v4: true,
    v6: true,
    second: false,
};

pub(crate) struct Sidestep {
    host: Host,
    runtime: Id,
    slot: HostEntry,
    health: HealthStore,
    /// The port of the last connect.
    port: Option<u16>,
    limiter: RateLimiter,
    /// When the timer of the next refresh ends.
    reservation: Option<Instant>,
    in_the_air: Vec<InTheAir>,
    requests: Vec<Request>,
    numbered: u32,
}

struct InTheAir {
    lookup: u32,
    in_flight: InFlightLookup,
    /// The sender keeps the lookup in flight.
    _sender: LookupSender,
}

/// A request that has not ended.
struct Request {
    number: u32,
    tries: u32,
    doing: Doing,
}

enum Doing {
    /// The request waits for a lookup, and only for a short time if there is a last resort.
    Waits {
        lookup: u32,
        last_resort: Option<Arc<CachedAnswer>>,
    },
    Dials(Box<Note>),
}

/// The attempt context of a connect.
struct Note {
    selected: AddressList,
    left: AddressList,
    generation: Generation,
    at: Instant,
}

impl Sidestep {
    pub(crate) fn new(runtime: Id, now: Instant) -> Self {
        let Ok(Parsed::Name(host)) = host::parse("cdn.example") else {
            unreachable!("it is a name")
        };
        Self {
            host,
            runtime,
            slot: HostEntry::default(),
            health: HealthStore::new(1, now),
            port: None,
            limiter: RateLimiter::default(),
            reservation: None,
            in_the_air: Vec::new(),
            requests: Vec::new(),
            numbered: 0,
        }
    }
}

/// Resolves a host, as `resolver/resolve.rs` does.
impl Sidestep {
    fn connect(&mut self, request: u32, tries: u32, life: &mut Life<'_>) {
        let now = life.now;
        if let Some(known) = self.slot.fresh(now).cloned() {
            self.note_use(&known, life);
            return self.dial(request, tries, &known, life);
        }
        let plan = self.slot.plan(now, SERVE_STALE, |known| {
            let mut addrs = known.addrs.as_slice().iter();
            addrs.any(|&addr| self.rank(addr, now) <= Rank::Healthy)
        });
        let servable = self.slot.servable(now, SERVE_STALE).cloned();
        match (plan, servable) {
            (ServePlan::Serve, Some(known)) => {
                self.note_use(&known, life);
                self.dial(request, tries, &known, life);
            }
            (ServePlan::ServeAndRefresh(cause), Some(known)) => {
                let _ = self.ask(cause, life);
                self.dial(request, tries, &known, life);
            }
            (ServePlan::Fail(_), _) => life.fail(false),
            (ServePlan::Wait(cause), servable) => self.wait(request, tries, cause, servable, life),
            (ServePlan::Serve | ServePlan::ServeAndRefresh(_), None) => {
                self.wait(request, tries, LookupReason::Miss, None, life);
            }
        }
    }

    fn wait(
        &mut self,
        request: u32,
        tries: u32,
        cause: LookupReason,
        last_resort: Option<Arc<CachedAnswer>>,
        life: &mut Life<'_>,
    ) {
        match (self.ask(cause, life), last_resort) {
            (Some(lookup), last_resort) => {
                if last_resort.is_some() {
                    let impatient = Event::Impatient { request };
                    life.plan(life.now + STALE_AFTER, impatient);
                }
                self.requests.push(Request {
                    number: request,
                    tries,
                    doing: Doing::Waits {
                        lookup,
                        last_resort,
                    },
                });
            }
            (None, Some(known)) => self.dial(request, tries, &known, life),
            (None, None) => life.fail(false),
        }
    }

    fn dial(&mut self, request: u32, tries: u32, known: &CachedAnswer, life: &mut Life<'_>) {
        let now = life.now;
        let selected = self.deal(known, life);
        let nothing_to_learn = self.health.is_empty();
        if nothing_to_learn
            && selected
                .as_slice()
                .first()
                .is_some_and(|&it| life.dial_and_forget(it))
        {
            return;
        }
        self.requests.push(Request {
            number: request,
            tries,
            doing: Doing::Dials(Box::new(Note {
                left: selected.clone(),
                selected,
                generation: known.generation,
                at: now,
            })),
        });
        self.dial_next(request, life);
    }

    fn deal(&self, known: &CachedAnswer, life: &mut Life<'_>) -> AddressList {
        let (addrs, now) = (&known.addrs, life.now);
        let how = SelectParams {
            order: AddressOrder::Shuffle,
            prefer: self.health.preferred_family(addrs.leads(), now),
            per_family: MAX_PER_FAMILY,
            turn: 0,
        };
        let trial = self.take_trial(addrs, life);
        let rank = |addr| match trial {
            Some(trial) if trial == addr => Rank::Trial,
            _ => self.rank(addr, now),
        };
        let mut selected = AddressList::new();
        selected.fill(|out| match self.health.is_empty() {
            true => addrs::select(addrs, None, how, &mut life.dice, out),
            false => addrs::select(addrs, Some(&rank), how, &mut life.dice, out),
        });
        selected.add_lane(selected.as_slice().len());
        selected
    }

    fn take_trial(&self, addrs: &AddressSet, life: &mut Life<'_>) -> Option<IpAddr> {
        let Trial { addr, port } =
            self.health
                .take_trial(&self.host, addrs.as_slice(), self.port, || false, life.now)?;
        if port.is_some() {
            life.probe(addr);
            return None;
        }
        Some(addr)
    }

    fn rank(&self, addr: IpAddr, now: Instant) -> Rank {
        self.health.read(
            self.host.as_str(),
            now,
            |records: &[(IpAddr, AddressRecord)]| {
                let found = records.iter().find(|(other, _)| *other == addr);
                found.map_or(Rank::Healthy, |(_, record)| record.rank(now))
            },
        )
    }
}

/// Starts lookups and timers, as `resolver/refresh.rs` does.
impl Sidestep {
    /// Returns the number of the lookup to wait for.
    fn ask(&mut self, cause: LookupReason, life: &mut Life<'_>) -> Option<u32> {
        if let Some(current) = self.slot.joinable(self.runtime) {
            return self.number(current);
        }
        let limited = matches!(
            cause,
            LookupReason::ConnectFailed | LookupReason::Invalidated
        );
        if limited && !self.limiter.try_acquire(life.now) {
            return None;
        }
        let (sender, in_flight) = InFlightLookup::new(self.runtime, life.now);
        if let Some(current) = self.slot.join_or_start(&in_flight, cause, life.now) {
            return self.number(&current);
        }
        let lookup = life.ask();
        self.in_the_air.push(InTheAir {
            lookup,
            in_flight: in_flight.sent_at(self.slot.generation()),
            _sender: sender,
        });
        Some(lookup)
    }

    fn number(&self, in_flight: &InFlightLookup) -> Option<u32> {
        let found = self.in_the_air.iter().find(|it| it.in_flight.is(in_flight));
        found.map(|it| it.lookup)
    }

    fn landed(
        &mut self,
        lookup: u32,
        asked_at: Instant,
        answer: Option<&'static Edges>,
        life: &mut Life<'_>,
    ) {
        let Some(place) = self.in_the_air.iter().position(|it| it.lookup == lookup) else {
            return;
        };
        let InTheAir {
            in_flight, _sender, ..
        } = self.in_the_air.swap_remove(place);
        let outcome = match answer {
            Some(edges) => Ok(fresh_addrs(edges, life)),
            None => Err(ResolveError::timed_out(self.host.as_str())),
        };
        let completed = CompletedLookup {
            asked_at,
            outcome,
            share: ttl::share(&mut life.dice),
            max_stale: SERVE_STALE,
            fallback: None,
        };
        let landed = self.slot.complete(&in_flight, &completed, life.now);
        for (request, tries, last_resort) in self.waiters(lookup) {
            match (&landed, last_resort) {
                (Some(Ok(known)), _) => self.dial(request, tries, known, life),
                (_, Some(known)) => self.dial(request, tries, &known, life),
                (_, None) => life.fail(false),
            }
        }
    }

    fn waiters(&mut self, lookup: u32) -> Vec<(u32, u32, Option<Arc<CachedAnswer>>)> {
        let waits = |request: &mut Request| matches!(&request.doing, Doing::Waits { lookup: other, .. } if *other == lookup);
        let waiters = self.requests.extract_if(.., waits);
        let last_resort = |doing| match doing {
            Doing::Waits { last_resort, .. } => last_resort,
            Doing::Dials(_) => None,
        };
        waiters
            .map(|it| (it.number, it.tries, last_resort(it.doing)))
            .collect()
    }

    fn impatient(&mut self, request: u32, life: &mut Life<'_>) {
        let waits = |it: &Request| it.number == request && matches!(it.doing, Doing::Waits { .. });
        let Some(place) = self.requests.iter().position(waits) else {
            return;
        };
        let request = self.requests.swap_remove(place);
        if let Doing::Waits {
            last_resort: Some(known),
            ..
        } = request.doing
        {
            self.dial(request.number, request.tries, &known, life);
        }
    }

    fn note_use(&mut self, known: &CachedAnswer, life: &mut Life<'_>) {
        if known.is_first_use() {
            self.refresh_ahead(life);
        }
    }

    fn refresh_ahead(&mut self, life: &mut Life<'_>) {
        if let Some((due, _)) = self.slot.next_lookup(life.now) {
            self.sleep(due, life);
        }
    }

    fn sleep(&mut self, due: Instant, life: &mut Life<'_>) {
        if self.reservation.is_none_or(|earlier| earlier > due) {
            self.reservation = Some(due);
            life.plan(due.max(life.now), Event::Woken);
        }
    }

    fn woken(&mut self, life: &mut Life<'_>) {
        // If the refresh is not due, another timer has replaced this one.
        if self.reservation.take_if(|due| *due <= life.now).is_none() {
            return;
        }
        match self.slot.next_lookup(life.now) {
            Some((due, cause)) if due <= life.now => {
                let _ = self.ask(cause, life);
            }
            Some(_) => self.refresh_ahead(life),
            None => {}
        }
    }
}

/// Records the outcome of a connect, as `resolver/report.rs` and `retry` do.
impl Sidestep {
    fn dial_next(&mut self, request: u32, life: &mut Life<'_>) {
        let Some(place) = self.requests.iter().position(|it| it.number == request) else {
            return;
        };
        let Doing::Dials(note) = &mut self.requests[place].doing else {
            return;
        };
        if let Some(addr) = note.left.next() {
            return life.dial(request, addr);
        }
        let request = self.requests.swap_remove(place);
        if let Doing::Dials(note) = request.doing {
            self.failed(request.number, request.tries, &note, life);
        }
    }

    fn connected(&mut self, request: u32, winner: IpAddr, life: &mut Life<'_>) {
        let Some(place) = self.requests.iter().position(|it| it.number == request) else {
            return;
        };
        let Doing::Dials(note) = self.requests.swap_remove(place).doing else {
            return;
        };
        let selected = note.selected.as_slice();
        for loser in attribution::failed_before_winner(selected, winner) {
            self.hold_against(&note, loser, Outcome::Failed, false, life);
        }
        let late = life.now >= note.at + attribution::HEAD_START;
        for (loser, why) in attribution::slower_than_winner(selected, winner, late, REACH) {
            self.hold_against(&note, loser, why, true, life);
        }
        self.port = Some(PORT);
        self.health
            .family_connects(Family::of(winner.to_canonical()));
        let winner = winner.to_canonical();
        if self
            .health
            .record_success(&self.host, winner, note.at, life.now)
            == Transition::Recovered
        {
            self.slot.set_has_healthy(true);
        }
    }

    /// Handles a connect of which every address refused. The request is sent again while a healthy address or a fresh
    /// answer may come.
    fn failed(&mut self, request: u32, tries: u32, note: &Note, life: &mut Life<'_>) {
        for addr in attribution::every_address(note.selected.as_slice()) {
            self.hold_against(note, addr, Outcome::Refused, false, life);
        }
        let now = life.now;
        let outlook = self.health_left(now) || self.slot.expects_fresh_answer(now);
        match outlook && tries < TRIES {
            true => self.connect(request, tries + 1, life),
            false => life.fail(true),
        }
    }

    fn hold_against(
        &mut self,
        note: &Note,
        addr: IpAddr,
        why: Outcome,
        soft: bool,
        life: &mut Life<'_>,
    ) {
        self.penalize(addr, why, soft, note.at, life);
        if self.slot.invalidate(note.generation) {
            self.look_again(life);
        }
    }

    /// Re-resolves the host at once, or as soon as that is due.
    fn look_again(&mut self, life: &mut Life<'_>) {
        let health_left = self.health_left(life.now);
        self.slot.set_has_healthy(health_left);
        match self.slot.reresolve_at(life.now) {
            Some(due) if due > life.now => self.sleep(due, life),
            Some(_) if health_left => {}
            Some(_) => {
                let _ = self.ask(LookupReason::ConnectFailed, life);
            }
            None => {}
        }
    }

    fn health_left(&self, now: Instant) -> bool {
        self.slot.answer().is_some_and(|known| {
            let mut addrs = known.addrs.as_slice().iter();
            addrs.any(|&addr| self.rank(addr, now) <= Rank::Healthy)
        })
    }

    fn penalize(
        &self,
        addr: IpAddr,
        why: Outcome,
        soft: bool,
        began: Instant,
        life: &mut Life<'_>,
    ) {
        let (error, dice) = (None, life.dice.fork());
        let failure = Failure { why, soft, error };
        let _ = self
            .health
            .record_failure(&self.host, addr, &failure, began, life.now, &dice);
    }

    fn probed(&mut self, addr: IpAddr, began: Instant, connected: bool, life: &mut Life<'_>) {
        if connected {
            let change = self.health.accepts(&self.host, addr, began, life.now);
            if change == Transition::Recovered {
                self.slot.set_has_healthy(true);
            }
        } else {
            self.penalize(addr, Outcome::Refused, false, began, life);
        }
    }
}

fn fresh_addrs(edges: &Edges, life: &mut Life<'_>) -> FreshAddresses {
    let ttl = TTL.positive(Some(life.ttl()));
    FreshAddresses {
        addrs: AddressSet::new(edges.iter().copied()),
        is_partial: false,
        origin: Origin::Lookup,
        life: ttl,
        refresh_after: ttl::refresh_after(ttl, &mut life.dice),
    }
}

impl Client for Sidestep {
    fn request(&mut self, life: &mut Life<'_>) {
        self.numbered = self.numbered.wrapping_add(1);
        self.connect(self.numbered, 0, life);
    }

    fn take(&mut self, event: Event, life: &mut Life<'_>) {
        match event {
            Event::Landed {
                lookup,
                asked_at,
                answer,
            } => self.landed(lookup, asked_at, answer, life),
            Event::Dialled {
                request,
                addr,
                connected: true,
            } => self.connected(request, addr, life),
            Event::Dialled { request, .. } => self.dial_next(request, life),
            Event::Probed {
                addr,
                began,
                connected,
            } => self.probed(addr, began, connected, life),
            Event::Impatient { request } => self.impatient(request, life),
            Event::Woken => self.woken(life),
        }
    }
}
