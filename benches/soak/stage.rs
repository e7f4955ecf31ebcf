//! Runs edges and a name server, and makes them fail as the schedule says.

use std::future;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use testkit::soak::director::{Fate, fate};
use testkit::soak::schedule::{Act, EDGES, Schedule, Some8, TTL};
use testkit::{Edges, Mode, NameServer, RecordType, Scheme};

use crate::ledger::{Ledger, ip};

/// How long an edge takes to respond. With 200 requests in flight that makes at most 1 000 requests a second, which a
/// small machine can serve. A connection that is cut off loses a request that was sent.
pub(crate) const WORK: Duration = Duration::from_millis(200);

#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) edges: Edges,
    pub(crate) dns: NameServer,
    host: &'static str,
    ledger: Ledger,
}

impl Stage {
    pub(crate) async fn build(host: &'static str, ledger: &Ledger) -> Self {
        let ips: Vec<_> = (0..EDGES).map(ip).collect();
        let edges = Edges::on(&ips, Scheme::Https).await;
        edges.answer_after(WORK);
        let dns = NameServer::start().await;
        dns.set(host, &ips, TTL);
        ledger.begin(edges.port());
        let ledger = ledger.clone();
        Self {
            edges,
            dns,
            host,
            ledger,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.edges.url(self.host)
    }

    /// Counts the A and AAAA queries for the host.
    pub(crate) fn queries(&self) -> usize {
        let of = |rtype| self.dns.queries(self.host, rtype);
        of(RecordType::A) + of(RecordType::AAAA)
    }

    /// Applies each step of the schedule at its time, and never returns.
    pub(crate) async fn play(&self, schedule: &Schedule, begin: Instant) {
        for &(at, act) in &schedule.steps {
            tokio::time::sleep_until((begin + Duration::from_millis(at)).into()).await;
            match act {
                Act::Edge(edge, mode) => {
                    self.turn(edge, mode, fate(mode, schedule.connects)).await;
                }
                Act::Edges(edges, mode) => {
                    let fate = match fate(mode, schedule.connects) {
                        Fate::Closed => Fate::Kept,
                        kept => kept,
                    };
                    let edges = (0..EDGES).filter(|&edge| edges[edge]);
                    join_all(edges.map(|edge| self.turn(edge, mode, fate))).await;
                }
                Act::Dns(listed) => self.list(listed),
                Act::NameServer(fault) => self.dns.fault(fault),
            }
        }
        future::pending().await
    }

    /// Changes the mode of an edge. An edge counts as dead from when its mode is in effect until it may serve again.
    async fn turn(&self, edge: usize, mode: Mode, fate: Fate) {
        if mode == Mode::Serve {
            self.ledger.turn(edge, mode);
        }
        match fate {
            Fate::Closed => self.edges.set(ip(edge), mode).await,
            Fate::Kept => self.edges.set_for_new(ip(edge), mode).await,
            Fate::Silent => self.edges.set_and_go_silent(ip(edge), mode).await,
        }
        self.ledger.turn(edge, mode);
    }

    fn list(&self, listed: Some8) {
        let ips: Vec<_> = (0..EDGES).filter(|&edge| listed[edge]).map(ip).collect();
        self.dns.set(self.host, &ips, TTL);
    }
}
