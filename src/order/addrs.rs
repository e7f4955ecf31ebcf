//! What is kept of an answer.

use std::collections::HashSet;
use std::net::IpAddr;

use super::destination::{self, Class};
use super::seen::Seen;
use super::{Family, MAX_ADDRS};

/// The addresses of an answer: no duplicates, IPv6 first, at most [`MAX_ADDRS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addrs {
    all: Box<[IpAddr]>,
    /// For each address its class within its family, less is better; `None`: all are equal.
    classes: Option<Box<[u8; MAX_ADDRS]>>,
    /// What this answer and those before it have named; `None`: what is kept here.
    seen: Option<Box<Seen>>,
    v6: u8,
    leads: Family,
}

impl Addrs {
    /// Keeps the first addresses of each family as the name server sent them.
    pub(crate) fn new(addrs: impl IntoIterator<Item = IpAddr>) -> Self {
        Self::cut(distinct(addrs), |_| {})
    }

    /// Keeps addresses at random where there are too many: a fleet whose every process keeps the first
    /// ones would use no others.
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

    /// Remembers the addresses of the answer before this one, where those were others: a name server
    /// that names some of many in turn brings no news when it names them again.
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

    /// Sorts them into classes by RFC 6724; the family of the best one leads. `source` tells from
    /// which address one would be dialled; where that makes no difference it is not asked.
    pub(crate) fn classed(self, source: impl Fn(IpAddr) -> Option<IpAddr>) -> Self {
        if !destination::differ(&self.all) {
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

    /// Adds the family that is missing here and was there before. `None`: there is none.
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

    /// Whether an address is among these that no answer before has named, as far as that is
    /// remembered. An answer that leaves some out is no news, nor is the part of a long one that is kept.
    pub(crate) fn has_new(&self, old: &Self) -> bool {
        match (&self.seen, &old.seen) {
            (Some(ours), Some(theirs)) => ours.has_new(theirs),
            (Some(ours), None) => ours.has_new(&Seen::of(&old.all)),
            (None, Some(theirs)) => self.all.iter().any(|addr| !theirs.contains(addr)),
            (None, None) => self.all.iter().any(|&addr| !old.contains(addr)),
        }
    }

    /// Whether earlier answers have named addresses that this one may not name, as far as that is remembered.
    pub(crate) fn replaces_others(&self) -> bool {
        self.seen.is_some()
    }

    /// Returns how many addresses one connect is dealt, at most so many of each family.
    pub(crate) fn dealt(&self, per_family: usize) -> usize {
        let dealt = |family| self.family(family).0.len().min(per_family);
        dealt(Family::V6) + dealt(Family::V4)
    }

    /// Returns the family to dial first, as far as the answer and the routes tell.
    pub(crate) fn leads(&self) -> Family {
        self.leads
    }

    /// Whether some are better than others of their family.
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

/// Cuts a list with so many IPv6 addresses in front to [`MAX_ADDRS`]: half of each family, and the
/// places that one does not need are the other's. Returns how many IPv6 addresses are left.
fn cut(all: &mut Vec<IpAddr>, v6: usize) -> usize {
    let v4 = all.len() - v6;
    let kept_v6 = v6.min(MAX_ADDRS - v4.min(MAX_ADDRS / 2));
    all.drain(kept_v6..v6);
    all.truncate(MAX_ADDRS);
    kept_v6
}

/// Returns the addresses in their one spelling (IPv4-mapped ones are IPv4) without duplicates.
pub(crate) fn distinct(addrs: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut seen = HashSet::new();
    let addrs = addrs.into_iter().map(|addr| addr.to_canonical());
    addrs.filter(|&addr| seen.insert(addr)).collect()
}

/// Numbers classes from the best one on.
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

    /// Of 300 addresses no process keeps the same 64.
    #[test]
    fn of_too_many_some_are_kept_at_random() {
        let kept = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            Addrs::sampled(many(0, 100), &mut rng)
        };
        let first = Addrs::new(many(0, 100));
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
        let mut kept = |from, to| Addrs::sampled(many(from, to), &mut rng);
        let old = kept(0, 100);
        assert!(!kept(0, 100).has_new(&old));
        assert!(!kept(40, 50).has_new(&old), "a part that fits");
        assert!(kept(0, 101).has_new(&old));
    }

    /// A name server that names a few of many in turn.
    #[test]
    fn addresses_that_an_earlier_answer_has_named_are_no_news() {
        let two = |from| Addrs::new(many(from, from + 1));
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
