//! The stand of one client: its edges, its host in DNS, and the death of edges.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use testkit::lab::clients::Connections;
use testkit::lab::get::Get;
use testkit::{Edges, Mode, NameServer, RecordType};
use tower::ServiceExt as _;

use crate::callers::Caller;
use crate::dials::Dials;
use crate::load::{self, Request};
use crate::scenario::{Plan, Scenario};
use crate::screen::Screen;

/// The parts that all stands share.
pub(crate) struct World {
    pub(crate) dials: Dials,
    pub(crate) dns: NameServer,
}

/// The results of one stand.
pub(crate) struct Row {
    pub(crate) caller: Caller,
    pub(crate) requests: Vec<Request>,
    /// Attempts to all addresses while one was dead.
    pub(crate) dials: usize,
    /// Attempts to dead addresses.
    pub(crate) dead_dials: usize,
    pub(crate) dns_queries: usize,
    /// Requests that the edge has responded to since its recovery.
    pub(crate) served_after_return: Option<usize>,
}

pub(crate) struct Stand<'a> {
    caller: Caller,
    scenario: Scenario,
    world: &'a World,
    edges: Edges,
    get: Get,
}

impl<'a> Stand<'a> {
    pub(crate) async fn build(
        caller: Caller,
        scenario: Scenario,
        world: &'a World,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let ips = [scenario.old_ips(), scenario.new_ips()].concat();
        let edges = Edges::on(&ips, scenario.scheme()).await;
        let url = edges.url(caller.host());
        let connections = scenario.connections();
        let get = caller.build(world.dns.addr(), edges.client_config(), connections, &url)?;
        let stand = Self {
            caller,
            scenario,
            world,
            edges,
            get,
        };
        if scenario.names_one() {
            stand.warm_up().await?;
        }
        stand.publish(&scenario.old_ips());
        Ok(stand)
    }

    /// Makes the client connect to each edge, in the seconds before the scenario.
    async fn warm_up(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        for ip in self.scenario.old_ips() {
            self.publish(&[ip]);
            while self.edges.served(ip) == 0 {
                self.get.clone().oneshot(()).await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    fn publish(&self, ips: &[IpAddr]) {
        let (dns, host, ttl) = (&self.world.dns, self.caller.host(), self.scenario.ttl());
        match self.scenario.names_one() {
            true => dns.set_one_of(host, ips, ttl),
            false => dns.set(host, ips, ttl),
        }
    }

    /// Runs the load through the whole plan, and meanwhile makes the edge die.
    pub(crate) async fn run(&self, plan: &Plan, begin: Instant, screen: &Screen) -> Row {
        let asked = self.dns_queries();
        let bar = screen.of(self.caller);
        let load = load::drive(&self.get, plan, begin, bar);
        let (requests, fate) = tokio::join!(load, self.meet_fate(plan, begin));
        Row {
            caller: self.caller,
            requests,
            dials: fate.dials,
            dead_dials: fate.dead_dials,
            dns_queries: self.dns_queries() - asked,
            served_after_return: fate.served_after_return,
        }
    }

    async fn meet_fate(&self, plan: &Plan, begin: Instant) -> Fate {
        wait_until(begin, plan.dies_at).await;
        let victims = self.victims();
        let before = self.count(&victims);
        self.publish(&self.in_dns_after());
        self.kill(&victims).await;
        wait_until(begin, plan.heals_at()).await;
        let after = self.count(&victims);
        let served_after_return = match plan.returns_at {
            Some(_) => Some(self.revive(&victims, plan, begin).await),
            None => None,
        };
        Fate {
            dials: after.0 - before.0,
            dead_dials: after.1 - before.1,
            served_after_return,
        }
    }

    async fn revive(&self, victims: &[IpAddr], plan: &Plan, begin: Instant) -> usize {
        let served = || {
            victims
                .iter()
                .map(|&ip| self.edges.served(ip))
                .sum::<usize>()
        };
        let before = served();
        self.set_all(victims, Mode::Serve).await;
        wait_until(begin, plan.ends_at).await;
        served() - before
    }

    /// Returns the edges that die.
    ///
    /// | scenario | which |
    /// |---|---|
    /// | DNS changes | all that DNS removes |
    /// | an answer names one edge | the edge that the client has attempted last |
    /// | connections are pooled | the edge that has responded to most requests, to which the client is connected |
    /// | others | the edges that the client has attempted most |
    fn victims(&self) -> Vec<IpAddr> {
        let old = self.scenario.old_ips();
        if !self.scenario.new_ips().is_empty() {
            return old;
        }
        let dials = &self.world.dials;
        let rank = |ip: IpAddr| match self.scenario.connections() {
            Connections::Kept => self.edges.served(ip),
            Connections::New if self.scenario.names_one() => dials.last_to(self.addr(ip)),
            Connections::New => dials.to(self.addr(ip)),
        };
        let mut most_first = old;
        most_first.sort_by_key(|ip| std::cmp::Reverse(rank(*ip)));
        most_first.truncate(self.scenario.victims());
        most_first
    }

    fn in_dns_after(&self) -> Vec<IpAddr> {
        match self.scenario.new_ips() {
            none if none.is_empty() => self.scenario.old_ips(),
            new => new,
        }
    }

    /// Makes an edge die. Pooled connections go silent, because their end would show the death to the client.
    async fn kill(&self, ips: &[IpAddr]) {
        let death = self.scenario.death();
        match self.scenario.connections() {
            Connections::New => self.set_all(ips, death).await,
            Connections::Kept => {
                let silent = |&ip| self.edges.set_and_go_silent(ip, death);
                join_all(ips.iter().map(silent)).await;
            }
        }
    }

    async fn set_all(&self, ips: &[IpAddr], mode: Mode) {
        join_all(ips.iter().map(|&ip| self.edges.set(ip, mode))).await;
    }

    /// Counts the attempts to all edges, and those to `ips`.
    fn count(&self, ips: &[IpAddr]) -> (usize, usize) {
        let dials = &self.world.dials;
        let to_ips = ips.iter().map(|&ip| dials.to(self.addr(ip))).sum();
        (dials.to_port(self.edges.port()), to_ips)
    }

    fn addr(&self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, self.edges.port())
    }

    fn dns_queries(&self) -> usize {
        let queries = |rtype| self.world.dns.queries(self.caller.host(), rtype);
        queries(RecordType::A) + queries(RecordType::AAAA)
    }
}

struct Fate {
    dials: usize,
    dead_dials: usize,
    served_after_return: Option<usize>,
}

async fn wait_until(begin: Instant, at: Duration) {
    tokio::time::sleep_until((begin + at).into()).await;
}
