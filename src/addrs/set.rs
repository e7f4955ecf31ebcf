//! The addresses that the cache keeps from an answer.

use std::collections::HashSet;
use std::net::IpAddr;

use super::rfc6724::{self, Class};
use super::seen::Seen;
use super::{Family, MAX_ADDRS};

/// The kept addresses of an answer, at most [`MAX_ADDRS`], without duplicates and with IPv6 first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddressSet {
    all: Box<[IpAddr]>,
    /// For each address the number of its class, less is better; `None` if each family is of one class.
    classes: Option<Box<[u8; MAX_ADDRS]>>,
    /// The addresses that this answer and the answers before it named; `None` if all of them are kept here.
    seen: Option<Box<Seen>>,
    v6: u8,
    leads: Family,
}

impl AddressSet {
    /// Keeps the first addresses of each family, in the order of the name server.
    pub(crate) fn new(addrs: impl IntoIterator<Item = IpAddr>) -> Self {
        Self::cut(distinct(addrs), |_| {})
    }

    /// Keeps random addresses if there are more than [`MAX_ADDRS`].
    ///
    /// If each process of a fleet kept the first addresses, the fleet would never use the other addresses.
    pub(crate) fn sampled(
        addrs: impl IntoIterator<Item = IpAddr>,
        rng: &mut fastrand::Rng,
    ) -> Self {
        Self::cut(distinct(addrs), |all| rng.shuffle(all))
    }

    fn cut(mut all: Vec<IpAddr>, mix: impl FnOnce(&mut [IpAddr])) -> Self {
        let leads = all.first().map_or(Family::V6, |&first| Family::of(first));
        let is_cut = all.len() > MAX_ADDRS;
        let seen = is_cut.then(|| Box::new(Seen::of(&all)));
        if is_cut {
            mix(&mut all);
        }
        all.sort_by_key(IpAddr::is_ipv4);
        let v6 = all.partition_point(IpAddr::is_ipv6);
        let v6 = cut(&mut all, v6);
        Self {
            all: all.into(),
            classes: None,
            seen,
            v6: v6.try_into().expect("at most 64 addresses are kept"),
            leads,
        }
    }

    /// Remembers the addresses of earlier answers, if this answer does not name them all.
    ///
    /// Some name servers name a few of many addresses in turn. An address that such a server repeats is not new.
    pub(crate) fn after(self, old: &Self) -> Self {
        let is_same = self.seen.is_none() && old.seen.is_none() && !old.has_new(&self);
        if is_same {
            return self;
        }
        let seen = self.all_seen().and(&old.all_seen());
        Self {
            seen: Some(Box::new(seen)),
            ..self
        }
    }

    fn all_seen(&self) -> Seen {
        let seen = self.seen.as_deref().cloned();
        seen.unwrap_or_else(|| Seen::of(&self.all))
    }

    /// Sorts the addresses into classes by RFC 6724; the family of the best address goes first.
    ///
    /// `source` returns the source address of a connect to an address. The method calls `source` only if the source
    /// addresses can make a difference.
    pub(crate) fn classed(self, source: impl Fn(IpAddr) -> Option<IpAddr>) -> Self {
        if !rfc6724::differ(&self.all) {
            return self;
        }
        let classes: Vec<Class> = self
            .all
            .iter()
            .map(|&addr| Class::of(addr, source(addr)))
            .collect();
        let best = (0..classes.len()).min_by_key(|&place| classes[place]);
        let leads = best.map_or(self.leads, |place| Family::of(self.all[place]));
        let (v6, v4) = classes.split_at(self.v6.into());
        let alike = |family: &[Class]| family.windows(2).all(|two| two[0] == two[1]);
        let classes = (!alike(v6) || !alike(v4)).then(|| numbered(&classes));
        Self {
            classes,
            leads,
            ..self
        }
    }

    /// Adds the addresses of a missing family from `old`, or returns `None` if there are none to add.
    pub(crate) fn completed(&self, old: &Self) -> Option<Self> {
        let of_old = |family| old.family(family).0;
        let (ours, missing) = match (self.family(Family::V4).0, self.family(Family::V6).0) {
            (v4, []) => (v4, of_old(Family::V6)),
            ([], v6) => (v6, of_old(Family::V4)),
            _ => return None,
        };
        let all = ours.iter().chain(missing).copied();
        (!missing.is_empty()).then(|| Self {
            leads: old.leads,
            ..Self::new(all)
        })
    }

    pub(crate) fn as_slice(&self) -> &[IpAddr] {
        &self.all
    }

    pub(crate) fn contains(&self, addr: IpAddr) -> bool {
        self.all.contains(&addr)
    }

