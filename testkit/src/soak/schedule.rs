//! A schedule of faults of the edges, of DNS and of the name server, which depends on a seed.
//!
//! Each of eight edges serves and is dead in turns, for seconds at a time, and DNS removes the edge and adds the edge
//! again. One edge at a time is the *anchor*, which serves and is in DNS until the next anchor has done so for some
//! time. So every answer that a client may still hold has an edge that serves. In [scenes](super::scenes) several
//! edges die at once, DNS names one address at a time, and DNS names new addresses while the old ones die.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

use super::director::Director;
use super::law;
use super::scenes::{self, Scene, Slot};
use crate::edge::Mode;
use crate::name_server::Fault;

pub const EDGES: usize = 8;
/// TTL of every DNS answer, in seconds.
pub const TTL: u32 = 5;

/// Milliseconds from the start.
pub type At = u64;

/// Some of the edges.
pub type Some8 = [bool; EDGES];

/// How a client connects, which decides which faults the client can survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connects {
    /// Each request uses a new HTTP/1.1 connection.
    ForEachRequest,
    /// Requests share pooled HTTP/2 connections with pings. A race makes the connections.
    Pooled,
}

/// One step of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// This edge changes to this mode.
    Edge(usize, Mode),
    /// These edges change to this mode together, and close no connection.
    Edges(Some8, Mode),
    /// DNS names these edges.
    Dns(Some8),
    NameServer(Fault),
}

/// All steps, in order.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub connects: Connects,
    pub steps: Vec<(At, Act)>,
    pub outages: Vec<Outage>,
    pub scenes: Vec<Scene>,
}

/// A period in which the name server fails.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    pub from: At,
    pub until: At,
    pub fault: Fault,
}

impl Outage {
    /// Returns when all clients have looked the host up again. A client that doubles the time between two lookups
    /// waits as long as the outage has lasted, and for a lookup.
    pub fn felt_until(&self) -> At {
        self.until + OUTAGE + 10_000
    }
}

/// An edge that serves and is in DNS for some time.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    pub edge: usize,
    pub from: At,
    pub until: At,
}

/// How long two anchors serve side by side: longer than the lifetime and the lookup of an answer.
pub const OVERLAP: At = 10_000;

impl Schedule {
    /// Returns a schedule without faults.
    pub fn calm(connects: Connects) -> Self {
        Self {
            connects,
            steps: vec![(0, Act::Dns([true; EDGES]))],
            outages: Vec::new(),
            scenes: Vec::new(),
        }
    }

    /// Returns a schedule with random faults.
    pub fn stormy(seed: u64, lasts: Duration, connects: Connects) -> Self {
        let end = lasts.as_millis().try_into().expect("a soak ends");
        let mut rng = Rng::with_seed(seed);
        let outages = outages(end, &mut rng);
        let slots = scenes::slots(end, &outages, &mut rng);
        let anchors = anchors(end, &outages, &slots, &mut rng);
        let scenes = scenes::cast(&slots, &anchors, &mut rng);
        let mut director = Director::new(connects, anchors, scenes.clone(), rng);
        let mut steps = director.direct(end);
        for outage in &outages {
            steps.push((outage.from, Act::NameServer(outage.fault)));
            steps.push((outage.until, Act::NameServer(Fault::None)));
        }
        steps.sort_by_key(|&(at, _)| at);
        let schedule = Self {
            connects,
            steps,
            outages,
            scenes,
        };
        law::check(&schedule);
        schedule
    }
}

const OUTAGE: At = 30_000;
const OUTAGES_APART: Range<At> = 60_000..100_000;

/// Returns outages in which the name server is silent or answers SERVFAIL, in turns.
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

/// Chooses the anchors. The last anchor before a scene that changes DNS dies in that scene, and the next anchor takes
/// its place in DNS.
fn anchors(end: At, outages: &[Outage], slots: &[Slot], rng: &mut Rng) -> Vec<Anchor> {
    let mut anchors: Vec<Anchor> = Vec::new();
    let (mut from, mut begins) = (0, 0);
    while begins < end {
        let before = anchors.last().map(|anchor| anchor.edge);
        let mut edge = rng.usize(..EDGES);
        while before == Some(edge) {
            edge = rng.usize(..EDGES);
        }
        let began = begins;
        begins += rng.u64(15_000..40_000);
        let mut scenes = slots.iter().filter(|slot| slot.kind.changes_dns());
        if let Some(scene) = scenes.clone().find(|slot| slot.dies == began) {
            begins = begins.max(scene.ends + OVERLAP);
        }
        // The answers that clients hold during an outage of the name server keep an edge that serves.
        for outage in outages {
            if (outage.from..outage.felt_until()).contains(&begins) {
                begins = outage.felt_until();
            }
        }
        let mut next_from = begins.saturating_sub(OVERLAP);
        let scene = scenes.find(|slot| slot.dies > began);
        if let Some(scene) = scene.filter(|slot| slot.begins <= begins) {
            (begins, next_from) = (scene.dies, scene.moves);
        }
        let until = begins;
        anchors.push(Anchor { edge, from, until });
        from = next_from;
    }
    anchors
}
