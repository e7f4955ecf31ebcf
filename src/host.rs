//! Parses host names, checks them, and brings them to one spelling.

use std::borrow::Borrow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// A domain name in lower case. A clone is cheap.
///
/// The name has no root dot, unless the caller wrote one and the name with the dot is another name; see
/// [`Lookup::root_dot_matters`](crate::Lookup::root_dot_matters).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Host(Arc<str>);

impl Host {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether `name` is a spelling of this name.
    pub(crate) fn eq_name(&self, name: &str) -> bool {
        bare(name).eq_ignore_ascii_case(bare(self.as_str()))
    }

    /// Returns the same name with the root dot, to which no search list applies.
    pub(crate) fn absolute(&self) -> Self {
        Self(format!("{}.", bare(&self.0)).into())
    }
}

impl Borrow<str> for Host {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The parsed text of a host.
#[derive(Debug, PartialEq)]
pub(crate) enum Parsed {
    /// An IP address, which needs no lookup.
    Literal(IpAddr),
    /// `localhost` or a name below `localhost`, which is always loopback (RFC 6761, section 6.3).
    Loopback,
    /// A name that must not reach a name server (RFC 7686 `.onion`, RFC 6761 `.invalid`).
    Reserved(Host),
    /// A name to look up.
    Name(Host),
}

impl Parsed {
    /// Returns the name, or `None` for an IP address and for loopback.
    pub(crate) fn host(self) -> Option<Host> {
        match self {
            Self::Name(host) | Self::Reserved(host) => Some(host),
            Self::Literal(_) | Self::Loopback => None,
        }
    }
}

/// The addresses of `localhost`.
pub(crate) const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::LOCALHOST),
];

/// Parses a host as in the authority of a URL, without a port.
pub(crate) fn parse(text: &str) -> Result<Parsed, &'static str> {
    let name = bare(text);
    // An IPv4 address with a root dot is no name either: WHATWG URL, section 3.5, parses `192.0.2.1.` as an address.
    let dotted = || name.parse().ok().map(IpAddr::V4);
    if let Some(ip) = literal(text).or_else(dotted) {
        return Ok(Parsed::Literal(ip));
    }
    check(name)?;
    let host = Host(name.to_ascii_lowercase().into());
    Ok(match host.as_str().rsplit('.').next() {
        Some("localhost") => Parsed::Loopback,
        Some("onion" | "invalid") => Parsed::Reserved(host),
        _ => Parsed::Name(host),
    })
}

/// Returns a name without the root dot.
pub(crate) fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Returns a valid host in lower case, without the root dot and without the brackets of an address.
pub(crate) fn normalized(text: &str) -> String {
    let inner = text.strip_prefix('[').unwrap_or(text);
    inner.trim_end_matches([']', '.']).to_ascii_lowercase()
}

fn literal(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse().ok()
}

/// Maximum length of a name without its root dot, in octets (RFC 1035, section 2.3.4: 255 on the wire).
const MAX_NAME: usize = 253;
/// Maximum length of a label, in octets (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

fn check(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("the name is empty");
    }
    if name.len() > MAX_NAME {
        return Err("the name is longer than 253 octets");
    }
    if name.bytes().any(|b| !b.is_ascii()) {
        return Err("the name is not ASCII; write it in its xn-- form");
    }
    if name.bytes().any(|b| !b.is_ascii_graphic()) {
        return Err("the name holds a space or a control character");
    }
    if name
        .bytes()
        .any(|b| matches!(b, b':' | b'/' | b'@' | b'[' | b']' | b'\\' | b'?' | b'#'))
    {
        return Err("this is not a name alone; leave out scheme, port and path");
    }
    if name.split('.').any(str::is_empty) {
        return Err("the name has an empty label");
    }
    if name.split('.').any(|label| label.len() > MAX_LABEL) {
        return Err("the name has a label longer than 63 octets");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Parsed {
        Parsed::Name(Host(text.into()))
    }

    /// Names that differ only in case and in the root dot are one host.
    #[test]
    fn spellings_of_one_name_are_one_host() {
        for text in [
            "api.example.com",
            "API.Example.COM",
            "api.example.com.",
            "Api.Example.Com.",
        ] {
            assert_eq!(parse(text), Ok(name("api.example.com")), "{text}");
        }
    }

    #[test]
    fn addresses_are_recognised_with_and_without_brackets() {
        for text in [
            "127.0.0.1",
            "127.0.0.1.",
            "::1",
            "[::1]",
            "[2001:db8::7]",
            "::ffff:192.0.2.1",
        ] {
            assert!(matches!(parse(text), Ok(Parsed::Literal(_))), "{text}");
        }
    }

    #[test]
    fn special_names_never_become_questions() {
        for text in ["localhost", "LOCALHOST.", "db.localhost"] {
            assert_eq!(parse(text), Ok(Parsed::Loopback), "{text}");
        }
        for text in ["duck.onion", "nothing.invalid", "INVALID."] {
            assert!(matches!(parse(text), Ok(Parsed::Reserved(_))), "{text}");
        }
    }

    /// `parse` refuses a name that DNS cannot carry.
    #[test]
    fn names_that_dns_cannot_carry_are_refused() {
        let label = "a".repeat(64);
        let long = format!("{}.com", vec!["a".repeat(60); 5].join("."));
        let bad = [
            "", ".", "..", "a..b", ".a", "a b", "a\0b", "é.fr", &label, &long, "a.b:80", "http://a",
        ];
        for text in bad {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse(&"a".repeat(63)).is_ok());
        assert!(parse("_srv._tcp.example.com").is_ok());
    }
}
