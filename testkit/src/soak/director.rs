//! Chooses the next mode of each edge.

use fastrand::Rng;

use super::scenes::Scene;
use super::schedule::{Act, Anchor, At, Connects, EDGES, Some8};
use crate::edge::Mode;

/// Resolution of the schedule.
const TICK: At = 50;
/// Time in which a lost request is sent again and gets its response, after up to two slow connects.
const SENT_AGAIN: At = 2_000;
/// Time in which a client with pings detects a silent connection: 4 s, and 0.5 s for a busy machine.
const NOTICED: At = 4_500;

/// The behavior of an edge for some time.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Steady(Mode),
    /// The edge serves and refuses in turns.
    Flapping,
}

#[derive(Clone, Copy, Debug)]
struct Player {
    role: Role,
    mode: Mode,
    role_until: At,
    /// When the edge flaps next.
    flaps_at: At,
    listed: bool,
    /// When DNS removes the edge or adds the edge again.
    relisted_at: At,
}

pub struct Director {
    connects: Connects,
    anchors: Vec<Anchor>,
    scenes: Vec<Scene>,
    players: [Player; EDGES],
    /// Time from which requests may be lost again.
    free_at: At,
    /// How often each of [`ROLES`] was used.
    taken: [usize; ROLES.len()],
    rng: Rng,
    steps: Vec<(At, Act)>,
}

/// The roles of dead edges. Only clients with pings get the last one, because without pings a request would wait
/// forever for an edge that hangs in HTTP.
const ROLES: [Role; 9] = [
    Role::Steady(Mode::Refuse),
    Role::Steady(Mode::BlackHole),
    Role::Steady(Mode::TlsReset),
    Role::Steady(Mode::WrongCertificate),
    Role::Steady(Mode::AcceptAndClose),
    Role::Steady(Mode::CloseAfterRequest),
    Role::Steady(Mode::Hang),
    Role::Flapping,
    Role::Steady(Mode::HangInHttp),
];

const SERVES: Role = Role::Steady(Mode::Serve);

/// Returns the first mode of a role.
fn mode_of(role: Role) -> Mode {
    match role {
        Role::Steady(mode) => mode,
        Role::Flapping => Mode::Refuse,
    }
}

/// Returns how many edges may be in this mode at once.
pub fn most(mode: Mode, connects: Connects) -> usize {
    match mode {
        // A request that an edge may have processed is sent once more and not twice.
        Mode::CloseAfterRequest | Mode::HangInHttp => 1,
        // One request gets at most two wrong certificates, and a race gets two before the race fails.
        Mode::WrongCertificate => match connects {
            Connects::ForEachRequest => 2,
            Connects::Pooled => 1,
        },
        _ => EDGES,
    }
}

/// What an edge does with its connections when its mode changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The edge closes the connections, and requests in flight are lost.
    Closed,
    /// The edge responds to requests in flight.
    Kept,
    /// The connections go silent.
    Silent,
}

/// Returns what an edge does with its connections in `mode`. A black-holed edge closes no connection, because the end
/// of a connection would show at once that the edge is dead. If each request has its own connection, the edge
/// responds to requests in flight, as an edge does whose handshakes fail. Pooled connections go silent. An edge that
/// loses requests loses only those on new pooled connections, because otherwise one request would be lost twice. An
/// edge that serves again closes no connection, because it may have served a moment ago.
pub fn fate(mode: Mode, connects: Connects) -> Fate {
    match (mode, connects) {
        (Mode::Refuse, _) => Fate::Closed,
        (Mode::CloseAfterRequest, Connects::ForEachRequest) => Fate::Closed,
        (Mode::BlackHole, Connects::Pooled) => Fate::Silent,
        (Mode::BlackHole | Mode::CloseAfterRequest | Mode::Serve, _) => Fate::Kept,
        (Mode::AcceptAndClose | Mode::Hang | Mode::HangInHttp | Mode::TlsReset, _) => Fate::Kept,
        (Mode::Unavailable | Mode::WrongCertificate, _) => Fate::Kept,
    }
}

/// Returns for how long after this mode requests are lost, if an edge in this mode accepts requests and loses them.
pub fn loses_for(mode: Mode) -> Option<At> {
    match mode {
        Mode::CloseAfterRequest => Some(SENT_AGAIN),
        Mode::HangInHttp => Some(NOTICED + SENT_AGAIN),
        _ => None,
    }
}

