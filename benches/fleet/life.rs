//! The simulation of one process: its clock, its random numbers and its events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::scenario::{EDGE_RTT, Edges, STARTS, World};
use crate::tally::{Second, Tally};

/// The client of a process. A [`Life`] calls its methods.
pub(crate) trait Client {
    /// Begins a request.
    fn request(&mut self, life: &mut Life<'_>);
    /// Handles an event that the client waits for.
    fn take(&mut self, event: Event, life: &mut Life<'_>);
}

/// An event that a process waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// The lookup with this number has ended.
    Landed {
        lookup: u32,
        asked_at: Instant,
        answer: Option<&'static Edges>,
    },
    /// An attempt of a request has ended.
    Dialled {
        request: u32,
        addr: IpAddr,
        connected: bool,
    },
    /// A probe has ended.
    Probed {
        addr: IpAddr,
        began: Instant,
        connected: bool,
    },
    /// A request no longer waits for its lookup, and uses a last resort.
    Impatient { request: u32 },
    /// A timer has ended.
    Woken,
}

/// The clock, the random numbers and the coming events.
pub(crate) struct Life<'a> {
    pub(crate) now: Instant,
    pub(crate) dice: fastrand::Rng,
    world: &'a World,
    tally: &'a mut Tally,
    arrivals: fastrand::Rng,
    interval: Duration,
    /// Coming events by time. Events of the same time are in the order in which they were planned.
    events: BinaryHeap<Reverse<(Instant, u32, Event)>>,
    planned: u32,
}

impl<'a> Life<'a> {
    /// Creates a life. The same seed makes the same requests at the same times, whatever their results.
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

    /// Runs the client to the end of the scenario.
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

    /// Attempts an address for a request.
    pub(crate) fn dial(&mut self, request: u32, addr: IpAddr) {
        let connected = self.begin_dial(addr);
        let dialled = Event::Dialled {
            request,
            addr,
            connected,
        };
        self.plan(self.now + EDGE_RTT, dialled);
    }

    /// Attempts an address, without an event if the address connects. Returns false, and attempts nothing, if the
    /// address is down.
    pub(crate) fn dial_and_forget(&mut self, addr: IpAddr) -> bool {
        let is_up = self.world.is_up(addr, self.now);
        if is_up {
            self.begin_dial(addr);
        }
        is_up
    }

    /// Probes an address.
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

    /// Counts a failed request.
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
