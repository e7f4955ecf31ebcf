//! The other policies.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::life::{Client, Event, Life};
use crate::scenario::Edges;

/// A cache whose entries live for a fixed time.
pub(crate) struct Rival {
    life: Duration,
    /// Whether a failed connect evicts the host and is repeated at once.
    evicts: bool,
    entry: Option<(&'static Edges, Instant)>,
    is_asking: bool,
    requests: Vec<Request>,
    numbered: u32,
}

struct Request {
    number: u32,
    /// The addresses left to attempt, in reverse order.
    left: Vec<IpAddr>,
    tries: u32,
    waits: bool,
}

/// Maximum number of repeated connects of a request.
const TRIES: u32 = 8;

impl Rival {
    pub(crate) fn new(life: Duration, evicts: bool) -> Self {
        Self {
            life,
            evicts,
            entry: None,
            is_asking: false,
            requests: Vec::new(),
            numbered: 0,
        }
    }

    /// Attempts the cached addresses, or waits for a lookup.
    fn connect(&mut self, mut request: Request, life: &mut Life<'_>) {
        match self.entry.filter(|&(_, expires_at)| life.now < expires_at) {
            Some((edges, _)) => self.dial(request, edges, life),
            None => {
                request.waits = true;
                self.requests.push(request);
                if !self.is_asking {
                    self.is_asking = true;
                    life.ask();
                }
            }
        }
    }

    fn dial(&mut self, mut request: Request, edges: &Edges, life: &mut Life<'_>) {
        let mut left = *edges;
        life.dice.shuffle(&mut left);
        if life.dial_and_forget(left[left.len() - 1]) {
            return;
        }
        request.waits = false;
        request.left = left.to_vec();
        self.dial_next(request, life);
    }

    fn dial_next(&mut self, mut request: Request, life: &mut Life<'_>) {
        match request.left.pop() {
            Some(addr) => {
                life.dial(request.number, addr);
                self.requests.push(request);
            }
            None => life.fail(true),
        }
    }

    fn landed(&mut self, answer: Option<&'static Edges>, life: &mut Life<'_>) {
        self.is_asking = false;
        self.entry = answer.map(|edges| (edges, life.now + self.life));
        for request in self
            .requests
            .extract_if(.., |it| it.waits)
            .collect::<Vec<_>>()
        {
            match answer {
                Some(edges) => self.dial(request, edges, life),
                None => life.fail(false),
            }
        }
    }

    fn refused(&mut self, mut request: Request, life: &mut Life<'_>) {
        if !self.evicts {
            return self.dial_next(request, life);
        }
        self.entry = None;
        request.tries += 1;
        match request.tries {
            ..=TRIES => self.connect(request, life),
            _ => life.fail(true),
        }
    }
}

impl Client for Rival {
    fn request(&mut self, life: &mut Life<'_>) {
        self.numbered = self.numbered.wrapping_add(1);
        let request = Request {
            number: self.numbered,
            left: Vec::new(),
            tries: 0,
            waits: false,
        };
        self.connect(request, life);
    }

    fn take(&mut self, event: Event, life: &mut Life<'_>) {
        match event {
            Event::Landed { answer, .. } => self.landed(answer, life),
            Event::Dialled {
                request, connected, ..
            } => {
                let place = self.requests.iter().position(|it| it.number == request);
                let request = place.map(|place| self.requests.swap_remove(place));
                if let Some(request) = request.filter(|_| !connected) {
                    self.refused(request, life);
                }
            }
            Event::Probed { .. } | Event::Impatient { .. } | Event::Woken => {}
        }
    }
}
