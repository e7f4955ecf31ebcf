//! The hosts file, as glibc's `getaddrinfo` reads it (`nss_files`).
//!
//! The rules come from glibc's `files-hosts.c` and from experiments with glibc 2.36, which the
//! table in the tests repeats. Of 6 000 random files, glibc reads differently only those whose last
//! line begins with white space and has no newline: glibc garbles the last name of such a line.
//!
//! | in the file | rule |
//! |---|---|
//! | `#`, a NUL byte | The line ends there. |
//! | fields | All of C's `isspace` separate fields, so CRLF is no problem. |
//! | address | `inet_pton`: no short forms (`127.1`), no leading zeros, no scope (`fe80::1%lo`); such a line is ignored. |
//! | names | Every name of a line counts; ASCII letters match in either case; a root dot is part of the name. |
//! | several lines with one name | All addresses count with `multi on` in host.conf(5), else those of the first line. |
//! | bytes that are not UTF-8 | The name is ignored, because no lookup asks for such a name. The other names of the line count. |
//!
//! musl and the BSDs collect all lines. They also read short forms and scopes, which this parser
//! does not. musl distinguishes upper and lower case, which this parser does not either.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::str;
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::{SmallVec, smallvec};

/// The names of a hosts file and their addresses. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct HostsFile {
    names: Arc<HashMap<Box<str>, Addrs, RandomState>>,
}

type Addrs = SmallVec<[IpAddr; 1]>;

/// Addresses of one name that are kept; an answer holds no more.
const MAX_ADDRS: usize = 64;
/// The longest name that can be asked: 253 bytes and the root dot (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 254;

/// Which lines of a name count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    First,
    All,
}

impl Lines {
    /// Reads `multi` of host.conf(5). If that file is missing, glibc uses only the first line of a name.
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
    /// Reads a hosts file in time linear to its length.
    pub(super) fn parse(text: &[u8], lines: Lines) -> Self {
        let mut names = HashMap::with_hasher(RandomState::default());
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
    /// ASCII letters match in either case. A name with the root dot matches only a name that the
    /// file has with the root dot, as in glibc and musl.
    pub(in super::super) fn find(&self, name: &str) -> Option<&[IpAddr]> {
        self.names.get(&*lower(name)).map(SmallVec::as_slice)
    }
}

/// Returns the fields of a line up to its comment.
///
/// The vertical tab is white space for C's `isspace`, and not for `is_ascii_whitespace`.
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

fn keep(names: &mut HashMap<Box<str>, Addrs, RandomState>, name: &str, addr: IpAddr, lines: Lines) {
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
