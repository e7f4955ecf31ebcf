//! What is kept of an answer.

use std::net::IpAddr;

use super::destination::{self, Class};
use super::{Family, MAX_ADDRS};

/// The addresses of an answer: no duplicates, IPv6 first, at most [`MAX_ADDRS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addrs {
    all: Box<[IpAddr]>,
    /// For each address its class within its family, less is better; `None`: all are equal.
    classes: Option<Box<[u8; MAX_ADDRS]>>,
    v6: u8,
    leads: Family,
}

impl Addrs {
    /// Keeps the first addresses of each family as the name server sent them.
    pub(crate) fn new(addrs: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut all = distinct(addrs);
        let leads = all.first().map_or(Family::V6, |&first| Family::of(first));
        all.sort_by_key(IpAddr::is_ipv4);
        let v6 = all.partition_point(IpAddr::is_ipv6);
        let v6 = cut(&mut all, v6);
        Self {
            all: all.into(),
            classes: None,
            v6: v6.try_into().expect("at most 64 addresses are kept"),
            leads,
        }
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

    /// Whether an address is among these that is not among the old ones. A name server that tells
    /// some of many in turn brings no news by leaving others out.
    pub(crate) fn has_new(&self, old: &Self) -> bool {
        self.all.iter().any(|&addr| !old.contains(addr))
    }

    /// Returns in how many connects, each dealt so many of each family, all have been dealt.
    #[cfg(feature = "__again")]
    pub(crate) fn rounds(&self, per_family: usize) -> usize {
        let rounds = |family| self.family(family).0.len().div_ceil(per_family);
        rounds(Family::V6).max(rounds(Family::V4))
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
    let mut distinct = Vec::new();
    for addr in addrs {
        let addr = addr.to_canonical();
        if !distinct.contains(&addr) {
            distinct.push(addr);
        }
    }
    distinct
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
