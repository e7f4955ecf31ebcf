//! Connected sockets for hickory's streams.
//!
//! A connected UDP socket receives packets of its server only, and the system reports if no socket listens on the
//! server's port. hickory's own sockets are not connected, so a server that does not listen looks silent.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hickory_resolver::net::runtime::{
    DnsUdpSocket, RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime,
};
use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Makes connected sockets for hickory's streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Sockets {
    whole: Whole,
}

/// The last reply that was longer than hickory's buffer.
///
/// Without EDNS, hickory reads 512 octets. Some name servers still send longer replies, which getaddrinfo accepts.
/// hickory gets such a reply as a truncated one, and `Whole` keeps the complete reply.
type Whole = Arc<Mutex<Option<Message>>>;

impl Sockets {
    /// Returns the complete reply of which hickory received `cut`, if there is one.
    pub(super) fn whole_of(&self, cut: &Message) -> Option<Message> {
        let whole = self
            .whole
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        whole.filter(|whole| whole.id == cut.id && whole.queries == cut.queries)
    }
}

/// An error reply that repeats no question.
///
/// Some servers that do not support EDNS send such replies, which hickory would treat as forged.
#[derive(Debug, thiserror::Error)]
#[error("the reply repeats no question ({0})")]
pub(super) struct NoQuestion(pub(super) ResponseCode);

/// A connected UDP socket of one query.
pub(super) struct Connected {
    socket: UdpSocket,
    server: SocketAddr,
    /// The id of the query that was sent.
    id: AtomicU16,
    whole: Whole,
}

thread_local! {
    /// A buffer for the longest datagram.
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; 65_535]);
}

type Opening<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl RuntimeProvider for Sockets {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Connected;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> TokioHandle {
        TokioHandle::default()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        local: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Opening<Self::Tcp> {
        TokioRuntimeProvider::default().connect_tcp(server, local, timeout)
    }

    fn bind_udp(&self, local: SocketAddr, server: SocketAddr) -> Opening<Connected> {
        let whole = Arc::clone(&self.whole);
        Box::pin(async move {
            let socket = UdpSocket::bind(local).await?;
            socket.connect(server).await?;
            Ok(Connected {
                socket,
                server,
                id: AtomicU16::new(0),
                whole,
            })
        })
    }
}

impl DnsUdpSocket for Connected {
    type Time = TokioTime;

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        loop {
            ready!(self.socket.poll_recv_ready(cx))?;
            match self.try_receive(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return Poll::Ready(self.received(&buf[..received?])),
            }
        }
    }

    // This signature is the one to which `#[async_trait]` on hickory's trait expands.
    fn recv_from<'a, 'b, 'c>(
        &'a self,
        buf: &'b mut [u8],
    ) -> Pin<Box<dyn Future<Output = io::Result<(usize, SocketAddr)>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let len = self.receive(buf).await?;
            self.received(&buf[..len])
        })
    }

    fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        _server: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        if let Some(&id) = buf.first_chunk() {
            self.id.store(u16::from_be_bytes(id), Ordering::Relaxed);
        }
        self.socket.poll_send(cx, buf)
    }
}

impl Connected {
    /// Waits for a packet, or for an error such as that of a port on which no socket listens.
    ///
    /// On Linux, such an error does not make a socket readable.
    async fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let ready = self.socket.ready(Interest::READABLE | Interest::ERROR);
            let is_error = ready.await?.is_error();
            match self.try_receive(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
            if is_error {
                self.pending_error()?;
            }
        }
    }

    /// Receives a datagram into `buf`.
    ///
    /// If the datagram is longer than `buf`, `buf` gets a truncated reply instead.
    fn try_receive(&self, buf: &mut [u8]) -> io::Result<usize> {
        ROOM.with_borrow_mut(|room| {
            let len = self.socket.try_recv(room)?;
            let reply = &room[..len];
            if len <= buf.len() {
                buf[..len].copy_from_slice(reply);
                return Ok(len);
            }
            let cut = self
                .cut(reply)
                .unwrap_or_else(|| reply[..buf.len()].to_vec());
            let len = cut.len().min(buf.len());
            buf[..len].copy_from_slice(&cut[..len]);
            Ok(len)
        })
    }

    /// Keeps a long reply, and returns a truncated reply without records.
    fn cut(&self, reply: &[u8]) -> Option<Vec<u8>> {
        let whole = Message::from_vec(reply).ok()?;
        let mut cut = Message::response(whole.id, whole.op_code);
        cut.metadata = whole.metadata;
        cut.metadata.truncation = true;
        cut.add_queries(whole.queries.iter().cloned());
        *self.whole.lock().unwrap_or_else(PoisonError::into_inner) = Some(whole);
        cut.to_vec().ok()
    }

    /// Returns the pending error of the socket, if any.
    ///
    /// If no error is pending, `WouldBlock` makes tokio wait for the next error.
    fn pending_error(&self) -> io::Result<()> {
        let result = self.socket.try_io(Interest::ERROR, || {
            let error = self.socket.take_error()?;
            Err(error.unwrap_or_else(|| io::ErrorKind::WouldBlock.into()))
        });
        match result {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn received(&self, reply: &[u8]) -> io::Result<(usize, SocketAddr)> {
        match headless(reply, self.id.load(Ordering::Relaxed)) {
            Some(code) => Err(io::Error::other(NoQuestion(code))),
            None => Ok((reply.len(), self.server)),
        }
    }
}

/// Returns the response code of a reply that has this id and no question.
fn headless(reply: &[u8], id: u16) -> Option<ResponseCode> {
    /// The length of a header and of an OPT record without options, in octets.
    const MOST: usize = 12 + 11;
    if reply.len() > MOST {
        return None;
    }
    let reply = Message::from_vec(reply).ok()?;
    let is_ours = reply.id == id && reply.message_type == MessageType::Response;
    (is_ours && reply.queries.is_empty()).then_some(reply.response_code)
}
