//! Tells each edge what to do next.

use fastrand::Rng;

use crate::edge::Mode;
use crate::schedule::{Act, Anchor, At, EDGES};

/// Time between two moments in which an edge that serves is cut off: a request that was cut off is
/// sent once more and not twice, so the second edge has to live long enough to answer.
pub(crate) const BETWEEN_CUTS: At = 1_000;
/// How fine the schedule is.
const TICK: At = 50;

/// What an edge is up to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Steady(Mode),
    /// Serves and refuses by turns.
    Flapping,
}

#[derive(Clone, Copy, Debug)]
struct Player {
    role: Role,
    mode: Mode,
    role_until: At,
    /// When it flaps next.
    flaps_at: At,
    listed: bool,
    /// When it leaves DNS or comes back.
    relisted_at: At,
}

pub(crate) struct Director {
    anchors: Vec<Anchor>,
    players: [Player; EDGES],
    last_cut: At,
    rng: Rng,
    steps: Vec<(At, Act)>,
}

/// How an edge may be dead, each as likely as the others.
const ROLES: [Role; 8] = [
    Role::Steady(Mode::Refuse),
    Role::Steady(Mode::BlackHole),
    Role::Steady(Mode::TlsReset),
    Role::Steady(Mode::WrongCertificate),
    Role::Steady(Mode::AcceptAndClose),
    Role::Steady(Mode::CloseAfterRequest),
    Role::Steady(Mode::Hang),
    Role::Flapping,
];

const SERVES: Role = Role::Steady(Mode::Serve);

/// Most edges that are at once dead in this way. The others have no limit.
pub(crate) fn most(mode: Mode) -> usize {
    match mode {
        // A request that may have been acted on is sent once more and not twice.
        Mode::CloseAfterRequest => 1,
        // A certificate that is wrong is met at most three times in a row.
        Mode::WrongCertificate => 2,
        _ => EDGES,
    }
}

/// Whether requests in flight are cut off when an edge takes this on. What is black-holed sends
/// nothing, and one that was cut off would tell its client at once that the edge is dead; so there
/// they are answered, as they are where only the handshake goes wrong.
pub(crate) fn cuts(mode: Mode) -> bool {
    match mode {
        Mode::Refuse | Mode::AcceptAndClose | Mode::CloseAfterRequest | Mode::Serve => true,
        Mode::BlackHole
        | Mode::Hang
        | Mode::TlsReset
        | Mode::Unavailable
        | Mode::WrongCertificate => false,
    }
}

impl Director {
    pub(crate) fn new(anchors: Vec<Anchor>, mut rng: Rng) -> Self {
        let players = std::array::from_fn(|_| Player {
            role: SERVES,
            mode: Mode::Serve,
            role_until: rng.u64(3_000..12_000),
            flaps_at: 0,
            listed: true,
            relisted_at: rng.u64(5_000..40_000),
        });
        Self {
            anchors,
            players,
            last_cut: 0,
            rng,
            steps: vec![(0, Act::Dns([true; EDGES]))],
        }
    }

    /// Plays everything through to the end and returns what happened.
    pub(crate) fn direct(&mut self, end: At) -> Vec<(At, Act)> {
        for now in (0..end).step_by(TICK as usize) {
            let first = self.rng.usize(..EDGES);
            for edge in (first..EDGES).chain(0..first) {
                match self.anchored_until(edge, now) {
                    Some(until) => self.anchor(edge, until, now),
                    None => self.roam(edge, now),
                }
            }
            self.relist(now);
        }
        std::mem::take(&mut self.steps)
    }

    fn anchored_until(&self, edge: usize, now: At) -> Option<At> {
        let mut anchors = self.anchors.iter();
        let anchor = anchors.rfind(|it| it.edge == edge && (it.from..it.until).contains(&now))?;
        Some(anchor.until)
    }

    fn anchor(&mut self, edge: usize, until: At, now: At) {
        self.take_on(edge, Mode::Serve, now);
        let player = &mut self.players[edge];
        player.role = SERVES;
        player.role_until = until;
        player.relisted_at = player.relisted_at.max(until);
    }

    fn roam(&mut self, edge: usize, now: At) {
        let player = self.players[edge];
        if now >= player.role_until {
            self.recast(edge, now);
        } else if player.role == Role::Flapping && now >= player.flaps_at {
            self.flap(edge, now);
        }
    }

    fn recast(&mut self, edge: usize, now: At) {
        let dead = self.players[edge].role != SERVES;
        let role = match dead && self.rng.f64() < 0.6 {
            true => SERVES,
            false => ROLES[self.rng.usize(..ROLES.len())],
        };
        let mode = match role {
            Role::Steady(mode) => mode,
            Role::Flapping => Mode::Refuse,
        };
        let same = self.players.iter().enumerate();
        let same = same.filter(|&(other, player)| other != edge && player.mode == mode);
        if (mode != Mode::Serve && same.count() >= most(mode)) || !self.take_on(edge, mode, now) {
            return;
        }
        let player = &mut self.players[edge];
        player.role = role;
        player.role_until = now + self.rng.u64(4_000..16_000);
        player.flaps_at = now + self.rng.u64(500..1_500);
        // A health check takes a dead edge out of DNS, as often as not, and puts it back later.
        let check = match role == SERVES {
            true => 500..3_000,
            false => 2_000..6_000,
        };
        if (role == SERVES) != player.listed && self.rng.bool() {
            player.relisted_at = now + self.rng.u64(check);
        }
    }

    fn flap(&mut self, edge: usize, now: At) {
        let mode = match self.players[edge].mode {
            Mode::Serve => Mode::Refuse,
            _ => Mode::Serve,
        };
        if self.take_on(edge, mode, now) {
            self.players[edge].flaps_at = now + self.rng.u64(500..1_500);
        }
    }

    /// Returns false when it has to wait, because another edge was cut off just now.
    fn take_on(&mut self, edge: usize, mode: Mode, now: At) -> bool {
        let before = self.players[edge].mode;
        if before == mode {
            return true;
        }
        if before == Mode::Serve && cuts(mode) {
            if now < self.last_cut + BETWEEN_CUTS {
                return false;
            }
            self.last_cut = now;
        }
        self.players[edge].mode = mode;
        self.steps.push((now, Act::Edge(edge, mode)));
        true
    }

    fn relist(&mut self, now: At) {
        let before = self.players.map(|player| player.listed);
        for edge in 0..EDGES {
            let anchored = self.anchored_until(edge, now).is_some();
            let player = &mut self.players[edge];
            if anchored {
                player.listed = true;
            } else if now >= player.relisted_at {
                player.listed = !player.listed;
                player.relisted_at = now + self.rng.u64(3_000..40_000);
            }
        }
        let after = self.players.map(|player| player.listed);
        if after != before {
            self.steps.push((now, Act::Dns(after)));
        }
    }
}
