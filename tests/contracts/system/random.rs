//! Makes one random scenario from one seed, with the results that are right despite the faults of name servers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use fastrand::Rng;

use crate::system::scenario::{Answer, NS1, NS2, NS3, Scenario};
use crate::system::zone::Zone;

const DOMAINS: [&str; 7] = [
    "corp.test",
    "ns.svc.test",
    "svc.test",
    "a.test",
    "b.test",
    "c.d.e.test",
    "test",
];
const LABELS: [&str; 6] = ["web", "api", "db", "my_service", "x.y", "a.b.c"];
const ABSOLUTE: [&str; 4] = [
    "api.example.com",
    "www.example.com",
    "cdn.example.net",
    "tld",
];
const FAULTS: [&str; 7] = [
    "servfail",
    "refused",
    "notimp",
    "formerr",
    "lame",
    "referral",
    "other-name",
];

/// Makes the scenario of a seed.
pub(crate) fn scenario(seed: u64) -> Scenario {
    let mut rng = Rng::with_seed(seed);
    let plan = Plan::new(&mut rng);
    let mut scenario = Scenario::new(format!("seed {seed}")).resolv(plan.resolv(&mut rng));
    scenario.seed = Some(seed);
    scenario.rerun = format!(
        "SIDESTEP_SYSTEM_SEEDS={seed}..{} cargo test --test contracts random",
        seed + 1
    );
    scenario = scenario.hosts(plan.hosts(&mut rng));
    // If a name server has a fault, the list of better results covers the usual order of sources only.
    if !plan.is_faulty && rng.u8(..8) == 0 {
        let others = [
            "dns files",
            "files",
            "dns",
            "files [NOTFOUND=return] dns",
            "files mdns4_minimal [NOTFOUND=return] dns",
        ];
        scenario = scenario.nsswitch(others[rng.usize(..others.len())]);
    }
    for (addr, zone) in &plan.servers {
        // A server without a zone has no socket, so its port is closed.
        if let Some(zone) = zone {
            scenario = scenario.server(addr, zone.as_str());
        }
    }
    for name in plan.questions(&mut rng) {
        scenario = plan.or_without_faults(scenario.ask(&name), &name);
    }
    scenario
}

/// The random parts of a scenario.
struct Plan {
    search: Vec<&'static str>,
    ndots: Option<u8>,
    servers: Vec<(&'static str, Option<String>)>,
    hosts: BTreeMap<String, Vec<IpAddr>>,
    /// Whether any name server has a fault.
    is_faulty: bool,
    is_silent: bool,
    rotate: bool,
}

impl Plan {
    fn new(rng: &mut Rng) -> Self {
        let mut search: Vec<_> = (0..rng.usize(..4)).map(|_| pick(rng, &DOMAINS)).collect();
        // The table has a row for a domain that is listed twice.
        let mut seen = BTreeSet::new();
        search.retain(|domain| seen.insert(*domain));
        let ndots = [
            None,
            None,
            None,
            Some(0),
            Some(1),
            Some(2),
            Some(5),
            Some(15),
        ];
        let ndots = ndots[rng.usize(..ndots.len())];
        let mut plan = Self {
            search,
            ndots,
            servers: Vec::new(),
            hosts: BTreeMap::new(),
            is_faulty: false,
            is_silent: false,
            rotate: false,
        };
        plan.draw_servers(rng);
        for _ in 0..rng.usize(..4) {
            let name = plan.name(rng);
            let addrs = (0..rng.usize(1..3)).map(|_| addr(rng, 7)).collect();
            plan.hosts.insert(name, addrs);
        }
        plan
    }

    fn draw_servers(&mut self, rng: &mut Rng) {
        let zone = self.zone(rng, 2);
        let disagree = rng.u8(..6) == 0;
        let count = [1, 1, 2, 2, 3][rng.usize(..5)];
        // Silence costs a second for each question and candidate.
        self.is_silent = rng.u8(..100) == 0;
        for (place, server) in [NS1, NS2, NS3].into_iter().take(count).enumerate() {
            let mut zone = if disagree && place > 0 {
                self.zone(rng, 9)
            } else {
                zone.clone()
            };
            let is_silent = self.is_silent && place == 0;
            let fault = if is_silent { 0 } else { rng.u8(1..40) };
            self.is_faulty |= fault < 20;
            match fault {
                0 => zone = format!("! * * silent\n{zone}"),
                1..5 => zone = format!("! * * {}\n{zone}", pick(rng, &FAULTS)),
                5..7 => {
                    self.servers.push((server, None));
                    continue;
                }
                7..20 => zone = self.faults(rng) + &zone,
                _ => {}
            }
            self.servers.push((server, Some(zone)));
        }
        self.rotate = !disagree && !self.is_faulty && rng.u8(..4) == 0;
    }

