//! Parses the hosts file as glibc's `getaddrinfo` does (`nss_files`).
//!
//! The rules come from glibc's `files-hosts.c` and from experiments with glibc 2.36, which the
//! table in the tests repeats. In a comparison of 6 000 random files, glibc differed only if the last
//! line began with white space and had no newline. glibc garbles the last name of such a line.
//!
//! | in the file | rule |
//! |---|---|
//! | `#`, a NUL byte | The line ends there. |
//! | fields | The white space of C's `isspace` separates fields, so the parser accepts CRLF. |
//! | address | The address has the form of `inet_pton`. A line with a short form (`127.1`), leading zeros or a scope (`fe80::1%lo`) is ignored. |
//! | names | Every name of a line counts. ASCII letters match in either case. A root dot is part of the name. |
//! | several lines with one name | With `multi on` in host.conf(5), all addresses count. Otherwise the address of the first line counts. |
//! | bytes that are not UTF-8 | The name is ignored, because no lookup has such a host. The other names of the line count. |
//!
//! musl and the BSDs collect the addresses of all lines. They also read lines with short forms and
//! scopes, which this parser ignores. musl distinguishes upper and lower case, and this parser does not.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::str;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

/// The names of a hosts file and their addresses, in a handle that is cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct HostsFile {
    names: Arc<HashMap<Box<str>, Addrs>>,
}

type Addrs = SmallVec<[IpAddr; 1]>;

/// The maximum number of addresses of one name. The resolver uses no more addresses of an answer.
const MAX_ADDRS: usize = 64;
/// The maximum length of a host, which is 253 bytes and the root dot (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 254;

/// The lines that count if several lines contain one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    First,
    All,
}

impl Lines {
    /// Reads `multi` of host.conf(5). If `multi` is missing, glibc uses only the first line with a name.
    pub(super) fn of_host_conf(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let mut multi = text.lines().filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let key = words.next()?;
            key.eq_ignore_ascii_case("multi").then(|| words.next())
        });
        match multi.next_back().flatten() {
            Some(value) if value.eq_ignore_ascii_case("on") => Self::All,
            Some(_) | None => Self::First,
        }
    }
}

impl HostsFile {
    /// Parses a hosts file in time linear in its length.
    pub(super) fn parse(text: &[u8], lines: Lines) -> Self {
        let mut names = HashMap::new();
        for line in text.split(|&byte| byte == b'\n') {
            let mut fields = fields(line);
            let Some(addr) = fields.next().and_then(address) else {
                continue;
            };
            for name in fields.filter_map(name) {
                keep(&mut names, name, addr, lines);
            }
        }
        names.shrink_to_fit();
        Self {
            names: Arc::new(names),
        }
    }

    /// Returns the addresses of exactly this name in the order of the file, or `None`.
    ///
    /// ASCII letters match in either case. A name with a root dot matches only a name that has a root
    /// dot in the file, as in glibc and musl.
    pub(in super::super) fn find(&self, name: &str) -> Option<&[IpAddr]> {
        self.names.get(&*lower(name)).map(SmallVec::as_slice)
    }
}

/// Returns the fields of a line up to its comment.
///
/// The vertical tab is white space for C's `isspace`, but not for `is_ascii_whitespace`.
fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = line.iter().position(|&byte| matches!(byte, b'#' | 0));
    line[..end.unwrap_or(line.len())]
        .split(|&byte| byte.is_ascii_whitespace() || byte == b'\x0b')
        .filter(|field| !field.is_empty())
}

fn address(field: &[u8]) -> Option<IpAddr> {
    str::from_utf8(field).ok()?.parse().ok()
}

fn name(field: &[u8]) -> Option<&str> {
    str::from_utf8(field)
        .ok()
        .filter(|name| name.len() <= MAX_NAME)
}

fn keep(names: &mut HashMap<Box<str>, Addrs>, name: &str, addr: IpAddr, lines: Lines) {
    match names.entry(lower(name).into()) {
        Entry::Vacant(place) => {
            place.insert(smallvec![addr]);
        }
        Entry::Occupied(mut place) if lines == Lines::All => {
            let addrs = place.get_mut();
            if addrs.len() < MAX_ADDRS && !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
        Entry::Occupied(_) => {}
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => name.to_ascii_lowercase().into(),
        false => name.into(),
    }
}

#[cfg(test)]
mod tests;
