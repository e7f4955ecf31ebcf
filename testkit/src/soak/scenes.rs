//! Scenes change several edges and DNS together, at times that depend on a seed.
//!
//! | scene | before | then |
//! |---|---|---|
//! | several hang | all edges serve for 3 s | three to five of them change to one mode at once |
//! | one address | all edges serve for 5 s, then DNS names one of them, as a load-balancing name server (GSLB) does | that edge dies, and DNS names another one 1 s to 3 s later |
//! | moved | DNS names four of the edges for 8 s, and all edges serve for 3 s | DNS names the other four, and the old four die at once |
//!
//! An edge that dies in a scene swallows packets, hangs in TLS, or refuses new connections. The edge closes no
//! connection.

use fastrand::Rng;

use super::schedule::{Anchor, At, EDGES, Outage, Some8};
use crate::edge::Mode;

/// The kind of a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    SeveralHang,
    OneAddress,
    Moved,
}

impl Kind {
    pub fn changes_dns(self) -> bool {
        self != Self::SeveralHang
    }
}

/// The times of a scene.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub kind: Kind,
    /// From this time no other scene takes place, and DNS may change.
    pub begins: At,
    /// From this time all edges serve.
    heals: At,
    pub dies: At,
    /// From this time DNS names edges that serve.
    pub moves: At,
    /// At this time the scene is over, and each client has looked the host up.
    pub ends: At,
    mode: Mode,
}

/// A scene, with its edges and answers.
#[derive(Clone, Debug)]
pub struct Scene {
    pub kind: Kind,
    pub heals: At,
    pub dies: At,
    pub ends: At,
    /// Until this time no other edge changes its mode.
    pub still_until: At,
    pub victims: Some8,
    pub mode: Mode,
    /// How long the victims are dead.
    pub dead_for: At,
    /// The edges that DNS names, with the start and the end.
    pub lists: Vec<(At, At, Some8)>,
}

/// Maximum age of an answer that a client holds while the name server works.
const HELD: At = 8_000;
/// Resolution of the times, which is that of the schedule.
const TICK: At = 50;

impl Slot {
    fn several(begins: At, mode: Mode) -> Self {
        let dies = begins + 3_000;
        Self {
            kind: Kind::SeveralHang,
            begins,
            heals: begins,
            dies,
            moves: dies,
            ends: dies + 3_000,
            mode,
        }
    }

    fn one_address(begins: At, mode: Mode, rng: &mut Rng) -> Self {
        let dies = begins + 5_000 + random(3_000..5_000, rng);
        let moves = dies + random(1_000..3_000, rng);
        Self {
            kind: Kind::OneAddress,
            begins,
            heals: begins,
            dies,
            moves,
            ends: moves + HELD,
            mode,
        }
    }

    fn moved(begins: At, mode: Mode, rng: &mut Rng) -> Self {
        let moves = begins + HELD;
        let dies = moves + random(0..1_000, rng);
        Self {
            kind: Kind::Moved,
            begins,
            heals: dies - 3_000,
            dies,
            moves,
            ends: dies + HELD,
            mode,
        }
    }
}

fn random(range: std::ops::Range<At>, rng: &mut Rng) -> At {
    rng.u64(range) / TICK * TICK
}

/// Returns the times of all scenes. A scene that changes DNS is between two outages of the name server, after all
/// clients have looked the host up since the first one.
pub fn slots(end: At, outages: &[Outage], rng: &mut Rng) -> Vec<Slot> {
    let mut slots = of_dns(end, outages, rng);
    let mut modes = [Mode::BlackHole, Mode::Hang].into_iter().cycle();
    let mut begins = random(8_000..14_000, rng);
    while begins < end {
        let several = Slot::several(begins, modes.next().expect("they go round"));
        let overlaps = |other: &&Slot| several.begins < other.ends && other.begins < several.ends;
        match slots
            .iter()
            .filter(|slot| slot.kind.changes_dns())
            .find(overlaps)
        {
            Some(other) => begins = other.ends + TICK,
            None => {
                slots.push(several);
                begins = several.ends + random(12_000..22_000, rng);
            }
        }
    }
    slots.sort_by_key(|slot| slot.begins);
    slots
}