    /// Draws records for names below the search domains and for absolute names.
    fn zone(&self, rng: &mut Rng, third: u8) -> String {
        let mut zone = String::new();
        for _ in 0..rng.usize(2..9) {
            let name = self.name(rng);
            match rng.u8(..8) {
                0 => writeln!(zone, "{name} NODATA").unwrap(),
                1 => {
                    let target = self.name(rng);
                    let is_new = !zone
                        .lines()
                        .any(|line| line.starts_with(&format!("{name} ")));
                    if is_new && target != name {
                        writeln!(zone, "{name} CNAME {target}").unwrap();
                    }
                }
                2 => add(
                    &mut zone,
                    &format!("*.{}", pick(rng, &DOMAINS)),
                    &[addr(rng, third)],
                ),
                3 => add(
                    &mut zone,
                    &name,
                    &[v4(rng, third), v4(rng, third), v6(rng, third)],
                ),
                4 => add(&mut zone, &name, &[v6(rng, third)]),
                5 => add(&mut zone, &name, &[v4(rng, third)]),
                _ => add(&mut zone, &name, &[v4(rng, third), v6(rng, third)]),
            }
        }
        zone
    }

    /// Draws faults of single names and families.
    fn faults(&self, rng: &mut Rng) -> String {
        let mut faults = String::new();
        for _ in 0..rng.usize(1..4) {
            let name = self.name(rng);
            let family = ["A", "AAAA", "*"][rng.usize(..3)];
            writeln!(faults, "! {name} {family} {}", pick(rng, &FAULTS)).unwrap();
        }
        faults
    }

    fn name(&self, rng: &mut Rng) -> String {
        if rng.u8(..4) == 0 {
            return pick(rng, &ABSOLUTE).to_owned();
        }
        let is_searched = !self.search.is_empty() && rng.u8(..4) != 0;
        let domain = if is_searched {
            pick(rng, &self.search)
        } else {
            pick(rng, &DOMAINS)
        };
        format!("{}.{domain}", pick(rng, &LABELS))
    }

    fn questions(&self, rng: &mut Rng) -> Vec<String> {
        let mut names = BTreeSet::new();
        for _ in 0..rng.usize(4..9) {
            let mut name = match rng.u8(..3) {
                0 => pick(rng, &LABELS).to_owned(),
                _ => self.name(rng),
            };
            match rng.u8(..10) {
                0 => name.make_ascii_uppercase(),
                1 => name.push('.'),
                _ => {}
            }
            names.insert(name);
        }
        names.into_iter().collect()
    }

    fn resolv(&self, rng: &mut Rng) -> String {
        let mut lines: Vec<_> = self
            .servers
            .iter()
            .map(|(server, _)| format!("nameserver {server}"))
            .collect();
        if let [domain] = self.search[..]
            && rng.bool()
        {
            lines.push(format!("domain {domain}"));
        } else if !self.search.is_empty() {
            lines.push(format!("search {}", self.search.join(" ")));
        }
        let mut options = vec![
            "timeout:1".to_owned(),
            format!("attempts:{}", if self.is_silent { 1 } else { rng.u8(1..3) }),
        ];
        options.extend(self.ndots.map(|ndots| format!("ndots:{ndots}")));
        options.extend(self.rotate.then(|| "rotate".to_owned()));
        for option in ["edns0", "trust-ad", "single-request", "use-vc"] {
            // getaddrinfo waits forever if a server accepts a connection and keeps silent.
            let hangs = option == "use-vc" && self.is_faulty;
            if !hangs && rng.u8(..12) == 0 {
                options.push(option.to_owned());
            }
        }
        // Of all lines, only the order of the name servers has a meaning.
        let place = rng.usize(..=lines.len());
        lines.insert(place, format!("options {}", options.join(" ")));
        if rng.u8(..4) == 0 {
            lines.insert(rng.usize(..=lines.len()), "# a comment".to_owned());
        }
        lines.join("\n") + "\n"
    }

