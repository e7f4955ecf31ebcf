//! Parses resolv.conf(5) into settings of the stub resolver and the first *obstacle* to using the stub resolver.
//!
//! The crate `resolv-conf` reads options, `search` and `domain`. This module selects the lines that
//! libc reads, and parses `nameserver`, because the crate rejects scopes like `%br-lan` and
//! `%eth0.7`. A line that libc and the crate may read differently becomes an obstacle, so that
//! `getaddrinfo` resolves names. The sources are glibc's `res_init.c`, experiments with glibc 2.36,
//! musl's `resolvconf.c` and Go's `dnsconfig_unix.go`.
//!
//! | in the file | decision |
//! |---|---|
//! | no file, no `nameserver` | The server is 127.0.0.1, and the domain of the hostname is the search list (glibc, BSD). |
//! | more than 3 servers | The first 3 count (MAXNS). |
//! | an invalid address, or `127.1` | Obstacle, because glibc skips an invalid address and reads `127.1`. |
//! | `fe80::53%eth0` | The scope is the interface's index. Without such an interface the scope is 0 (`res_init.c`: "Ignore errors"). |
//! | several `search` and `domain` | The last line counts. Lines without a value do not count. |
//! | `search .` | The search list is empty. The root together with other domains is an obstacle. |
//! | no `search`, no `domain` | The search list is the hostname after its first dot. With musl, the search list is empty. |
//! | white space before a keyword, `#` or `;` in the first column | The line is ignored. |
//! | `#` or `;` later, other characters that names do not have | Obstacle, because glibc appends `#` as a domain. |
//! | CRLF | The parser reads CRLF as LF, as Go and musl do. glibc 2.36 finds no server in such a file and resolves no name. |
//! | `ndots`, `timeout`, `attempts` | The maximums are 15, 30 s and 5. |
//! | `timeout:0` | The timeout is 1 s, as in glibc's `res_send.c`. |
//! | `attempts:0` | The number of attempts is 1, as in Go. glibc sends no query in this case. |
//! | `edns0`, `rotate`, `use-vc`, `single-request`, `no-aaaa` | The stub resolver honors these options, except for `no-aaaa` with musl, because musl does not know this option. |
//! | `trust-ad` | The stub resolver ignores the option, because the AD bit changes no address. |
//! | `single-request-reopen` | The stub resolver ignores the option, because each query has its own socket. |
//! | `inet6`, `debug`, `no-check-names`, `ip6-*` | The stub resolver ignores these options, as `getaddrinfo` does. |
//! | `no-tld-query`, `no-reload`, `sortlist`, `lookup`, `family`, unknown words | Obstacle. |
//! | `LOCALDOMAIN`, `RES_OPTIONS` | The stub resolver honors these variables as glibc does. musl ignores both. |

mod settings;

use std::borrow::Cow;
use std::net::Ipv6Addr;

use resolv_conf::Config;

use self::settings::IpAddrAndScope;
use self::settings::settings;
use super::machine::{Libc, Machine};
use crate::lookup::dns::config::StubConfig;

/// The result of parsing resolv.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolv {
    /// The settings, as far as the file could be read.
    pub(super) stub: StubConfig,
    /// The first obstacle, if any.
    pub(super) obstacle: Option<Cow<'static, str>>,
}

/// The maximum number of name servers (MAXNS of `<resolv.h>`).
const MAX_SERVERS: usize = 3;
/// The maximum number of domains in a search list, as in Kubernetes. Each domain costs two queries.
const MAX_SEARCH: usize = 32;
/// The maximum number of domains on the BSDs (MAXDNSRCH of `<resolv.h>`).
const MAX_SEARCH_BSD: usize = 6;
/// The maximum length of a line for musl (`resolvconf.c`, 256 bytes with the newline and the terminator).
const MAX_LINE_MUSL: usize = 254;

/// Parses resolv.conf, where a missing file is an empty text.
///
/// `interface` returns the index of a network interface.
pub(super) fn parse(
    text: &[u8],
    libc: Libc,
    machine: &Machine,
    interface: &dyn Fn(&str) -> Option<u32>,
) -> Resolv {
    let mut reading = Reading::default();
    for line in text.split(|&byte| byte == b'\n') {
        reading.line(line, libc, interface);
    }
    if libc != Libc::Musl {
        reading.environment(machine);
    }
    let (config, errors) = Config::parse_with_errors(reading.others.as_bytes());
    if let Some(error) = errors.first() {
        reading.stop(format!("resolv.conf is not fully understood: {error}"));
    }
    reading.unimplemented(&config);
    let search = reading.search(&config, libc, machine);
    let stub = settings(&config, libc, reading.servers, search);
    Resolv {
        stub,
        obstacle: reading.obstacle,
    }
}

#[derive(Debug)]
struct Reading {
    servers: Vec<IpAddrAndScope>,
    /// The lines that the crate `resolv-conf` reads, each with its number in the file. The crate's errors
    /// count from 0, so an empty line precedes the first line.
    others: String,
    /// The value of `LOCALDOMAIN`, which replaces the search list of the file.
    search: Option<String>,
    obstacle: Option<Cow<'static, str>>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            others: "\n".to_owned(),
            search: None,
            obstacle: None,
        }
    }
}

impl Reading {
    /// Records an obstacle, unless an earlier obstacle is recorded.
    fn stop(&mut self, reason: impl Into<Cow<'static, str>>) {
        self.obstacle.get_or_insert_with(|| reason.into());
    }

