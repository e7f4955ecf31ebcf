//! Laws and cases of the rule.

use proptest::prelude::*;

use super::*;
use crate::time;

const S: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn place(v4: Option<&str>, v6: Option<&str>) -> NetworkFingerprint {
    NetworkFingerprint::of(|to| match to {
        IpAddr::V4(_) => v4.map(|addr| addr.parse().unwrap()),
        IpAddr::V6(_) => v6.map(|addr| addr.parse().unwrap()),
    })
}

fn at_home() -> NetworkFingerprint {
    place(Some("192.168.1.5"), Some("2001:db8:1:1::5"))
}

/// Returns for each place after the first whether a check finds another network.
fn moves(places: &[NetworkFingerprint]) -> Vec<bool> {
    let mut monitor = NetworkMonitor::at(places[0]);
    let later = places[1..].iter();
    later.map(|&place| monitor.check(place)).collect()
}

#[test]
fn another_address_or_prefix_is_another_network() {
    for (v4, v6) in [
        (Some("192.168.1.6"), Some("2001:db8:1:1::5")),
        (Some("10.0.0.2"), None),
        (Some("192.168.1.5"), Some("2001:db8:1:2::5")),
        (Some("192.168.1.5"), None),
        (None, Some("2001:db8:1:1::5")),
    ] {
        let other = place(v4, v6);
        assert_eq!(
            moves(&[at_home(), other, other]),
            [true, false],
            "{other:?}"
        );
        assert_eq!(moves(&[other, at_home()]), [true], "{other:?}");
    }
}

/// A privacy address (RFC 8981) changes each day, but its /64 stays the same.
#[test]
fn a_new_privacy_address_is_no_other_network() {
    let tomorrow = place(Some("192.168.1.5"), Some("2001:db8:1:1:a1b2:c3d4:e5f6:7"));
    assert_eq!(moves(&[at_home(), tomorrow]), [false]);
}

/// A machine that comes back to its network has not moved. A machine that comes back to another network has.
#[test]
fn to_be_nowhere_for_a_while_is_no_other_network() {
    let nowhere = place(None, None);
    assert_eq!(moves(&[at_home(), nowhere, at_home()]), [false, false]);
    let elsewhere = place(Some("10.0.0.2"), None);
    assert_eq!(moves(&[at_home(), nowhere, elsewhere]), [false, true]);
    assert_eq!(moves(&[nowhere, nowhere, elsewhere]), [false, true]);
}

#[test]
fn addresses_that_lead_nowhere_are_no_place() {
    for (v4, v6) in [
        ("127.0.0.1", "::1"),
        ("169.254.7.7", "fe80::1"),
        ("0.0.0.0", "::"),
        ("::ffff:127.0.0.1", "::ffff:169.254.0.1"),
    ] {
        assert!(place(Some(v4), Some(v6)).is_nowhere(), "{v4} {v6}");
    }
}

/// The check that matters comes one second after the last notice of a burst. Two checks follow for late changes.
#[test]
fn a_burst_is_one_look_after_its_end() {
    let begun = time::now();
    let mut monitor = NetworkMonitor::at(at_home());
    assert_eq!(monitor.due(), None);
    for n in 0..10 {
        monitor.notice(begun + n * 300 * MS);
    }
    let ended = begun + 2_700 * MS;
    for after in [1, 3, 10] {
        assert_eq!(monitor.due(), Some(ended + after * S), "{after} s");
        assert!(!monitor.check(at_home()));
    }
    assert_eq!(monitor.due(), None);
}

/// Containers that come and go all the time do not hide that the machine has moved.
#[test]
fn a_burst_without_end_is_looked_into_all_the_same() {
    let begun = time::now();
    let mut monitor = NetworkMonitor::at(at_home());
    for n in 0..=50 {
        monitor.notice(begun + n * 100 * MS);
        assert!(monitor.due().unwrap() <= begun + MAX_DEBOUNCE);
    }
    assert!(monitor.check(place(Some("10.0.0.2"), None)));
    monitor.notice(begun + 6 * S);
    assert_eq!(monitor.due(), Some(begun + 7 * S), "a burst of its own");
}

#[derive(Clone, Debug)]
enum Step {
    Notice(u64),
    Look(Option<[u8; 4]>, Option<[u16; 8]>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // There are few different addresses, so that they repeat. Some of them lead nowhere.
    let v4 = prop_oneof![
        Just([192, 168, 1, 5]),
        Just([10, 0, 0, 2]),
        Just([127, 0, 0, 1])
    ];
    let v6 = (0..2_u16, any::<u16>()).prop_map(|(net, own)| [0x2001, 0xdb8, 0, net, 0, 0, 0, own]);
    let step = prop_oneof![
        (0..4_000_u64).prop_map(Step::Notice),
        (prop::option::of(v4), prop::option::of(v6)).prop_map(|(v4, v6)| Step::Look(v4, v6)),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// A move is reported once, when the place differs from the last known one.
    ///
    /// After a notice there are at most three checks. The first is due within 5 s, and none comes before its time.
    #[test]
    fn each_move_is_told_once_and_looks_are_bounded(steps in steps()) {
        let mut now = time::now();
        let mut monitor = NetworkMonitor::at(NetworkFingerprint::default());
        let (mut last, mut looks) = (NetworkFingerprint::default(), CHECK_DELAYS.len());
        for step in steps {
            match step {
                Step::Notice(after) => {
                    now += Duration::from_millis(after);
                    let due = monitor.due();
                    monitor.notice(now);
                    let next = monitor.due().unwrap();
                    prop_assert!(next <= now + CHECK_DELAYS[0]);
                    if let Some(due) = due.filter(|_| looks == 0) {
                        prop_assert!(next >= due.min(now), "a burst puts off, never forward");
                    }
                    looks = 0;
                }
                Step::Look(v4, v6) => {
                    let place = NetworkFingerprint::of(|to| match to {
                        IpAddr::V4(_) => v4.map(IpAddr::from),
                        IpAddr::V6(_) => v6.map(IpAddr::from),
                    });
                    let moved = monitor.check(place);
                    prop_assert_eq!(moved, !place.is_nowhere() && place != last);
                    prop_assert!(!monitor.look_again(place), "told once");
                    if moved {
                        last = place;
                    }
                    looks += 1;
                    prop_assert_eq!(monitor.due().is_some(), looks < CHECK_DELAYS.len());
                }
            }
        }
    }

    /// Only the /64 of an IPv6 address belongs to the fingerprint.
    #[test]
    fn the_lower_half_of_an_ipv6_address_says_nothing(net: [u16; 4], one: [u16; 4], other: [u16; 4]) {
        let at = |own: [u16; 4]| {
            let [a, b, c, d] = net;
            let [e, f, g, h] = own;
            NetworkFingerprint::of(|to| to.is_ipv6().then_some([a | 0x2000, b, c, d, e, f, g, h].into()))
        };
        prop_assert!(!NetworkMonitor::at(at(one)).check(at(other)));
    }
}

impl NetworkMonitor {
    /// Checks a place without recording the check.
    fn look_again(&self, place: NetworkFingerprint) -> bool {
        Self::at(self.place).check(place)
    }
}
