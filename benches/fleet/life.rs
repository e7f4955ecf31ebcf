//! The life of one process: its clock, its dice and what comes next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::scenario::{EDGE_RTT, Edges, STARTS, World};
use crate::tally::{Second, Tally};

/// What a process's client does. It is told the time by its [`Life`].
pub(crate) trait Client {
    /// A request begins.
    fn request(&mut self, life: &mut Life<'_>);
    /// Something that it waits for has come.
    fn take(&mut self, event: Event, life: &mut Life<'_>);
}

/// Something that a process waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// The lookup of this number has ended.
    Landed {
        lookup: u32,
        asked_at: Instant,
        answer: Option<&'static Edges>,
    },
    /// The dial of a request has ended.
    Dialled {
        request: u32,
        addr: IpAddr,
        connected: bool,
    },
    /// A dial that belongs to no request has ended.
    Probed {
        addr: IpAddr,
        began: Instant,
        connected: bool,
    },
    /// A request has waited long enough for a lookup.
    Impatient { request: u32 },
    /// A sleeper wakes that lay down until now.
    Woken,
}

/// The clock, the dice and the events to come.
pub(crate) struct Life<'a> {
    pub(crate) now: Instant,
    pub(crate) dice: fastrand::Rng,
    world: &'a World,
    tally: &'a mut Tally,
    arrivals: fastrand::Rng,
    interval: Duration,
    /// Soonest first, and of one moment as they were planned.
    events: BinaryHeap<Reverse<(Instant, u32, Event)>>,
    planned: u32,
}

impl<'a> Life<'a> {
    /// The same seed makes the same requests at the same times, whatever becomes of them.
    pub(crate) fn new(
        world: &'a World,
        interval: Duration,
        seed: u64,
        tally: &'a mut Tally,
    ) -> Self {
        let mut arrivals = fastrand::Rng::with_seed(seed);
        let now = world.begin + STARTS.mul_f64(arrivals.f64());
        Self {
            now,
            dice: fastrand::Rng::with_seed(!seed),
            world,
            tally,
            arrivals,
            interval,
            events: BinaryHeap::new(),
            planned: 0,
        }
    }

    /// Lives to the end of the world.
    pub(crate) fn run(mut self, mut client: impl Client) {
        let end = self.world.end();
        let mut arrival = self.next_arrival();
        loop {
            let next = self.events.peek().map(|Reverse((at, ..))| *at);
            let at = next.map_or(arrival, |next| next.min(arrival));
            if at >= end {
                return;
            }
            self.now = at;
            if next == Some(at) {
                let Some(Reverse((_, _, event))) = self.events.pop() else {
                    return;
                };
                client.take(event, &mut self);
            } else {
                self.second().requests += 1;
                client.request(&mut self);
                arrival = self.next_arrival();
            }
        }
    }

    /// Sends a lookup and returns its number.
    pub(crate) fn ask(&mut self) -> u32 {
        self.second().queries += 1;
        let lookup = self.planned;
        let reply = self.world.reply(self.now);
        let landed = Event::Landed {
            lookup,
            asked_at: self.now,
            answer: reply.answer,
        };
        self.plan(self.now + reply.after, landed);
        lookup
    }

    pub(crate) fn ttl(&self) -> Duration {
        self.world.ttl()
    }

    /// Dials an address for a request.
    pub(crate) fn dial(&mut self, request: u32, addr: IpAddr) {
        let connected = self.begin_dial(addr);
        let dialled = Event::Dialled {
            request,
            addr,
            connected,
        };
        self.plan(self.now + EDGE_RTT, dialled);
    }

    /// Dials an address of which nobody needs to hear that it connected. Returns false, and does not
    /// dial, if it would not.
    pub(crate) fn dial_and_forget(&mut self, addr: IpAddr) -> bool {
        let is_up = self.world.is_up(addr, self.now);
        if is_up {
            self.begin_dial(addr);
        }
        is_up
    }

    /// Dials an address for nobody.
    pub(crate) fn probe(&mut self, addr: IpAddr) {
        self.second().probes += 1;
        let connected = self.world.is_up(addr, self.now);
        let probed = Event::Probed {
            addr,
            began: self.now,
            connected,
        };
        self.plan(self.now + EDGE_RTT, probed);
    }

    pub(crate) fn plan(&mut self, at: Instant, event: Event) {
        self.events.push(Reverse((at, self.planned, event)));
        self.planned = self.planned.wrapping_add(1);
    }

    /// A request has failed.
    pub(crate) fn fail(&mut self, got_addresses: bool) {
        let second = self.second();
        second.failed += 1;
        second.unanswered += u64::from(!got_addresses);
    }

    fn begin_dial(&mut self, addr: IpAddr) -> bool {
        let is_up = self.world.is_up(addr, self.now);
        let second = self.second();
        second.dials += 1;
        second.dead += u64::from(!is_up);
        is_up
    }

    fn next_arrival(&mut self) -> Instant {
        let wait = -(1.0 - self.arrivals.f64()).ln();
        self.now + self.interval.mul_f64(wait)
    }

    fn second(&mut self) -> &mut Second {
        let second = self.now.duration_since(self.world.begin).as_secs();
        self.tally.at(second)
    }
}