/// Returns for how long no other request may be lost, if requests are lost when an edge changes from `before` to
/// `mode`. Each request is sent once more and not twice.
pub fn loss(before: Mode, mode: Mode, connects: Connects) -> Option<At> {
    let had_connections = match connects {
        Connects::ForEachRequest => before == Mode::Serve,
        Connects::Pooled => !matches!(before, Mode::Refuse | Mode::BlackHole),
    };
    let of_fate = match fate(mode, connects) {
        Fate::Closed => Some(SENT_AGAIN),
        Fate::Silent => Some(NOTICED + SENT_AGAIN),
        Fate::Kept => None,
    };
    let of_fate = of_fate.filter(|_| had_connections);
    loses_for(mode).or(of_fate)
}

impl Director {
    pub fn new(connects: Connects, anchors: Vec<Anchor>, scenes: Vec<Scene>, mut rng: Rng) -> Self {
        let players = std::array::from_fn(|_| Player {
            role: SERVES,
            mode: Mode::Serve,
            role_until: rng.u64(3_000..12_000),
            flaps_at: 0,
            listed: true,
            relisted_at: rng.u64(5_000..40_000),
        });
        Self {
            connects,
            anchors,
            scenes,
            players,
            free_at: 0,
            taken: [0; ROLES.len()],
            rng,
            steps: vec![(0, Act::Dns([true; EDGES]))],
        }
    }

    /// Plays the whole schedule and returns its steps.
    pub fn direct(&mut self, end: At) -> Vec<(At, Act)> {
        for now in (0..end).step_by(TICK as usize) {
            self.wait_for_losses(now);
            self.play_scenes(now);
            let mut scenes = self.scenes.iter();
            let is_still = scenes.any(|scene| (scene.heals..scene.still_until).contains(&now));
            let first = self.rng.usize(..EDGES);
            for edge in (first..EDGES).chain(0..first) {
                match self.anchored_until(edge, now) {
                    Some(until) => self.anchor(edge, until, now),
                    None if is_still => {}
                    None => self.roam(edge, now),
                }
            }
            self.relist(now);
        }
        std::mem::take(&mut self.steps)
    }

    /// Makes all edges serve before a scene, and then makes its victims die.
    fn play_scenes(&mut self, now: At) {
        let heals = |scene: &&Scene| scene.heals == now;
        if let Some(scene) = self.scenes.iter().find(heals) {
            let until = scene.still_until;
            for edge in 0..EDGES {
                let _is_on = self.take_on(edge, Mode::Serve, now, 0);
                let player = &mut self.players[edge];
                player.role = SERVES;
                player.role_until = until + self.rng.u64(500..6_000);
            }
        }
        let dies = |scene: &&Scene| scene.dies == now;
        if let Some(scene) = self.scenes.iter().find(dies) {
            let (victims, mode, until) = (scene.victims, scene.mode, now + scene.dead_for);
            for edge in (0..EDGES).filter(|&edge| victims[edge]) {
                let player = &mut self.players[edge];
                player.role = Role::Steady(mode);
                player.mode = mode;
                player.role_until = until;
            }
            self.steps.push((now, Act::Edges(victims, mode)));
            let lost = scene_loss(mode, self.connects);
            self.free_at = self.free_at.max(now + lost);
        }
    }

    /// Delays other losses while an edge accepts requests and loses them.
    fn wait_for_losses(&mut self, now: At) {
        let players = self.players.iter();
        let lost = players.filter_map(|player| loses_for(player.mode)).max();
        if let Some(lost) = lost {
            self.free_at = self.free_at.max(now + lost);
        }
    }

    fn anchored_until(&self, edge: usize, now: At) -> Option<At> {
        let mut anchors = self.anchors.iter();
        let anchor = anchors.rfind(|it| it.edge == edge && (it.from..it.until).contains(&now))?;
        Some(anchor.until)
    }