fn of_dns(end: At, outages: &[Outage], rng: &mut Rng) -> Vec<Slot> {
    let mut modes = [Mode::BlackHole, Mode::Hang, Mode::Refuse]
        .into_iter()
        .cycle();
    let mut slots: Vec<Slot> = Vec::new();
    let felt = outages.iter().map(Outage::felt_until);
    let starts = outages.iter().map(|outage| outage.from).chain([end]);
    for (opens, closes) in [0].into_iter().chain(felt).zip(starts) {
        let mut begins = opens.next_multiple_of(TICK) + random(3_000..6_000, rng);
        loop {
            let mode = modes.clone().next().expect("they go round");
            let slot = match slots.len() % 2 {
                0 => Slot::moved(begins, mode, rng),
                _ => Slot::one_address(begins, mode, rng),
            };
            if slot.ends > closes {
                break;
            }
            slots.push(slot);
            // Each kind of scene uses each mode in turn.
            if slots.len().is_multiple_of(2) {
                modes.next();
            }
            begins = slot.ends + random(5_000..10_000, rng);
        }
    }
    slots
}

/// Chooses the edges of each scene.
pub fn cast(slots: &[Slot], anchors: &[Anchor], rng: &mut Rng) -> Vec<Scene> {
    let cast = |slot: &Slot| {
        let mut others: Vec<_> = (0..EDGES).collect();
        rng.shuffle(&mut others);
        match slot.kind {
            Kind::SeveralHang => {
                let anchored = |edge: usize| {
                    let time = slot.dies..slot.dies + SEVERAL_DEAD;
                    let mut anchors = anchors.iter().filter(|anchor| anchor.edge == edge);
                    anchors.any(|it| it.from < time.end && time.start < it.until)
                };
                others.retain(|&edge| !anchored(edge));
                others.truncate(rng.usize(3..=5));
                scene(slot, &others, SEVERAL_DEAD, Vec::new(), slot.dies)
            }
            Kind::OneAddress => {
                let [old, new] = handover(slot, anchors);
                let [old, new] = [some(&[old]), some(&[new])];
                let lists = vec![
                    (slot.heals + 5_000, slot.moves, old),
                    (slot.moves, slot.ends, new),
                ];
                let victims: Vec<_> = (0..EDGES).filter(|&edge| old[edge]).collect();
                scene(slot, &victims, ALL_DEAD, lists, slot.moves + 5_000)
            }
            Kind::Moved => {
                let [old, new] = handover(slot, anchors);
                others.retain(|&edge| edge != old && edge != new);
                let (with_old, with_new) = others.split_at(EDGES / 2 - 1);
                let old: Vec<_> = with_old.iter().copied().chain([old]).collect();
                let new: Vec<_> = with_new.iter().copied().chain([new]).collect();
                let lists = vec![
                    (slot.begins, slot.moves, some(&old)),
                    (slot.moves, slot.ends, some(&new)),
                ];
                scene(slot, &old, ALL_DEAD, lists, slot.dies + 2_000)
            }
        }
    };
    slots.iter().map(cast).collect()
}

/// How long the victims are dead in a scene in which several edges hang.
const SEVERAL_DEAD: At = 6_000;
/// How long all addresses of an answer are dead: longer than a client holds the answer.
const ALL_DEAD: At = 10_000;

fn scene(
    slot: &Slot,
    victims: &[usize],
    dead_for: At,
    lists: Vec<(At, At, Some8)>,
    still_until: At,
) -> Scene {
    Scene {
        kind: slot.kind,
        heals: slot.heals,
        dies: slot.dies,
        ends: slot.ends,
        still_until,
        victims: some(victims),
        mode: slot.mode,
        dead_for,
        lists,
    }
}

/// Returns the anchor that dies in a scene, and the next anchor.
fn handover(slot: &Slot, anchors: &[Anchor]) -> [usize; 2] {
    let pair = anchors.windows(2).find(|pair| pair[0].until == slot.dies);
    let pair = pair.expect("an anchor ends when its scene says");
    [pair[0].edge, pair[1].edge]
}

fn some(edges: &[usize]) -> Some8 {
    std::array::from_fn(|edge| edges.contains(&edge))
}
