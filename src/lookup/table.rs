//! A table of addresses that the program configures.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::{Answer, Lookup, LookupFuture};
use crate::addrs;
use crate::error::{ConfigError, ResolveError};
use crate::host::{self, Parsed};

/// A table of addresses by exact name and by suffix, which can be changed while requests run.
///
/// A name that begins with a dot is a suffix: `.example.com` matches every name below `example.com`, at any depth, and
/// not `example.com` itself. An exact name goes before a suffix, and a longer suffix before a shorter one. Case and the
/// root dot do not matter.
///
/// | table set as | used |
/// |---|---|
/// | [`ResolverBuilder::overrides`](crate::ResolverBuilder::overrides) | before any lookup |
/// | [`ResolverBuilder::fallbacks`](crate::ResolverBuilder::fallbacks) | only after a lookup has failed |
/// | [`ResolverBuilder::lookup`](crate::ResolverBuilder::lookup) | as the only source of addresses |
///
/// # Cloning
///
/// A clone is one `Arc` to the same table, so one table may serve several resolvers. A change takes effect when the
/// table is read next, for all names of the change at once.
///
/// # Examples
///
/// ```
/// use std::net::IpAddr;
/// use sidestep::{AnswerSource, Resolver, lookup::StaticHosts};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let overrides = StaticHosts::new();
/// overrides.set("api.example.com", [IpAddr::from([192, 0, 2, 7])])?;
/// overrides.set(".internal.example.com", [IpAddr::from([10, 0, 0, 1])])?;
/// let resolver = Resolver::builder().overrides(overrides.clone()).build()?;
///
/// let resolved = resolver.resolve("db.internal.example.com").await?;
/// assert_eq!(resolved.addrs(), [IpAddr::from([10, 0, 0, 1])]);
/// assert_eq!(resolved.source(), AnswerSource::Override);
/// overrides.remove("api.example.com"); // the host is looked up again
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct StaticHosts(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rows: RwLock<Rows>,
    /// Number of rows. An empty table, which is the common case, is read without the lock.
    held: AtomicUsize,
}

type Rows = HashMap<Box<str>, Arc<Row>>;

/// The addresses of one name.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) addrs: Box<[IpAddr]>,
    turns: AtomicU32,
}

impl Row {
    /// Returns how often this method was called before.
    pub(crate) fn turn(&self) -> u32 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }
}

impl StaticHosts {
    /// Makes an empty table.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// Sets the addresses of a name, and replaces earlier addresses. The first 64 addresses are used.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the name is not one that a resolver looks up, or if there is no address.
    pub fn set(
        &self,
        name: &str,
        addrs: impl IntoIterator<Item = IpAddr>,
    ) -> Result<(), ConfigError> {
        let (key, addrs) = row("StaticHosts::set", name, addrs)?;
        self.change(|rows| rows.insert(key, addrs));
        Ok(())
    }

    /// Replaces all rows. A name in both the old and the new rows has addresses at each moment.
    ///
    /// # Errors
    ///
    /// The errors of [`set`](Self::set). The table is then unchanged.
    pub fn replace<N, A>(&self, rows: impl IntoIterator<Item = (N, A)>) -> Result<(), ConfigError>
    where
        N: AsRef<str>,
        A: IntoIterator<Item = IpAddr>,
    {
        let read = |(name, addrs): (N, A)| row("StaticHosts::replace", name.as_ref(), addrs);
        let new: Result<Rows, _> = rows.into_iter().map(read).collect();
        let new = new?;
        self.change(|rows| *rows = new);
        Ok(())
    }

    /// Returns the addresses that were set for exactly this name or suffix.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Vec<IpAddr>> {
        let key = key(name).ok()?;
        self.read(|rows| rows.get(&*key).map(|row| row.addrs.to_vec()))
    }

    /// Removes a name or a suffix, and returns whether the table had a row for it.
    pub fn remove(&self, name: &str) -> bool {
        let Ok(key) = key(name) else {
            return false;
        };
        self.change(|rows| rows.remove(&*key)).is_some()
    }

    /// Removes all rows.
    pub fn clear(&self) {
        self.change(Rows::clear);
    }

    /// Returns all rows sorted by name; a suffix has its leading dot.
    #[must_use]
    pub fn iter(&self) -> Vec<(String, Vec<IpAddr>)> {
        let mut rows: Vec<_> = self.read(|rows| {
            let rows = rows.iter();
            rows.map(|(key, row)| (key.to_string(), row.addrs.to_vec()))
                .collect()
        });
        rows.sort();
        rows
    }

    /// Returns whether the table has no row.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.held.load(Ordering::Acquire) == 0
    }

    /// Returns the row for a host, which must be in its one spelling.
    pub(crate) fn find(&self, host: &str) -> Option<Arc<Row>> {
        let host = host::bare(host);
        if self.is_empty() {
            return None;
        }
        let suffixes = host.match_indices('.').map(|(dot, _)| &host[dot..]);
        let mut keys = std::iter::once(host).chain(suffixes);
        self.read(|rows| keys.find_map(|key| rows.get(key).cloned()))
    }

    fn read<T>(&self, look: impl FnOnce(&Rows) -> T) -> T {
        look(&self.0.rows.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Rows) -> T) -> T {
        let mut rows = self.0.rows.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut rows);
        self.0.held.store(rows.len(), Ordering::Release);
        result
    }
}

