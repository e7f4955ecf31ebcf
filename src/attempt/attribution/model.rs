//! A model of what hyper-util 0.1.21 does with a list of addresses, on a simulated clock.

use std::net::IpAddr;

use crate::addrs::Family;

/// The end of an attempt, with its time in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    RecentConnects(u64),
    Fails(u64),
    Hangs,
}

/// The settings of a connector.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connector {
    /// The family of the local address that the connector is bound to.
    pub(super) bound: Option<Family>,
    /// The connect timeout, which is divided among the addresses of a lane.
    pub(super) timeout: Option<u64>,
    /// The head start of the first family. `None`: there is no race, and the list is attempted in its order.
    pub(super) head_start: Option<u64>,
}

/// One attempt. `place` is the index of its address in the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial {
    pub(super) place: usize,
    pub(super) began: u64,
    /// When the attempt failed, if it did.
    pub(super) failed: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    Connected { place: usize, at: u64 },
    Failed,
    Hangs,
}

/// All attempts of a connect, and its end.
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

    /// Attempts the addresses one after the other, until one connects.
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
                Fate::RecentConnects(after) if within(after) => {
                    dials.push(dial(None));
                    let end = Some((began + after, Some(place)));
                    return Lane { dials, end };
                }
                Fate::Fails(after) if within(after) => after,
                Fate::RecentConnects(_) | Fate::Fails(_) | Fate::Hangs => match limit {
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

/// The attempts of one family, as if there were no other family.
#[derive(Debug)]
struct Lane {
    dials: Vec<Dial>,
    /// When the lane ended, and the place that connected, if one did. `None`: the lane hangs.
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

    /// Runs both lanes side by side. The first lane that connects ends the run. If one lane fails, the other one goes
    /// on.
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

    /// Removes attempts that had not begun before the end, and failures after the end.
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

/// The model agrees with hyper-util where its behavior is known.
#[test]
fn the_second_lane_starts_after_the_head_start_or_when_the_first_has_failed() {
    use crate::addrs::{v4, v6};
    let connector = Connector {
        bound: None,
        timeout: None,
        head_start: Some(300),
    };
    let stuck = [(v6(1), Fate::Hangs), (v4(1), Fate::RecentConnects(2))];
    let run = connector.run(&stuck);
    assert_eq!(run.end, End::Connected { place: 1, at: 302 });
    assert_eq!(run.dials[1].began, 300);
    let refused = [
        (v6(1), Fate::Fails(1)),
        (v4(1), Fate::RecentConnects(2)),
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
