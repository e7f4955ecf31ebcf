use super::*;

fn v4() -> Half {
    Half::Addresses(vec![[192, 0, 2, 1].into()], Duration::from_secs(60))
}

fn v6() -> Half {
    let addr = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into();
    Half::Addresses(vec![addr], Duration::from_secs(20))
}

fn denied(is_known: bool) -> Half {
    Half::Denied(match is_known {
        true => Denied::NoRecords(None),
        false => Denied::NotFound(None),
    })
}

fn failed(fault: Fault) -> Half {
    Half::Failed(Some(ServerFailed {
        server: ([192, 0, 2, 53], 53).into(),
        fault,
    }))
}

fn both(one: &Half, other: &Half) -> Result<Answer, Missed> {
    join(one, other, time::now())
}

#[test]
fn two_families_make_one_answer_that_lives_as_long_as_the_shorter() {
    let both = both(&v4(), &v6()).unwrap();
    assert_eq!(both.addrs.len(), 2);
    assert_eq!(both.ttl, Some(Duration::from_secs(20)));
    assert!(!both.is_partial);
}

/// If one family fails, the answer is partial. If one family has a negative answer, the answer is complete.
#[test]
fn one_family_is_enough() {
    for fault in [Fault::Silent, Fault::Code(ResponseCode::ServFail)] {
        assert!(both(&v4(), &failed(fault.clone())).unwrap().is_partial);
        assert!(both(&failed(fault), &v6()).unwrap().is_partial);
    }
    for is_known in [true, false] {
        let answer = both(&v4(), &denied(is_known)).unwrap();
        assert_eq!((answer.addrs.len(), answer.is_partial), (1, false));
    }
}

#[test]
fn a_failure_beside_no_records_is_a_failure() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused] {
        let code = || failed(Fault::Code(code));
        for (one, other) in [(code(), denied(true)), (denied(false), code())] {
            assert!(matches!(
                both(&one, &other),
                Err(Miss::FailedNextCandidate(_))
            ));
        }
    }
    let refused = || failed(Fault::Code(ResponseCode::Refused));
    assert!(matches!(both(&refused(), &refused()), Err(Miss::Failed(_))));
    assert!(matches!(
        both(&denied(true), &denied(false)),
        Err(Miss::NotFound(_))
    ));
    assert!(matches!(
        both(&denied(true), &denied(true)),
        Err(Miss::NoRecords(_))
    ));
    assert!(matches!(
        both(&failed(Fault::Silent), &denied(true)),
        Err(Miss::Failed(_))
    ));
}
