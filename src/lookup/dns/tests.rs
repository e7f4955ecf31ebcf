use super::*;

/// The error says what failed, where, and what to do.
#[test]
fn a_missing_system_configuration_is_told_with_a_way_out() {
    let error = SystemConfigError {
        source: "no such file".into(),
    };
    let server_answer = error.to_string();
    for words in [PLACE, "Dns::with_servers", "lookup::System"] {
        assert!(server_answer.contains(words), "{server_answer}");
    }
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn servers_that_cannot_be_asked_are_refused() {
    let none = Dns::with_servers([]).unwrap_err();
    assert_eq!(none.setter(), "Dns::with_servers");
    let refused = |server: &str| Dns::with_servers([server.parse().unwrap()]).is_err();
    for server in ["127.0.0.1:0", "0.0.0.0:53", "[::]:53", "[fe80::53]:53"] {
        assert!(refused(server), "{server}");
    }
    assert!(!refused("[fe80::53%1]:53"), "with its scope");
}

#[test]
fn options_out_of_bounds_are_refused_by_their_name() {
    let builder = || Dns::builder().server(([127, 0, 0, 1], 53).into());
    let secs = std::time::Duration::from_secs;
    for (setter, builder) in [
        ("server", Dns::builder()),
        ("ndots", builder().ndots(16)),
        ("attempts", builder().attempts(0)),
        ("attempts", builder().attempts(6)),
        ("timeout", builder().timeout(secs(0))),
        ("timeout", builder().timeout(secs(31))),
        ("search", builder().search(["a..b"])),
        ("search", builder().search(vec!["a.test"; 33])),
    ] {
        assert_eq!(builder.build().unwrap_err().setter(), setter);
    }
    let valid = builder().search(["Corp.TEST.", "."]).ndots(15).build();
    let Source::Named(config, _) = valid.unwrap().source else {
        panic!("the servers were named");
    };
    assert_eq!(config.search, ["corp.test".into(), "".into()]);
}

/// The error names the server and its fault. Only NXDOMAIN and NODATA are negative answers.
#[test]
fn an_error_tells_which_server_failed_and_how() {
    let server = ([192, 0, 2, 53], 53).into();
    let of = |fault| error("a.test", End::Failed(Some(ServerFailed { server, fault })));
    assert!(of(Fault::Silent).is_timeout());
    let lame = of(Fault::Lame);
    assert!(!lame.is_negative_answer() && !lame.is_timeout());
    let source = std::error::Error::source(&lame).unwrap().to_string();
    assert!(source.starts_with("name server 192.0.2.53:53 "), "{source}");
    let io = Arc::new(std::io::Error::from_raw_os_error(24));
    let machine = of(Fault::Machine(io));
    assert!(machine.is_of_this_machine() && !machine.is_negative_answer());
    assert!(error("a.test", End::NotFound(None)).is_not_found());
    assert!(error("a.test", End::NoRecords(None)).is_no_records());
}

/// With a search list, `web` and `web.` are two names.
#[test]
fn the_root_dot_matters_where_names_are_searched() {
    let named = || Dns::builder().server(([127, 0, 0, 1], 53).into());
    assert!(!named().build().unwrap().root_dot_matters());
    assert!(
        named()
            .search(["corp.test"])
            .build()
            .unwrap()
            .root_dot_matters()
    );
}