    /// Returns whether this answer names an address that no remembered earlier answer named.
    ///
    /// An answer that only omits addresses has no new address, and neither has a long answer that was cut differently.
    pub(crate) fn has_new(&self, old: &Self) -> bool {
        match (&self.seen, &old.seen) {
            (Some(ours), Some(theirs)) => ours.has_new(theirs),
            (Some(ours), None) => ours.has_new(&Seen::of(&old.all)),
            (None, Some(theirs)) => self.all.iter().any(|addr| !theirs.contains(addr)),
            (None, None) => self.all.iter().any(|&addr| !old.contains(addr)),
        }
    }

    /// Returns whether remembered earlier answers named addresses that this answer may not name.
    pub(crate) fn omits_earlier_addresses(&self) -> bool {
        self.seen.is_some()
    }

    /// Returns how many addresses one connect is given, with at most `per_family` of each family.
    pub(crate) fn selected(&self, per_family: usize) -> usize {
        let selected = |family| self.family(family).0.len().min(per_family);
        selected(Family::V6) + selected(Family::V4)
    }

    /// Returns the family to attempt first, according to the answer and the routes.
    pub(crate) fn leads(&self) -> Family {
        self.leads
    }

    /// Returns whether a family has addresses of more than one class.
    pub(super) fn has_classes(&self) -> bool {
        self.classes.is_some()
    }

    /// Returns the addresses of a family and their classes.
    #[inline]
    pub(super) fn family(&self, family: Family) -> (&[IpAddr], Option<&[u8]>) {
        let (v6, v4) = self.all.split_at(self.v6.into());
        let classes = self.classes.as_ref();
        let classes = classes.map(|classes| classes[..self.all.len()].split_at(self.v6.into()));
        match family {
            Family::V4 => (v4, classes.map(|(_, v4)| v4)),
            Family::V6 => (v6, classes.map(|(v6, _)| v6)),
        }
    }
}

/// Cuts a list that starts with `v6` IPv6 addresses to [`MAX_ADDRS`] addresses.
///
/// Each family gets half of the places, and places that one family does not need go to the other family. Returns how
/// many IPv6 addresses are left.
fn cut(all: &mut Vec<IpAddr>, v6: usize) -> usize {
    let v4 = all.len() - v6;
    let kept_v6 = v6.min(MAX_ADDRS - v4.min(MAX_ADDRS / 2));
    all.drain(kept_v6..v6);
    all.truncate(MAX_ADDRS);
    kept_v6
}

/// Returns the addresses without duplicates; IPv4-mapped addresses become IPv4 addresses.
pub(crate) fn distinct(addrs: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut seen = HashSet::new();
    let addrs = addrs.into_iter().map(|addr| addr.to_canonical());
    addrs.filter(|&addr| seen.insert(addr)).collect()
}

/// Returns the number of each class, counted from the best class.
fn numbered(classes: &[Class]) -> Box<[u8; MAX_ADDRS]> {
    let mut distinct = classes.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let number = |class| distinct.partition_point(|other| other < class);
    let mut numbered = [0; MAX_ADDRS];
    for (place, class) in numbered.iter_mut().zip(classes) {
        *place = number(class).try_into().unwrap_or(u8::MAX);
    }
    Box::new(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(from: u8, to: u8) -> impl Iterator<Item = IpAddr> {
        (0..3).flat_map(move |third| (from..to).map(move |last| [192, 0, third, last].into()))
    }

    /// Each process keeps a different 64 of 300 addresses.
    #[test]
    fn of_too_many_some_are_kept_at_random() {
        let kept = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            AddressSet::sampled(many(0, 100), &mut rng)
        };
        let first = AddressSet::new(many(0, 100));
        for seed in 0..20 {
            assert_eq!(kept(seed).as_slice().len(), MAX_ADDRS);
            let shared = kept(seed)
                .all
                .iter()
                .filter(|&&addr| first.contains(addr))
                .count();
            assert!(
                (3..30).contains(&shared),
                "about a fifth of the first: {shared}"
            );
        }
    }

    #[test]
    fn another_part_of_a_long_answer_is_no_news() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut kept = |from, to| AddressSet::sampled(many(from, to), &mut rng);
        let old = kept(0, 100);
        assert!(!kept(0, 100).has_new(&old));
        assert!(!kept(40, 50).has_new(&old), "a part that fits");
        assert!(kept(0, 101).has_new(&old));
    }

    /// The name server names a few of many addresses in turn.
    #[test]
    fn addresses_that_an_earlier_answer_has_named_are_no_news() {
        let two = |from| AddressSet::new(many(from, from + 1));
        let (first, second) = (two(1), two(2));
        assert!(second.has_new(&first));
        let second = second.after(&first);
        assert!(!two(1).has_new(&second));
        let third = two(3).after(&second);
        assert!(!two(1).has_new(&third));
        assert!(two(4).has_new(&third));
        assert_eq!(two(1).after(&two(1)), two(1), "nothing to remember");
    }
}
