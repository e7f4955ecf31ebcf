//! An HTTP/2 server that turns requests away.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;

/// How an HTTP/2 server turns a request away without having looked at it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Nack {
    RefusedStream,
    GoAway,
}

/// Turns the first `nacks` requests away and answers the others.
pub(crate) async fn nacking(nack: Nack, nacks: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let asked = Arc::clone(&counter);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let turned_away = asked.fetch_add(1, Ordering::SeqCst) < nacks;
                    match nack {
                        Nack::RefusedStream if turned_away => {
                            respond.send_reset(h2::Reason::REFUSED_STREAM);
                        }
                        Nack::GoAway if turned_away => {
                            respond.send_reset(h2::Reason::REFUSED_STREAM);
                            connection.graceful_shutdown();
                        }
                        Nack::RefusedStream | Nack::GoAway => {
                            let answer = http::Response::new(());
                            respond.send_response(answer, true).unwrap();
                        }
                    }
                }
            });
        }
    });
    (addr, asked)
}
