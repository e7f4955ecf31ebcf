//! Converts the options of resolv.conf into settings, within the limits of libc.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use resolv_conf::Config;

use super::super::machine::Libc;
use crate::lookup::dns::config::{IpStrategy, Protocol, Server, StubConfig};

pub(super) type IpAddrAndScope = (IpAddr, u32);

/// The maximum of `ndots` (RES_MAXNDOTS of `<resolv.h>`).
const MAX_NDOTS: u32 = 15;
/// The maximum of `timeout` in seconds (RES_MAXRETRANS of `<resolv.h>`).
const MAX_TIMEOUT: u32 = 30;
/// The maximum of `attempts` (RES_MAXRETRY of `<resolv.h>`).
const MAX_ATTEMPTS: u32 = 5;
/// The port of DNS.
const PORT: u16 = 53;

pub(super) fn settings(
    config: &Config,
    libc: Libc,
    mut servers: Vec<IpAddrAndScope>,
    search: Vec<Box<str>>,
) -> StubConfig {
    if servers.is_empty() {
        servers.push((IpAddr::from([127, 0, 0, 1]), 0));
    }
    let protocol = match config.use_vc {
        true => Protocol::Tcp,
        false => Protocol::Udp,
    };
    let attempts = config.attempts.clamp(1, MAX_ATTEMPTS);
    StubConfig {
        servers: servers.into_iter().map(|at| server(at, protocol)).collect(),
        search,
        ndots: narrow(config.ndots.min(MAX_NDOTS)),
        timeout: timeout(config.timeout, attempts, libc),
        attempts: narrow(attempts),
        rotate: config.rotate,
        edns: config.edns0,
        single_request: config.single_request,
        ip_strategy: match config.no_aaaa && libc != Libc::Musl {
            true => IpStrategy::Ipv4Only,
            false => IpStrategy::Both,
        },
    }
}

fn server((addr, scope): IpAddrAndScope, protocol: Protocol) -> Server {
    let addr = match addr {
        IpAddr::V4(_) => SocketAddr::new(addr, PORT),
        IpAddr::V6(addr) => SocketAddrV6::new(addr, PORT, 0, scope).into(),
    };
    Server { addr, protocol }
}

/// Returns the time limit of one server. musl's `timeout` covers all attempts together (`res_msend.c`).
fn timeout(seconds: u32, attempts: u32, libc: Libc) -> Duration {
    let timeout = Duration::from_secs(seconds.min(MAX_TIMEOUT).into());
    let timeout = match libc {
        Libc::Musl => timeout / attempts,
        Libc::Glibc | Libc::Bsd | Libc::Other(_) => timeout,
    };
    timeout.max(Duration::from_secs(1))
}

fn narrow(small: u32) -> u8 {
    u8::try_from(small).unwrap_or(u8::MAX)
}