    fn anchor(&mut self, edge: usize, until: At, now: At) {
        let _is_on = self.take_on(edge, Mode::Serve, now, 0);
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
        let before = self.players[edge];
        let dead = before.role != SERVES;
        let serves = dead && self.rng.f64() < 0.6;
        // An edge that loses requests serves next, so that the time of its losses is known.
        let drawn = match serves || loses_for(before.mode).is_some() {
            true => None,
            false => Some(self.draw()),
        };
        let role = drawn.map_or(SERVES, |drawn| ROLES[drawn]);
        let mode = mode_of(role);
        let same = self.players.iter().enumerate();
        let same = same.filter(|&(other, player)| other != edge && player.mode == mode);
        let most = most(mode, self.connects);
        // While this edge loses requests, no other edge may lose any.
        let lasts = match loses_for(mode) {
            Some(_) => self.rng.u64(1_500..4_000),
            None => self.rng.u64(4_000..16_000),
        };
        if (mode != Mode::Serve && same.count() >= most) || !self.take_on(edge, mode, now, lasts) {
            return;
        }
        if let Some(drawn) = drawn {
            self.taken[drawn] += 1;
        }
        let player = &mut self.players[edge];
        player.role = role;
        player.role_until = now + lasts;
        player.flaps_at = now + self.rng.u64(500..1_500);
        // In half of the cases a health check removes a dead edge from DNS and adds the edge again later.
        let check = match role == SERVES {
            true => 500..3_000,
            false => 2_000..6_000,
        };
        if (role == SERVES) != player.listed && self.rng.bool() {
            player.relisted_at = now + self.rng.u64(check);
        }
    }

    /// Draws a role, and each role is equally likely. If the role loses requests, the function returns the losing
    /// role that was used least often, because losing roles wait for each other.
    fn draw(&mut self) -> usize {
        let all = match self.connects {
            Connects::ForEachRequest => ROLES.len() - 1,
            Connects::Pooled => ROLES.len(),
        };
        let drawn = self.rng.usize(..all);
        let loses =
            |role: &usize| loss(Mode::Serve, mode_of(ROLES[*role]), self.connects).is_some();
        match loses(&drawn) {
            false => drawn,
            true => {
                let losing = (drawn..all).chain(0..drawn).filter(loses);
                losing.min_by_key(|&role| self.taken[role]).unwrap_or(drawn)
            }
        }
    }

    fn flap(&mut self, edge: usize, now: At) {
        let mode = match self.players[edge].mode {
            Mode::Serve => Mode::Refuse,
            _ => Mode::Serve,
        };
        if self.take_on(edge, mode, now, 0) {
            self.players[edge].flaps_at = now + self.rng.u64(500..1_500);
        }
    }

    /// Changes the mode of an edge. Returns false if the change has to wait, because requests would be lost that may
    /// have been lost just now, or that a scene will lose.
    #[must_use]
    fn take_on(&mut self, edge: usize, mode: Mode, now: At, lasts: At) -> bool {
        let before = self.players[edge].mode;
        if before == mode {
            return true;
        }
        if let Some(lost) = loss(before, mode, self.connects) {
            let over = now + lost + loses_for(mode).map_or(0, |_| lasts);
            let mut scenes = self.scenes.iter();
            let loses = |scene: &Scene| scene_loss(scene.mode, self.connects) > 0;
            let is_lost_in = |scene: &Scene| loses(scene) && (now..over).contains(&scene.dies);
            if now < self.free_at || scenes.any(is_lost_in) {
                return false;
            }
            self.free_at = now + lost;
        }
        self.players[edge].mode = mode;
        self.steps.push((now, Act::Edge(edge, mode)));
        true
    }

    fn listed_by_scene(&self, now: At) -> Option<Some8> {
        let mut lists = self.scenes.iter().flat_map(|scene| &scene.lists);
        let list = lists.find(|(from, until, _)| (*from..*until).contains(&now));
        list.map(|(_, _, listed)| *listed)
    }

    fn relist(&mut self, now: At) {
        let before = self.players.map(|player| player.listed);
        let by_scene = self.listed_by_scene(now);
        for edge in 0..EDGES {
            if let Some(listed) = by_scene {
                let player = &mut self.players[edge];
                player.listed = listed[edge];
                player.relisted_at = now + self.rng.u64(500..4_000);
                continue;
            }
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

/// Returns for how long no other request may be lost after edges have died in a scene.
pub fn scene_loss(mode: Mode, connects: Connects) -> At {
    match fate(mode, connects) {
        Fate::Silent => NOTICED + SENT_AGAIN,
        Fate::Closed | Fate::Kept => 0,
    }
}
