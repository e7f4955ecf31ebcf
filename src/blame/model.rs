//! What hyper-util 0.1.21 does with a list of addresses, on a made clock.

use std::net::IpAddr;

use crate::order::Family;

/// What becomes of a dial, and after how many milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Connects(u64),
    Fails(u64),
    Hangs,
}

/// How the connector is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connector {
    /// The family of the local address that it is bound to.
    pub(super) bound: Option<Family>,
    /// Divided among the addresses of a lane.
    pub(super) timeout: Option<u64>,
    /// The head start of the first family. `None`: no race, the list is dialled as it is.
    pub(super) head_start: Option<u64>,
}

/// One dial; a place is one of the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial {
    pub(super) place: usize,
    pub(super) began: u64,
    /// When it failed.
    pub(super) failed: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    Connected { place: usize, at: u64 },
    Failed,
    Hangs,
}

/// All that was dialled, and how it ended.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) dials: Vec<Dial>,
    pub(super) end: End,
}

impl Connector {
    pub(super) fn dials(self, family: Family) -> bool {
        self.head_start.is_none() || self.bound.is_none_or(|bound| bound == family)
    }

    pub(super) fn run(self, list: &[(IpAddr, Fate)]) -> Run {
        let places = 0..list.len();
        let Some(head_start) = self.head_start else {
            return self.serial(list, places.collect(), 0).cut();
        };
        let of = |family: Family| {
            let is = |place: &usize| Family::of(list[*place].0) == family;
            places.clone().filter(is).collect::<Vec<_>>()
        };
        let Some(&(head, _)) = list.first() else {
            return Lane::default().cut();
        };
        let first = self.bound.unwrap_or_else(|| Family::of(head));
        let preferred = self.serial(list, of(first), 0);
        let second = of(first.other());
        if self.bound.is_some() || second.is_empty() {
            return preferred.cut();
        }
        match preferred.end {
            Some((at, Some(_))) if at <= head_start => preferred.cut(),
            Some((at, None)) if at <= head_start => {
                let fallback = self.serial(list, second, at);
                preferred.followed_by(fallback).cut()
            }
            _ => preferred.race(self.serial(list, second, head_start)).cut(),
        }
    }

    /// One after the other, until one connects.
    fn serial(self, list: &[(IpAddr, Fate)], places: Vec<usize>, start: u64) -> Lane {
        let limit = self.timeout.map(|all| all / (places.len() as u64).max(1));
        let (mut dials, mut began) = (Vec::new(), start);
        for place in places {
            let dial = |failed| Dial {
                place,
                began,
                failed,
            };
            let within = |after: u64| limit.is_none_or(|limit| after < limit);
            let failed_after = match list[place].1 {
                Fate::Connects(after) if within(after) => {
                    dials.push(dial(None));
                    let end = Some((began + after, Some(place)));
                    return Lane { dials, end };
                }
                Fate::Fails(after) if within(after) => after,
                Fate::Connects(_) | Fate::Fails(_) | Fate::Hangs => match limit {
                    Some(limit) => limit,
                    None => {
                        dials.push(dial(None));
                        return Lane { dials, end: None };
                    }
                },
            };
            dials.push(dial(Some(began + failed_after)));
            began += failed_after;
        }
        let end = Some((began, None));
        Lane { dials, end }
    }
}

/// The addresses of a family, as if there were no other.
#[derive(Debug)]
struct Lane {
    dials: Vec<Dial>,
    /// When, and at which place it connected.
    end: Option<(u64, Option<usize>)>,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            dials: Vec::new(),
            end: Some((0, None)),
        }
    }
}

impl Lane {
    fn followed_by(mut self, next: Self) -> Self {
        self.dials.extend(next.dials);
        Self {
            end: next.end,
            ..self
        }
    }

    /// Both run. The first to connect ends it; one that fails leaves it to the other.
    fn race(mut self, other: Self) -> Self {
        let end = match (self.end, other.end) {
            (Some((one, Some(_))), Some((two, Some(_)))) if two < one => other.end,
            (Some((_, Some(_))), _) => self.end,
            (_, Some((_, Some(_)))) => other.end,
            (Some((one, None)), Some((two, None))) => Some((one.max(two), None)),
            (None, _) | (_, None) => None,
        };
        self.dials.extend(other.dials);
        Self { end, ..self }
    }

    /// What had not begun or failed before the end never does.
    fn cut(self) -> Run {
        let (at, end) = match self.end {
            Some((at, Some(place))) => (at, End::Connected { place, at }),
            Some((at, None)) => (at, End::Failed),
            None => (u64::MAX, End::Hangs),
        };
        let begun = self.dials.into_iter().filter(|dial| dial.began <= at);
        let dials = begun.map(|dial| Dial {
            failed: dial.failed.filter(|&failed| failed <= at),
            ..dial
        });
        Run {
            dials: dials.collect(),
            end,
        }
    }
}

/// The model by itself, on what is known of hyper-util.
#[test]
fn the_second_lane_starts_after_the_head_start_or_when_the_first_has_failed() {
    use crate::order::{v4, v6};
    let connector = Connector {
        bound: None,
        timeout: None,
        head_start: Some(300),
    };
    let stuck = [(v6(1), Fate::Hangs), (v4(1), Fate::Connects(2))];
    let run = connector.run(&stuck);
    assert_eq!(run.end, End::Connected { place: 1, at: 302 });
    assert_eq!(run.dials[1].began, 300);
    let refused = [
        (v6(1), Fate::Fails(1)),
        (v4(1), Fate::Connects(2)),
        (v6(2), Fate::Fails(1)),
    ];
    let run = connector.run(&refused);
    assert_eq!(run.end, End::Connected { place: 1, at: 4 });
    let bound = Connector {
        bound: Some(Family::V4),
        ..connector
    };
    assert_eq!(bound.run(&refused).dials.len(), 1);
    let hurried = Connector {
        timeout: Some(200),
        ..connector
    };
    assert_eq!(
        hurried.run(&stuck).end,
        End::Connected { place: 1, at: 202 }
    );
}
