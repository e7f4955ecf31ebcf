//! The ways in which an edge can die, and their times.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use testkit::lab::clients::{Connections, PING};
use testkit::{Mode, Scheme};

use crate::args::Args;

/// What happens to the edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// One of four edges refuses connections
    Refuses,
    /// One of four edges swallows packets: a connect to it never ends
    BlackHoled,
    /// Three of four edges swallow packets
    ThreeBlackHoled,
    /// One of four edges accepts, then resets in the TLS handshake
    TlsReset,
    /// One of four edges accepts, then says nothing in the TLS handshake
    TlsHangs,
    /// One of four edges shows another tenant's certificate
    WrongCertificate,
    /// One of four edges accepts and closes at once (plain HTTP)
    AcceptsAndCloses,
    /// DNS has four new addresses, and the old edges refuse
    Moved,
    /// DNS has four new addresses, and the old edges swallow packets
    MovedBlackHoled,
    /// The only edge swallows packets, and DNS has another one
    OneAddressFailsOver,
    /// One of four edges goes silent under kept HTTP/2 connections, with pings of 1 s
    SilentPooled,
    /// Each DNS answer names one of four edges for 1 s, and one of them swallows packets
    Gslb,
    /// One of four edges refuses, then serves again
    ComesBack,
}

impl Scenario {
    /// Returns the name for the command line, and the description.
    pub(crate) fn words(self) -> (String, String) {
        let value = self.to_possible_value().expect("no scenario is hidden");
        let help = value.get_help().map(ToString::to_string);
        (value.get_name().to_owned(), help.unwrap_or_default())
    }

    pub(crate) fn scheme(self) -> Scheme {
        match self {
            Self::AcceptsAndCloses => Scheme::Http,
            _ => Scheme::Https,
        }
    }

    pub(crate) fn connections(self) -> Connections {
        match self {
            Self::SilentPooled => Connections::Kept,
            _ => Connections::New,
        }
    }

    /// Returns whether each DNS answer names only one address, chosen at random.
    pub(crate) fn names_one(self) -> bool {
        self == Self::Gslb
    }

    /// Returns the TTL of every DNS answer, in seconds.
    pub(crate) fn ttl(self) -> u32 {
        match self.names_one() {
            true => 1,
            false => 1800,
        }
    }

    /// Returns the mode of a dead edge.
    pub(crate) fn death(self) -> Mode {
        match self {
            Self::Refuses | Self::Moved | Self::ComesBack => Mode::Refuse,
            Self::BlackHoled
            | Self::ThreeBlackHoled
            | Self::MovedBlackHoled
            | Self::OneAddressFailsOver
            | Self::SilentPooled
            | Self::Gslb => Mode::BlackHole,
            Self::TlsHangs => Mode::Hang,
            Self::TlsReset => Mode::TlsReset,
            Self::WrongCertificate => Mode::WrongCertificate,
            Self::AcceptsAndCloses => Mode::AcceptAndClose,
        }
    }

    /// Returns the addresses that are in DNS at first.
    pub(crate) fn old_ips(self) -> Vec<IpAddr> {
        match self {
            Self::OneAddressFailsOver => loopback(2..=2),
            _ => loopback(2..=5),
        }
    }

    /// Returns the addresses that replace the first ones, if DNS changes.
    pub(crate) fn new_ips(self) -> Vec<IpAddr> {
        match self {
            Self::Moved | Self::MovedBlackHoled => loopback(6..=9),
            Self::OneAddressFailsOver => loopback(6..=6),
            _ => Vec::new(),
        }
    }

    /// Returns how many edges die, if DNS does not change.
    pub(crate) fn victims(self) -> usize {
        match self {
            Self::ThreeBlackHoled => 3,
            _ => 1,
        }
    }
}

fn loopback(last: impl Iterator<Item = u8>) -> Vec<IpAddr> {
    last.map(|last| Ipv4Addr::new(127, 0, 0, last).into())
        .collect()
}

/// The times of a scenario, from its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) dies_at: Duration,
    pub(crate) returns_at: Option<Duration>,
    pub(crate) ends_at: Duration,
    /// Time between the starts of two requests of one client.
    pub(crate) period: Duration,
    /// Maximum number of requests of one client in flight. Further requests are not sent.
    pub(crate) most_in_flight: usize,
}

/// Maximum number of requests of one client in flight, without those that wait for a ping.
const IN_FLIGHT: usize = 64;

impl Plan {
    pub(crate) fn new(scenario: Scenario, args: &Args) -> Self {
        let ends_at = Duration::from_secs(args.seconds);
        let period = Duration::from_secs(1) / args.rate;
        let wait_for_a_ping = match scenario.connections() {
            Connections::New => 0,
            Connections::Kept => (2.0 * PING.as_secs_f64() * f64::from(args.rate)) as usize,
        };
        // The edge dies between two starts. Otherwise a request in flight would get a reset, which a black hole does
        // not send, and its client would learn too much.
        let between = |at| at + period / 2;
        Self {
            dies_at: between(ends_at / 4),
            returns_at: (scenario == Scenario::ComesBack).then(|| between(ends_at / 2)),
            ends_at,
            period,
            most_in_flight: IN_FLIGHT + wait_for_a_ping,
        }
    }

    /// Returns how many requests each client starts.
    pub(crate) fn requests(&self) -> usize {
        (self.ends_at.as_secs_f64() / self.period.as_secs_f64()).round() as usize
    }

    /// Returns how long an edge is dead.
    pub(crate) fn dead_for(&self) -> Duration {
        self.heals_at().saturating_sub(self.dies_at)
    }

    /// Returns when the last dead edge comes back, or the end.
    pub(crate) fn heals_at(&self) -> Duration {
        self.returns_at.unwrap_or(self.ends_at)
    }
}
