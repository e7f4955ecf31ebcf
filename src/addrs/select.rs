//! Selects the addresses of a connect and the order of its attempts.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::{AddressOrder, AddressSet, Family, MAX_ADDRS};
use crate::health::record::Rank;

/// An optional function that returns the rank of an address. `None` means that all addresses are healthy.
pub(crate) type RankFn<'a> = Option<&'a dyn Fn(IpAddr) -> Rank>;

/// Parameters of one selection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SelectParams {
    pub(crate) order: AddressOrder,
    /// The family that goes first.
    pub(crate) prefer: Family,
    /// Maximum number of addresses of each family.
    pub(crate) per_family: usize,
    /// Number of earlier selections for the host, for [`AddressOrder::RoundRobin`].
    pub(crate) turn: usize,
}

/// Writes the addresses to `out` in the order of attempts, and returns how many.
///
/// `out` must have room for all selected addresses. Each family is shuffled alone, because connectors prefer the family
/// of the first address: a shuffle across families would make that family random. Within a family, addresses of a
/// better rank go first, and of these the addresses of a better class. Across families, the better rank goes first, and
/// at equal ranks the families take turns (RFC 8305, section 4).
pub(crate) fn select(
    addrs: &AddressSet,
    ranks: RankFn<'_>,
    how: SelectParams,
    rng: &mut fastrand::Rng,
    out: &mut [IpAddr],
) -> usize {
    let first = addrs.family(how.prefer);
    let second = addrs.family(how.prefer.other());
    let plain = ranks.is_none() && !addrs.has_classes() && how.order == AddressOrder::Shuffle;
    match plain {
        true => shuffled(first.0, second.0, how.per_family, rng, out),
        false => sorted([first, second], ranks, how, rng, out),
    }
}

/// Selects healthy addresses of one class, by far the most common and the cheapest case.
#[inline]
fn shuffled(
    first: &[IpAddr],
    second: &[IpAddr],
    per_family: usize,
    rng: &mut fastrand::Rng,
    out: &mut [IpAddr],
) -> usize {
    let mut few = |addrs: &[IpAddr]| shuffle_few(addrs.len(), per_family, rng);
    if let (Some(one), Some(other)) = (few(first), few(second)) {
        return in_turn((first, one), (second, other), out);
    }
    let [mut one, mut other] = [IN_ORDER; 2];
    let one = shuffle(&mut one[..first.len()], per_family, rng);
    let other = shuffle(&mut other[..second.len()], per_family, rng);
    in_turn((first, one), (second, other), out)
}

/// Writes the addresses of two families in turn.
///
/// Each family comes with the indices of its addresses in order, so that no address is copied twice.
#[inline(always)]
fn in_turn(
    (first, one): (&[IpAddr], &[u8]),
    (second, other): (&[IpAddr], &[u8]),
    out: &mut [IpAddr],
) -> usize {
    for ((two, &one), &other) in out.chunks_exact_mut(2).zip(one).zip(other) {
        two[0] = first[usize::from(one)];
        two[1] = second[usize::from(other)];
    }
    if one.len() != other.len() {
        let both = one.len().min(other.len());
        let (longer, rest) = match one.len() > both {
            true => (first, &one[both..]),
            false => (second, &other[both..]),
        };
        for (place, &index) in out[2 * both..].iter_mut().zip(rest) {
            *place = longer[usize::from(index)];
        }
    }
    one.len() + other.len()
}

#[inline(never)]
fn sorted(
    [first, second]: [(&[IpAddr], Option<&[u8]>); 2],
    ranks: RankFn<'_>,
    how: SelectParams,
    rng: &mut fastrand::Rng,
    out: &mut [IpAddr],
) -> usize {
    let rank = |addr| ranks.map_or(Rank::Healthy, |rank| rank(addr));
    let mut pile = |addrs| FamilyQueue::new(addrs, rank, how, rng);
    let (mut first, mut second) = (pile(first), pile(second));
    let mut first_has_the_turn = true;
    for (selected, place) in out.iter_mut().enumerate() {
        let from_first = match (first.top(), second.top()) {
            (None, None) => return selected,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(one), Some(other)) => match rank(one).cmp(&rank(other)) {
                Ordering::Less => true,
                Ordering::Equal => first_has_the_turn,
                Ordering::Greater => false,
            },
        };
        first_has_the_turn = !from_first;
        let pile = if from_first { &mut first } else { &mut second };
        pile.top().into_iter().for_each(|top| *place = top);
        pile.next += 1;
    }
    out.len()
}

