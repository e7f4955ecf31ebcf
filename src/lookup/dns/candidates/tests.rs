use proptest::prelude::*;

use super::*;

fn config(ndots: u8, search: &[&str]) -> StubConfig {
    StubConfig {
        search: search.iter().map(|&domain| domain.into()).collect(),
        ndots,
        ..StubConfig::default()
    }
}

/// Returns the candidates of a walk and how the walk ends. Candidates that `misses` lacks are not found.
fn walk(name: &str, config: &StubConfig, misses: &[(&str, Miss<u8>)]) -> (Vec<String>, End<u8>) {
    let mut walk = Walk::new(name, config);
    let mut asked = Vec::new();
    while let Some(candidate) = walk.next() {
        let miss = misses.iter().find(|(name, _)| **name == *candidate);
        walk.missed(miss.map_or(Miss::NotFound(None), |(_, miss)| miss.clone()));
        asked.push(candidate.into_string());
    }
    (asked, walk.end())
}

/// `ndots` decides whether the host as written comes before or after the search list (resolv.conf(5)).
///
/// A host with a root dot is the only candidate.
#[test]
fn names_are_asked_for_in_the_order_of_resolv_conf() {
    let search = &["ns.svc.test", "corp.test"];
    for (name, ndots, asked) in [
        ("web", 1, &["web.ns.svc.test", "web.corp.test", "web"][..]),
        ("web", 0, &["web", "web.ns.svc.test", "web.corp.test"]),
        ("a.b", 1, &["a.b", "a.b.ns.svc.test", "a.b.corp.test"]),
        ("a.b", 5, &["a.b.ns.svc.test", "a.b.corp.test", "a.b"]),
        ("web.", 5, &["web"]),
        ("a.b.", 1, &["a.b"]),
    ] {
        assert_eq!(
            walk(name, &config(ndots, search), &[]).0,
            asked,
            "{name} {ndots}"
        );
    }
    assert_eq!(walk("a.b", &config(1, &[]), &[]).0, ["a.b"]);
    assert_eq!(walk("web", &config(1, &["."]), &[]).0, ["web"], "the root");
    assert_eq!(
        walk("a.b", &config(1, &["x", "x"]), &[]).0,
        ["a.b", "a.b.x"]
    );
}

#[test]
fn a_candidate_that_is_too_long_is_left_out() {
    let name = vec!["a".repeat(60); 4].join(".");
    assert_eq!(
        walk(&name, &config(1, &["corp.example.test"]), &[]).0,
        [name]
    );
}

/// As in glibc's `res_search`, the walk continues with the next candidate after SERVFAIL.
///
/// If no server answers, the walk skips the search list, but not the host as written.
#[test]
fn what_a_candidate_does_to_the_walk_is_as_in_glibc() {
    let config = config(1, &["a.test", "b.test"]);
    for (miss, asked) in [
        (
            Miss::NotFound(None),
            &["web.a.test", "web.b.test", "web"][..],
        ),
        (Miss::NoRecords(None), &["web.a.test", "web.b.test", "web"]),
        (
            Miss::FailedNextCandidate(1),
            &["web.a.test", "web.b.test", "web"],
        ),
        (Miss::Failed(1), &["web.a.test", "web"]),
        (Miss::AliasToNothing(None), &["web.a.test"]),
        (Miss::EndsWalk(1), &["web.a.test"]),
    ] {
        let (seen, _) = walk("web", &config, &[("web.a.test", miss.clone())]);
        assert_eq!(seen, asked, "{miss:?}");
    }
    let (seen, _) = walk("x.y", &config, &[("x.y", Miss::Failed(1))]);
    assert_eq!(seen, ["x.y", "x.y.a.test", "x.y.b.test"]);
}

/// The NXDOMAIN of a later candidate never hides the failure of an earlier candidate.
#[test]
fn a_failure_is_the_end_whatever_comes_after() {
    let config = config(1, &["corp.test"]);
    for failed in ["api.example.test", "api.example.test.corp.test"] {
        let (_, end) = walk(
            "api.example.test",
            &config,
            &[(failed, Miss::FailedNextCandidate(7))],
        );
        assert_eq!(end, End::Failed(7), "{failed}");
    }
}

#[test]
fn nodata_of_any_candidate_goes_before_nxdomain_unless_the_name_was_asked_first() {
    let config = config(1, &["corp.test"]);
    let (_, end) = walk("web", &config, &[("web.corp.test", Miss::NoRecords(None))]);
    assert_eq!(end, End::NoRecords(None));
    let ttl = Some(Duration::from_secs(7));
    let (_, end) = walk(
        "web",
        &config,
        &[("web.corp.test", Miss::AliasToNothing(ttl))],
    );
    assert_eq!(end, End::NoRecords(ttl), "a name that is an alias exists");
    let (_, end) = walk("a.b", &config, &[("a.b.corp.test", Miss::NoRecords(None))]);
    assert_eq!(end, End::NotFound(None), "as the name itself");
    let (_, end) = walk("a.b", &config, &[("a.b", Miss::NoRecords(None))]);
    assert_eq!(end, End::NoRecords(None));
}

/// The zone's TTL of 5 s counts, and not the root's TTL of one day.
#[test]
fn the_negative_ttl_is_the_shortest_of_all_candidates() {
    let secs = |secs| Some(Duration::from_secs(secs));
    let config = config(5, &["ns.svc.test"]);
    for (one, other, ttl) in [
        (secs(5), secs(86_400), secs(5)),
        (secs(86_400), secs(5), secs(5)),
        (None, secs(86_400), None),
        (None, secs(2), secs(2)),
        (None, None, None),
    ] {
        let misses = [
            ("web.ns.svc.test", Miss::NotFound(one)),
            ("web", Miss::NotFound(other)),
        ];
        assert_eq!(walk("web", &config, &misses).1, End::NotFound(ttl));
    }
}

proptest! {
    /// The walk ends and queries each candidate once. Each candidate is the host alone or with a domain of
    /// the search list appended.
    #[test]
    fn each_candidate_is_asked_for_once(
        name in "[a-z]{1,3}(\\.[a-z]{1,3}){0,3}\\.?",
        search in proptest::collection::vec("[a-z.]{0,5}", 0..6),
        ndots in 0_u8..=15,
        misses in proptest::collection::vec(0_u8..5, 8),
    ) {
        let search: Vec<_> = search.iter().map(String::as_str).collect();
        let mut walk = Walk::new(&name, &config(ndots, &search));
        let mut asked = Vec::new();
        let mut failed = false;
        while let Some(candidate) = walk.next() {
            let miss = match misses[asked.len() % misses.len()] {
                0 => Miss::NotFound(None),
                1 => Miss::NoRecords(None),
                2 => Miss::FailedNextCandidate(()),
                3 => Miss::Failed(()),
                _ => Miss::EndsWalk(()),
            };
            failed |= !matches!(miss, Miss::NotFound(_) | Miss::NoRecords(_));
            walk.missed(miss);
            prop_assert!(!asked.contains(&candidate), "{:?} twice", candidate);
            let bare = name.trim_end_matches('.');
            let below = format!("{bare}.");
            prop_assert!(*candidate == *bare || candidate.starts_with(&below));
            asked.push(candidate);
        }
        prop_assert!((1..=search.len() + 1).contains(&asked.len()));
        prop_assert!(!name.ends_with('.') || asked.len() == 1);
        prop_assert_eq!(matches!(walk.end(), End::Failed(())), failed);
    }
}
