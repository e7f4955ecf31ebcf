use std::sync::atomic::{AtomicU16, Ordering};

use super::*;

fn v4() -> Family {
    Ok(Answer::new([IpAddr::from([192, 0, 2, 1])]).with_ttl(Duration::from_secs(60)))
}

fn v6() -> Family {
    Ok(
        Answer::new([IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])])
            .with_ttl(Duration::from_secs(20)),
    )
}

#[test]
fn two_families_make_one_answer_that_lives_as_long_as_the_shorter() {
    let both = merge(v4(), Some(v6())).unwrap();
    assert_eq!(
        (both.addrs.len(), both.ttl),
        (2, Some(Duration::from_secs(20)))
    );
}

/// One family's failure does not cost the addresses of the other.
#[test]
fn one_family_is_enough() {
    let failed = || Some(Err(Error::failed("a", "SERVFAIL")));
    assert_eq!(merge(v4(), failed()).unwrap(), partial(v4().unwrap()));
    assert_eq!(
        merge(Err(Error::timed_out("a")), Some(v6())).unwrap(),
        partial(v6().unwrap())
    );
    assert_eq!(merge(v4(), None).unwrap(), partial(v4().unwrap()));
    let none = || Some(Err(Error::no_records("a")));
    assert_eq!(
        merge(v4(), none()).unwrap(),
        v4().unwrap(),
        "that is an answer"
    );
}

#[test]
fn a_failure_beside_no_records_is_a_failure() {
    let none = || Err(Error::no_records("a"));
    let failed = merge(none(), Some(Err(Error::timed_out("a")))).unwrap_err();
    assert!(failed.is_timeout());
    assert!(
        merge(none(), Some(Err(Error::not_found("a"))))
            .unwrap_err()
            .is_not_found()
    );
    assert!(merge(none(), Some(none())).unwrap_err().is_no_records());
}

/// What was attempted, on what, and what to do.
#[test]
fn a_missing_system_configuration_is_told_with_a_way_out() {
    let error = NoSystemConfig {
        source: "no such file".into(),
    };
    let said = error.to_string();
    for words in [PLACE, "Dns::with_servers", "lookup::System"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(std::error::Error::source(&error).is_some());
}

/// The port at which the system's name server listens; 0: there is none.
static LISTENS_AT: AtomicU16 = AtomicU16::new(1);

fn read_test_system() -> Result<(ResolverConfig, ResolverOpts), NoSystemConfig> {
    match LISTENS_AT.load(Ordering::Relaxed) {
        0 => Err(NoSystemConfig {
            source: "no such file".into(),
        }),
        port => {
            let server = udp_and_tcp(([127, 0, 0, 1], port).into());
            let config = ResolverConfig::from_parts(None, vec![], vec![server]);
            Ok((config, ResolverOpts::default()))
        }
    }
}

fn port(dns: &Dns) -> u16 {
    dns.edit(|kept| kept.config.name_servers()[0].connections[0].port)
}

/// Another network has other name servers, and its sockets are other sockets. What was made for
/// the one before while the change came in is not kept.
#[tokio::test]
async fn on_another_network_its_own_name_servers_are_asked() {
    let dns = Dns::read_by(read_test_system).unwrap();
    let made = dns.of_this_runtime().unwrap();
    assert_eq!(
        (port(&dns), dns.edit(|kept| kept.per_runtime.len())),
        (1, 1)
    );
    LISTENS_AT.store(2, Ordering::Relaxed);
    dns.network_changed();
    assert_eq!(
        (port(&dns), dns.edit(|kept| kept.per_runtime.len())),
        (2, 0)
    );
    assert_eq!(dns.edit(|kept| kept.options.cache_size), 0);
    dns.edit(|kept| kept.keep(Handle::current().id(), made, 0));
    assert_eq!(dns.edit(|kept| kept.per_runtime.len()), 0);
    LISTENS_AT.store(0, Ordering::Relaxed);
    dns.network_changed();
    assert_eq!(port(&dns), 2, "better those of before than none");
}

#[test]
fn servers_that_cannot_be_asked_are_refused() {
    let none = Dns::with_servers([]).unwrap_err();
    assert_eq!(none.setter(), "Dns::with_servers");
    assert!(Dns::with_servers([SocketAddr::from(([127, 0, 0, 1], 0))]).is_err());
}
