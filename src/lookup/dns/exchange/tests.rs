use super::*;

/// EMFILE, ENFILE and ENOBUFS are errors of this machine. A closed port is an error of the server.
#[test]
fn errors_of_this_machine_are_told_from_those_of_servers() {
    let of = |error: io::Error| fault(&NetError::from(error));
    if cfg!(target_os = "linux") {
        for code in [23, 24, 105] {
            let error = io::Error::from_raw_os_error(code);
            assert!(matches!(of(error), Fault::Machine(_)), "{code}");
        }
    }
    for kind in [
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::NetworkUnreachable,
        io::ErrorKind::UnexpectedEof,
    ] {
        assert!(matches!(of(kind.into()), Fault::Unreachable(_)), "{kind}");
    }
    assert!(matches!(of(io::ErrorKind::TimedOut.into()), Fault::Silent));
}

#[test]
fn an_error_reply_without_a_question_is_its_code() {
    let of = |code| {
        let error = io::Error::other(NoQuestion(code));
        fault(&NetError::from(error))
    };
    assert!(matches!(
        of(ResponseCode::FormErr),
        Fault::Code(ResponseCode::FormErr)
    ));
    assert!(matches!(of(ResponseCode::NoError), Fault::OtherQuestion));
}

/// The system reports at once that no socket listens on a port.
#[tokio::test]
async fn a_port_where_nothing_listens_is_told_at_once() {
    let closed = {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let server = Server {
            addr: closed,
            protocol,
        };
        let question = Question {
            name: Name::root(),
            family: Family::V4,
        };
        let limit = Duration::from_secs(5);
        let server_answer = ask(server, question, true, limit).await.server_answer;
        assert!(
            matches!(server_answer, Err(Fault::Unreachable(_))),
            "{server_answer:?}"
        );
    }
}
