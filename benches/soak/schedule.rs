//! What happens to the edges, to DNS and to the name server, and when: settled by a seed.
//!
//! Each of eight edges serves and is dead by turns, for seconds at a time, and leaves DNS and comes
//! back. One is the *anchor*: it serves and is in DNS, until the next one has done so for a while;
//! so every answer that a client may still hold has an edge that serves. Otherwise they are alike.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

use crate::director::Director;
use crate::edge::Mode;
use crate::law;
use crate::name_server::Fault;

pub(crate) const EDGES: usize = 8;
/// TTL of every DNS answer, in seconds.
pub(crate) const TTL: u32 = 5;

/// Milliseconds from the start.
pub(crate) type At = u64;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// This edge takes on this mode.
    Edge(usize, Mode),
    /// These edges are in DNS.
    Dns([bool; EDGES]),
    NameServer(Fault),
}

/// All that happens, in order.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) steps: Vec<(At, Act)>,
    pub(crate) outages: Vec<Outage>,
}

/// A time in which the name server fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) from: At,
    pub(crate) until: At,
    pub(crate) fault: Fault,
}

impl Outage {
    /// Until when a client may not have asked again: who doubles the time between two tries waits
    /// for as long again as the outage lasted, and for a lookup.
    pub(crate) fn felt_until(&self) -> At {
        self.until + OUTAGE + 10_000
    }
}

/// An edge that serves and is in DNS for a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor {
    pub(crate) edge: usize,
    pub(crate) from: At,
    pub(crate) until: At,
}

/// How long two anchors serve side by side: longer than an answer lives and is looked up.
pub(crate) const OVERLAP: At = 10_000;

impl Schedule {
    /// Everything is well all the time.
    pub(crate) fn calm() -> Self {
        Self {
            steps: vec![(0, Act::Dns([true; EDGES]))],
            outages: Vec::new(),
        }
    }

    /// Faults at random.
    pub(crate) fn stormy(seed: u64, lasts: Duration) -> Self {
        let end = lasts.as_millis().try_into().expect("a soak ends");
        let mut rng = Rng::with_seed(seed);
        let outages = outages(end, &mut rng);
        let anchors = anchors(end, &outages, &mut rng);
        let mut director = Director::new(anchors, rng);
        let mut steps = director.direct(end);
        for outage in &outages {
            steps.push((outage.from, Act::NameServer(outage.fault)));
            steps.push((outage.until, Act::NameServer(Fault::None)));
        }
        steps.sort_by_key(|&(at, _)| at);
        let schedule = Self { steps, outages };
        law::check(&schedule);
        schedule
    }
}

const OUTAGE: At = 30_000;
const OUTAGES_APART: Range<At> = 40_000..90_000;

/// The name server is silent, then answers SERVFAIL, by turns.
fn outages(end: At, rng: &mut Rng) -> Vec<Outage> {
    let faults = [Fault::Silent, Fault::ServFail].into_iter().cycle();
    let mut next = 0;
    let outage = |fault| {
        let from = next + rng.u64(OUTAGES_APART);
        let until = from + OUTAGE;
        next = until;
        Outage { from, until, fault }
    };
    let outages = faults.map(outage);
    outages.take_while(|outage| outage.from < end).collect()
}

fn anchors(end: At, outages: &[Outage], rng: &mut Rng) -> Vec<Anchor> {
    let mut anchors: Vec<Anchor> = Vec::new();
    let mut begins = 0;
    while begins < end {
        let before = anchors.last().map(|anchor| anchor.edge);
        let mut edge = rng.usize(..EDGES);
        while before == Some(edge) {
            edge = rng.usize(..EDGES);
        }
        let from = begins.saturating_sub(OVERLAP);
        begins += rng.u64(15_000..40_000);
        // What clients hold while no name server answers is not to die.
        for outage in outages {
            if (outage.from..outage.felt_until()).contains(&begins) {
                begins = outage.felt_until();
            }
        }
        let until = begins;
        anchors.push(Anchor { edge, from, until });
    }
    anchors
}
