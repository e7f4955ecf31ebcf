//! An HTTP/2 server that rejects requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;

/// How an HTTP/2 server rejects a request that the server has not processed.
#[derive(Clone, Copy, Debug)]
pub enum Nack {
    RefusedStream,
    GoAway,
}

/// Starts a server that rejects the first `nacks` requests and responds to the others. Returns the number of requests
/// too.
pub async fn nacking(nack: Nack, nacks: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let requests = Arc::clone(&counter);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let is_rejected = requests.fetch_add(1, Ordering::SeqCst) < nacks;
                    match nack {
                        Nack::RefusedStream if is_rejected => {
                            respond.send_reset(h2::Reason::REFUSED_STREAM);
                        }
                        Nack::GoAway if is_rejected => {
                            respond.send_reset(h2::Reason::REFUSED_STREAM);
                            connection.graceful_shutdown();
                        }
                        Nack::RefusedStream | Nack::GoAway => {
                            let response = http::Response::new(());
                            respond.send_response(response, true).unwrap();
                        }
                    }
                }
            });
        }
    });
    (addr, requests)
}