fn row(
    setter: &'static str,
    name: &str,
    addrs: impl IntoIterator<Item = IpAddr>,
) -> Result<(Box<str>, Arc<Row>), ConfigError> {
    let invalid = |problem| ConfigError::new(setter, problem);
    let key = key(name).map_err(invalid)?;
    let mut addrs = addrs::distinct(addrs.into_iter().take(super::TAKEN));
    addrs.truncate(addrs::MAX_ADDRS);
    if addrs.is_empty() {
        return Err(invalid(
            "a name needs at least one address; `remove` takes it out",
        ));
    }
    let row = Row {
        addrs: addrs.into(),
        turns: AtomicU32::new(0),
    };
    Ok((key, Arc::new(row)))
}

/// Returns a name or a suffix in its one spelling.
fn key(name: &str) -> Result<Box<str>, &'static str> {
    let (dot, bare) = match name.strip_prefix('.') {
        Some(bare) => (".", bare),
        None => ("", name),
    };
    if bare.contains('*') {
        return Err(
            "a suffix is written with a dot alone: `.example.com`, and not `*.example.com`",
        );
    }
    match host::parse(bare)? {
        Parsed::Name(host) | Parsed::Reserved(host) => Ok(format!("{dot}{host}").into()),
        Parsed::Literal(_) => Err("an IP address needs no lookup"),
        Parsed::Loopback => Err("localhost is always loopback (RFC 6761)"),
    }
}

impl Default for StaticHosts {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StaticHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticHosts")
            .field("rows", &self.0.held.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// Returns the addresses of the hosts in the table, and "not found" for all other hosts.
impl Lookup for StaticHosts {
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
        let found = self.find(host).map(|row| Answer::new(row.addrs.to_vec()));
        Box::pin(std::future::ready(
            found.ok_or_else(|| ResolveError::not_found(host)),
        ))
    }

    fn root_dot_matters(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn found(table: &StaticHosts, host: &str) -> Option<u8> {
        let row = table.find(host)?;
        match row.addrs[0] {
            IpAddr::V4(addr) => Some(addr.octets()[3]),
            IpAddr::V6(_) => None,
        }
    }

    /// An exact name goes before a suffix, and a longer suffix before a shorter one. A suffix does not match its own
    /// name.
    #[test]
    fn the_closest_name_is_found() {
        let table = StaticHosts::new();
        for (name, last) in [
            ("a.example.com", 1),
            (".example.com", 2),
            (".b.Example.COM.", 3),
        ] {
            table.set(name, [ip(last)]).unwrap();
        }
        for (host, last) in [
            ("a.example.com", Some(1)),
            ("x.a.example.com", Some(2)),
            ("b.example.com", Some(2)),
            ("x.y.b.example.com", Some(3)),
            ("example.com", None),
            ("badexample.com", None),
            ("com", None),
        ] {
            assert_eq!(found(&table, host), last, "{host}");
        }
    }

    #[test]
    fn rows_are_set_read_replaced_and_removed() {
        let table = StaticHosts::new();
        table.set("A.test.", [ip(1), ip(2)]).unwrap();
        assert_eq!(table.get("a.TEST"), Some(vec![ip(1), ip(2)]));
        table
            .replace([("b.test", vec![ip(3)]), (".c.test", vec![ip(4)])])
            .unwrap();
        assert_eq!(
            table.iter(),
            [
                (".c.test".to_owned(), vec![ip(4)]),
                ("b.test".to_owned(), vec![ip(3)])
            ]
        );
        assert!(table.remove("B.test"));
        assert!(!table.remove("b.test"));
        table.clear();
        assert!(table.is_empty());
    }

    #[test]
    fn what_no_resolver_looks_up_can_not_be_set() {
        let table = StaticHosts::new();
        for name in [
            "",
            ".",
            "a b",
            "192.0.2.1",
            "[::1]",
            "localhost",
            ".localhost",
            "..a",
            "*.a.test",
            "*",
        ] {
            let error = table.set(name, [ip(1)]).unwrap_err();
            assert_eq!(error.setter(), "StaticHosts::set", "{name:?}");
        }
        table.set("a.test", []).unwrap_err();
        table
            .replace([("a.test", vec![ip(1)]), ("b test", vec![ip(1)])])
            .unwrap_err();
        assert!(table.is_empty(), "nothing is changed then");
    }
}
