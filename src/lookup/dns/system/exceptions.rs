//! The names that the system resolves although the stub resolver resolves the others.

/// Names that the system resolves although the stub resolver resolves the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exceptions {
    pub(super) single_label: bool,
    pub(super) dot_local: bool,
    /// The hostname, if the names of nss-myhostname(8) are exceptions.
    pub(super) own: Option<Box<str>>,
}

impl Exceptions {
    /// Returns whether the system resolves this name, which may have a root dot.
    ///
    /// Names with `\` or `%` always go to the system, as in Go.
    pub(super) fn cover(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        name.contains(['\\', '%'])
            || ends_in_a_number(name)
            || (self.single_label && !name.contains('.'))
            || (self.dot_local && is_below(name, "local"))
            || self.own.as_deref().is_some_and(|own| is_own(name, own))
    }
}

/// Returns whether the name may be an IPv4 address in an older notation of inet_aton(3).
///
/// Examples are `127.1` and `0x7f000001`.
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_number = |digits: &str, radix| digits.chars().all(|digit| digit.is_digit(radix));
    hex.is_some_and(|hex| is_number(hex, 16)) || (!last.is_empty() && is_number(last, 10))
}

/// Returns whether nss-myhostname(8) resolves the name.
///
/// nss-myhostname(8) resolves `gateway` until systemd 234.
fn is_own(name: &str, hostname: &str) -> bool {
    let fixed = ["_gateway", "gateway", "_outbound", hostname];
    fixed.iter().any(|own| name.eq_ignore_ascii_case(own))
        || is_below(name, "localhost")
        || is_below(name, "localhost.localdomain")
}

/// Returns whether the name is the domain or is below the domain.
fn is_below(name: &str, domain: &str) -> bool {
    let Some(start) = name.len().checked_sub(domain.len()) else {
        return false;
    };
    let (before, end) = name.as_bytes().split_at(start);
    end.eq_ignore_ascii_case(domain.as_bytes()) && matches!(before.last(), None | Some(b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_older_notations_go_to_the_system() {
        let exceptions = Exceptions::default();
        for name in [
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "0X7F000001",
            "1.2.3.0x",
        ] {
            assert!(exceptions.cover(name), "{name}");
        }
        for name in [
            "a.test",
            "1.2.3.a",
            "x123",
            "0xg",
            "h1.example.com",
            "123.example",
        ] {
            assert!(!exceptions.cover(name), "{name}");
        }
    }
}
