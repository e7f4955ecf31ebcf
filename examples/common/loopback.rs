//! The loopback addresses beyond 127.0.0.1 that these examples need.

use std::net::{IpAddr, Ipv4Addr, TcpListener};

/// Returns `n` addresses, 127.0.0.2 and up.
///
/// # Errors
///
/// Returns an error with instructions if the system has only 127.0.0.1 by default, as macOS has.
pub(crate) fn addresses(n: u8) -> Result<Vec<IpAddr>, String> {
    let all = (2..2 + n).map(|last| IpAddr::from(Ipv4Addr::new(127, 0, 0, last)));
    let all: Vec<_> = all.collect();
    for ip in &all {
        TcpListener::bind((*ip, 0)).map_err(|error| {
            format!(
                "{ip} is not an address of this machine ({error}), and each edge needs one; \
                 on macOS `sudo ifconfig lo0 alias {ip}` adds it until the next start"
            )
        })?;
    }
    Ok(all)
}
