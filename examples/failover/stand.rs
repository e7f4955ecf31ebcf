//! One client's stand: its edges, its name in DNS, and the death it is to meet.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::callers::{Caller, Get};
use crate::dials::Dials;
use crate::edge::{Edges, Mode};
use crate::load::{self, Request};
use crate::name_server::{NameServer, RecordType};
use crate::scenario::{Plan, Scenario};
use crate::screen::Screen;

/// TTL of every DNS answer, in seconds: 30 minutes.
const TTL: u32 = 1800;

/// What all stands share.
pub(crate) struct World {
    pub(crate) dials: Dials,
    pub(crate) dns: NameServer,
}

/// What was seen at one stand.
pub(crate) struct Row {
    pub(crate) caller: Caller,
    pub(crate) requests: Vec<Request>,
    /// Dials to any address while one was dead.
    pub(crate) dials: usize,
    /// Dials to dead addresses.
    pub(crate) dead_dials: usize,
    pub(crate) dns_queries: usize,
    /// Requests that the edge answered after it came back.
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
        let get = caller.build(world.dns.addr(), edges.client_config(), &url)?;
        world.dns.set(caller.host(), &scenario.old_ips(), TTL);
        Ok(Self {
            caller,
            scenario,
            world,
            edges,
            get,
        })
    }

    /// Drives the load through the whole plan, and meanwhile lets the edge die.
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
        self.world
            .dns
            .set(self.caller.host(), &self.in_dns_after(), TTL);
        self.set_all(&victims, self.scenario.death()).await;
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

    /// Returns who dies: all who leave DNS, or else the edge that the client has dialled most.
    fn victims(&self) -> Vec<IpAddr> {
        let old = self.scenario.old_ips();
        if !self.scenario.new_ips().is_empty() {
            return old;
        }
        let dialled = |&ip: &IpAddr| self.world.dials.to(self.addr(ip));
        old.into_iter().max_by_key(dialled).into_iter().collect()
    }

    fn in_dns_after(&self) -> Vec<IpAddr> {
        match self.scenario.new_ips() {
            none if none.is_empty() => self.scenario.old_ips(),
            new => new,
        }
    }

    async fn set_all(&self, ips: &[IpAddr], mode: Mode) {
        join_all(ips.iter().map(|&ip| self.edges.set(ip, mode))).await;
    }

    /// Counts the dials to all edges, and those to `ips`.
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