/// The addresses of one family by rank, and at equal ranks by class.
struct FamilyQueue<'a> {
    addrs: &'a [IpAddr],
    order: [u8; MAX_ADDRS],
    next: usize,
    end: usize,
}

impl<'a> FamilyQueue<'a> {
    fn new(
        (addrs, classes): (&'a [IpAddr], Option<&[u8]>),
        rank: impl Fn(IpAddr) -> Rank,
        how: SelectParams,
        rng: &mut fastrand::Rng,
    ) -> Self {
        let mut order = IN_ORDER;
        let all = &mut order[..addrs.len()];
        match how.order {
            // The sort can move any address to the front, so the whole family is shuffled.
            AddressOrder::Shuffle => rng.shuffle(all),
            AddressOrder::RoundRobin | AddressOrder::Preserve => {}
        }
        let key = |index: &u8| {
            let index = usize::from(*index);
            let class = classes.map_or(0, |classes| classes[index]);
            (rank(addrs[index]), class)
        };
        all.sort_by_key(key);
        if how.order == AddressOrder::RoundRobin {
            // Only equal addresses rotate, or the neighbor of a failed address would get the turns of both.
            for equals in all.chunk_by_mut(|one, other| key(one) == key(other)) {
                equals.rotate_left(how.turn % equals.len());
            }
        }
        Self {
            addrs,
            order,
            next: 0,
            end: addrs.len().min(how.per_family),
        }
    }

    fn top(&self) -> Option<IpAddr> {
        let index = self.order[..self.end].get(self.next)?;
        self.addrs.get(usize::from(*index)).copied()
    }
}

/// Returns the first `most` places of a random order, or `None` for more than four addresses.
#[inline(always)]
fn shuffle_few(len: usize, most: usize, rng: &mut fastrand::Rng) -> Option<&'static [u8]> {
    let orders = FEW.get(len)?;
    Some(&orders[below(orders.len(), rng)][..len.min(most)])
}

/// Draws at most `most` places, each from all remaining indices (Fisher and Yates).
#[inline(never)]
fn shuffle<'a>(order: &'a mut [u8], most: usize, rng: &mut fastrand::Rng) -> &'a [u8] {
    let drawn = order.len().min(most);
    for place in 0..drawn {
        order.swap(place, place + below(order.len() - place, rng));
    }
    &order[..drawn]
}

/// Draws a number below `n`, which is at most 64.
///
/// The method is Lemire's multiplication without the second draw, so the odds are off by less than one in 2^26.
#[inline(always)]
fn below(n: usize, rng: &mut fastrand::Rng) -> usize {
    ((u64::from(rng.u32(..)) * n as u64) >> 32) as usize
}

/// All orders of up to four addresses, which is the size of a family in most answers.
///
/// One draw selects an order, where Fisher and Yates need three draws.
const FEW: [&[[u8; 4]]; 5] = [
    &orders::<1>(0),
    &orders::<1>(1),
    &orders::<2>(2),
    &orders::<6>(3),
    &orders::<24>(4),
];

/// Returns the `N` orders of `len` addresses.
///
/// Each number below `N` is written in the factorial number system. Each digit selects the next one of the remaining
/// addresses.
const fn orders<const N: usize>(len: usize) -> [[u8; 4]; N] {
    let mut orders = [[0, 1, 2, 3]; N];
    let mut number = 0;
    while number < N {
        let (mut place, mut rest) = (0, number);
        while place < len {
            let drawn = place + rest % (len - place);
            rest /= len - place;
            let index = orders[number][drawn];
            orders[number][drawn] = orders[number][place];
            orders[number][place] = index;
            place += 1;
        }
        number += 1;
    }
    orders
}

const IN_ORDER: [u8; MAX_ADDRS] = {
    let mut order = [0; MAX_ADDRS];
    let mut place = 0;
    while place < MAX_ADDRS {
        order[place] = place as u8;
        place += 1;
    }
    order
};

#[cfg(test)]
mod tests;