    fn hosts(&self, rng: &mut Rng) -> String {
        let mut text = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
        for (name, addrs) in &self.hosts {
            for addr in addrs {
                match rng.u8(..4) {
                    0 => writeln!(text, "{addr}\t{name} alias-{name} # a comment").unwrap(),
                    1 => writeln!(text, "{addr} first-{name} {}", name.to_uppercase()).unwrap(),
                    _ => writeln!(text, "{addr} {name}").unwrap(),
                }
            }
        }
        text
    }

    /// Lists the result of a resolver that no fault of a name server affects.
    fn or_without_faults(&self, scenario: Scenario, name: &str) -> Scenario {
        if !self.is_faulty {
            return scenario;
        }
        let right = self.without_faults(name);
        let scenario = scenario.or(right, "no fault of a name server changes the result");
        let hidden = "a failure is not hidden by NXDOMAIN or NODATA of another candidate";
        let halves = self.halves(name).into_iter();
        let or_half = |scenario: Scenario, half| {
            scenario.or(
                half,
                "a failure of one record type loses nothing of the other",
            )
        };
        halves.fold(scenario.or_negative_is_failure(hidden), or_half)
    }

    /// Returns the results in which each family comes from some server or has failed at all servers.
    fn halves(&self, name: &str) -> Vec<Answer> {
        let zones = self.servers.iter().filter_map(|(_, zone)| zone.as_deref());
        let zones: Vec<_> = zones.map(Zone::parse).collect();
        let found = |zone: &Zone, candidate: &str| zone.addrs(candidate).unwrap_or_default();
        let has_any =
            |candidate: &String| zones.iter().any(|zone| !found(zone, candidate).is_empty());
        let Some(candidate) = self.candidates(name).into_iter().find(has_any) else {
            return Vec::new();
        };
        let of_family = |is_ipv4: bool| {
            let found = zones.iter().map(|zone| found(zone, &candidate));
            let halves = found.map(|all| {
                all.into_iter()
                    .filter(|addr| addr.is_ipv4() == is_ipv4)
                    .collect()
            });
            let mut halves: Vec<BTreeSet<IpAddr>> = halves.collect();
            halves.push(BTreeSet::new());
            halves
        };
        let (v4, v6) = (of_family(true), of_family(false));
        let joined = v4.iter().flat_map(|v4| v6.iter().map(move |v6| v4 | v6));
        joined
            .filter(|all| !all.is_empty())
            .map(Answer::Addrs)
            .collect()
    }

    /// Returns the result of the hosts file, or that of the candidates in the zone of the first working server.
    fn without_faults(&self, name: &str) -> Answer {
        if let Some(addrs) = self.hosts.get(&name.to_ascii_lowercase()) {
            return Answer::Addrs(addrs.iter().copied().collect());
        }
        let zone = self.servers.iter().find_map(|(_, zone)| {
            let zone = zone.as_deref()?;
            let is_dead = zone.starts_with("! * *");
            (!is_dead).then(|| Zone::parse(zone))
        });
        let Some(zone) = zone else {
            return Answer::Failed;
        };
        for candidate in self.candidates(name) {
            let found = zone.addrs(&candidate).unwrap_or_default();
            if !found.is_empty() {
                return Answer::Addrs(found.into_iter().collect());
            }
        }
        Answer::Negative
    }

    fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let searched = self.search.iter().map(|domain| format!("{name}.{domain}"));
        let dots = name.matches('.').count();
        let as_is = std::iter::once(name.to_owned());
        if dots >= usize::from(self.ndots.unwrap_or(1)) {
            as_is.chain(searched).collect()
        } else {
            searched.chain(as_is).collect()
        }
    }
}

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

fn addr(rng: &mut Rng, third: u8) -> IpAddr {
    if rng.bool() {
        v4(rng, third)
    } else {
        v6(rng, third)
    }
}

fn v4(rng: &mut Rng, third: u8) -> IpAddr {
    IpAddr::from([192, 0, third, rng.u8(1..250)])
}

fn v6(rng: &mut Rng, third: u8) -> IpAddr {
    IpAddr::from([0x2001, 0xdb8, 0, third.into(), 0, 0, 0, rng.u16(1..)])
}

/// Adds addresses to a name that is no alias.
fn add(zone: &mut String, name: &str, addrs: &[IpAddr]) {
    if zone.contains(&format!("{name} CNAME")) {
        return;
    }
    for addr in addrs {
        let rtype = if addr.is_ipv4() { "A" } else { "AAAA" };
        writeln!(zone, "{name} {rtype} {addr}").unwrap();
    }
}
