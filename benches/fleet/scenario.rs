//! The scenarios and their times.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;

const S: Duration = Duration::from_secs(1);

/// Processes start within this time.
pub(crate) const STARTS: Duration = Duration::from_secs(300);
/// Time of the event. The steady state is between the last start and the event.
pub(crate) const HAPPENS: Duration = Duration::from_secs(600);
/// How long a name server that dies is down.
const DOWN: Duration = Duration::from_secs(600);
/// Waves are measured from this time after the event is over, for the time of [`LATER`].
pub(crate) const SETTLED: Duration = Duration::from_secs(60);
pub(crate) const LATER: Duration = Duration::from_secs(600);

/// Time from a query to its answer.
const DNS_RTT: Duration = Duration::from_millis(20);
/// Time from a SYN to its reply, which may be a refusal.
pub(crate) const EDGE_RTT: Duration = Duration::from_millis(30);
/// Time limit of a lookup: the default of the crate.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// One of four edges dies, and DNS goes on naming it
    EdgeDies,
    /// All addresses move, DNS says so at once; the record's TTL is 60 s
    Moved,
    /// The same, with a TTL of 1800 s
    #[value(name = "moved-ttl-1800")]
    #[serde(rename = "moved-ttl-1800")]
    MovedTtl1800,
    /// The name server is down for ten minutes, the edges are up
    NameServerDown,
}

impl Scenario {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::EdgeDies => "one edge of four dies",
            Self::Moved => "all addresses move, TTL 60 s",
            Self::MovedTtl1800 => "all addresses move, TTL 1800 s",
            Self::NameServerDown => "name server down for 10 min",
        }
    }

    /// Returns when the event is over.
    pub(crate) fn over(self) -> Duration {
        match self {
            Self::NameServerDown => HAPPENS + DOWN,
            Self::EdgeDies | Self::Moved | Self::MovedTtl1800 => HAPPENS,
        }
    }

    pub(crate) fn end(self) -> Duration {
        self.over() + SETTLED + LATER
    }
}

/// The addresses of four edges.
pub(crate) type Edges = [IpAddr; 4];

const OLD: Edges = edges(192, 0, 2);
const NEW: Edges = edges(198, 51, 100);

const fn edges(a: u8, b: u8, c: u8) -> Edges {
    const fn edge(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    }
    [
        edge(a, b, c, 1),
        edge(a, b, c, 2),
        edge(a, b, c, 3),
        edge(a, b, c, 4),
    ]
}

/// The result of a lookup, and the time that the lookup takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) answer: Option<&'static Edges>,
    pub(crate) after: Duration,
}

/// A scenario on a simulated clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) begin: Instant,
}

impl World {
    pub(crate) fn ttl(&self) -> Duration {
        match self.scenario {
            Scenario::MovedTtl1800 => 1800 * S,
            Scenario::EdgeDies | Scenario::Moved | Scenario::NameServerDown => 60 * S,
        }
    }

    /// Returns the reply of the name server to a query that is sent now.
    pub(crate) fn reply(&self, now: Instant) -> Reply {
        let answer = match self.scenario {
            Scenario::NameServerDown if self.is_on(now) => None,
            Scenario::Moved | Scenario::MovedTtl1800 if self.has_happened(now) => Some(&NEW),
            _ => Some(&OLD),
        };
        let after = if answer.is_some() {
            DNS_RTT
        } else {
            LOOKUP_TIMEOUT
        };
        Reply { answer, after }
    }

    /// Returns whether an address, IPv4-mapped or not, accepts connections now.
    pub(crate) fn is_up(&self, addr: IpAddr, now: Instant) -> bool {
        let addr = addr.to_canonical();
        match self.scenario {
            _ if !self.has_happened(now) => true,
            Scenario::EdgeDies => addr != OLD[0],
            Scenario::Moved | Scenario::MovedTtl1800 => NEW.contains(&addr),
            Scenario::NameServerDown => true,
        }
    }

    pub(crate) fn end(&self) -> Instant {
        self.begin + self.scenario.end()
    }

    fn has_happened(&self, now: Instant) -> bool {
        now >= self.begin + HAPPENS
    }

    fn is_on(&self, now: Instant) -> bool {
        self.has_happened(now) && now < self.begin + self.scenario.over()
    }
}