    fn line(&mut self, line: &[u8], libc: Libc, interface: &dyn Fn(&str) -> Option<u32>) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if libc == Libc::Musl && line.len() > MAX_LINE_MUSL {
            self.stop("resolv.conf has a line that is too long for musl");
        }
        match line.first() {
            None | Some(b'#' | b';' | b' ' | b'\t') => {}
            Some(_) => match str::from_utf8(line) {
                Ok(line) => self.statement(line, interface),
                Err(_) => self.stop("resolv.conf has a line that is not UTF-8"),
            },
        }
        self.others.push('\n');
    }

    fn statement(&mut self, line: &str, interface: &dyn Fn(&str) -> Option<u32>) {
        let (keyword, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let value = value.trim_matches([' ', '\t']);
        match keyword {
            "nameserver" | "search" | "domain" | "options" if value.is_empty() => {}
            "nameserver" => self.server(value, interface),
            _ => self.other(keyword, value),
        }
    }

    fn server(&mut self, value: &str, interface: &dyn Fn(&str) -> Option<u32>) {
        let word = value.split([' ', '\t']).next().unwrap_or_default();
        match server(word, interface) {
            Some(server) if self.servers.len() < MAX_SERVERS => self.servers.push(server),
            Some(_) => {}
            None => self.stop("resolv.conf has a name server whose address is not understood"),
        }
    }

    /// Adds a line for the crate `resolv-conf`.
    ///
    /// The crate cuts a line at `#` and `;` and drops domains with commas, so such characters are an
    /// obstacle.
    fn other(&mut self, keyword: &str, value: &str) {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" \t.-_:/".contains(&byte);
        if !value.bytes().all(is_plain) {
            self.stop(format!(
                "resolv.conf has an unusual character after `{}`",
                keyword.escape_debug()
            ));
        }
        self.others.extend([keyword, " ", value]);
    }

    /// Reads environment variables after the file, because the variables override the file.
    fn environment(&mut self, machine: &Machine) {
        if let Some(options) = machine.res_options.as_deref() {
            let options = options.trim_matches([' ', '\t']);
            if !options.is_empty() && !options.contains('\n') {
                self.other("options", options);
            } else if !options.is_empty() {
                self.stop("RES_OPTIONS has more than one line");
            }
        }
        self.search = machine
            .local_domain
            .as_deref()
            .map(|domains| domains.split('\n').next().unwrap_or_default().to_owned());
    }

    fn unimplemented(&mut self, config: &Config) {
        let list = [
            (config.no_tld_query, "no-tld-query"),
            (config.no_reload, "no-reload"),
            (!config.sortlist.is_empty(), "sortlist"),
            (!config.lookup.is_empty(), "lookup"),
            (!config.family.is_empty(), "family"),
        ];
        for (_, word) in list.into_iter().filter(|(is_set, _)| *is_set) {
            self.stop(format!("the stub resolver does not implement `{word}`"));
        }
    }

    fn search(&mut self, config: &Config, libc: Libc, machine: &Machine) -> Vec<Box<str>> {
        let words = self.search_words(config, libc, machine);
        let domains: Vec<_> = words.iter().filter_map(|word| domain(word)).collect();
        let limit = match libc {
            Libc::Bsd => MAX_SEARCH_BSD,
            Libc::Glibc | Libc::Musl | Libc::Other(_) => MAX_SEARCH,
        };
        if domains.len() < words.len() {
            self.stop("the search list has a domain that is none");
        }
        if domains.len() > limit {
            self.stop("the search list is too long");
        }
        domains.into_iter().take(limit).collect()
    }

    /// Returns the words of the search list.
    ///
    /// The source is `LOCALDOMAIN`, else the last `search` or `domain`, else the domain of the hostname.
    fn search_words<'a>(
        &'a self,
        config: &'a Config,
        libc: Libc,
        machine: &'a Machine,
    ) -> Vec<&'a str> {
        let mut words: Vec<&str> = match &self.search {
            Some(domains) => domains.split([' ', '\t']).collect(),
            None => config.get_last_search_or_domain().map(|it| &**it).collect(),
        };
        if words.is_empty() && libc != Libc::Musl {
            words.extend(machine.domain());
        }
        words.retain(|word| !word.is_empty());
        match words.as_slice() {
            ["."] => Vec::new(),
            _ => words,
        }
    }
}

/// Parses the address of a name server.
///
/// The scope of a link-local address is an interface or a number. The scope of any other IPv6 address is a
/// number (glibc's `inet6_scopeid_pton.c`).
fn server(word: &str, interface: &dyn Fn(&str) -> Option<u32>) -> Option<IpAddrAndScope> {
    let Some((addr, scope)) = word.split_once('%') else {
        return Some((word.parse().ok()?, 0));
    };
    let addr: Ipv6Addr = addr.parse().ok()?;
    let is_local = addr.is_unicast_link_local();
    let index = is_local.then(|| interface(scope)).flatten();
    let index = index.or_else(|| scope.parse().ok());
    Some((addr.into(), index.unwrap_or_default()))
}

/// Returns a domain without its root dot, or `None` if no name can be below the domain.
fn domain(word: &str) -> Option<Box<str>> {
    let word = word.strip_suffix('.').unwrap_or(word);
    let is_label = |label: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=63).contains(&label.len()) && label.bytes().all(is_letter)
    };
    (word.len() <= 253 && word.split('.').all(is_label)).then(|| word.into())
}

#[cfg(test)]
mod tests;
