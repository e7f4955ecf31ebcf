//! The scenarios and their times.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

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
pub(crate) const DNS_RTT: Duration = Duration::from_millis(20);
/// Time from a SYN to its reply, which may be a refusal.
pub(crate) const EDGE_RTT: Duration = Duration::from_millis(30);

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

    pub(crate) fn ttl(self) -> Duration {
        match self {
            Self::MovedTtl1800 => 1800 * S,
            Self::EdgeDies | Self::Moved | Self::NameServerDown => 60 * S,
        }
    }

    /// Returns the answer of the name server at this time of the scenario, or `None` while it is down.
    pub(crate) fn answer(self, now: Duration) -> Option<&'static Edges> {
        let (has_happened, is_over) = (now >= HAPPENS, now >= self.over());
        match self {
            Self::NameServerDown if has_happened && !is_over => None,
            Self::Moved | Self::MovedTtl1800 if has_happened => Some(&NEW),
            _ => Some(&OLD),
        }
    }

    /// Returns whether an address, IPv4-mapped or not, accepts connections at this time of the scenario.
    pub(crate) fn is_up(self, addr: IpAddr, now: Duration) -> bool {
        let addr = addr.to_canonical();
        match self {
            _ if now < HAPPENS => true,
            Self::EdgeDies => addr != OLD[0],
            Self::Moved | Self::MovedTtl1800 => NEW.contains(&addr),
            Self::NameServerDown => true,
        }
    }
}

/// The addresses of four edges.
pub(crate) type Edges = [IpAddr; 4];

/// The edges before the event.
pub(crate) const OLD: Edges = edges(2);
/// The edges to which the name moves.
pub(crate) const NEW: Edges = edges(3);

/// Returns four loopback addresses, because each edge accepts a connection before the simulation begins.
const fn edges(net: u8) -> Edges {
    const fn edge(net: u8, n: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, 0, net, n))
    }
    [edge(net, 1), edge(net, 2), edge(net, 3), edge(net, 4)]
}
