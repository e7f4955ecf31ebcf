//! The connection of a request, captured by hyper-util.
//!
//! hyper-util 0.1.21 captures a connection as soon as the connection is checked out of the pool or made, before the
//! request is sent (`client.rs`, `try_send_request`). A poisoned connection takes no new requests: the pool checks for
//! that at each checkout, of shared HTTP/2 connections too, and before the pool takes a connection back (`pool.rs`,
//! `IdlePopper`, `Checkout::poll_waiter`, `Pooled::drop`). Requests in flight keep their connection.

use http::{Extensions, Request};
use hyper_util::client::legacy::connect::{
    CaptureConnection, Connected, HttpInfo, capture_connection,
};

use crate::attempt::ConnectionId;

/// The connection of a request, as soon as hyper-util has captured it.
#[derive(Clone, Debug)]
pub(crate) struct Captured(CaptureConnection);

impl Captured {
    /// Has hyper-util capture the connection of this request.
    pub(super) fn of<B>(request: &mut Request<B>) -> Self {
        Self(capture_connection(request))
    }

    /// Returns the ID of the connection, or `None` if there is none yet or the connection is no TCP connection.
    pub(super) fn ends(&self) -> Option<ConnectionId> {
        self.0.connection_metadata().as_ref().and_then(ends)
    }

    /// Drains the connection with the ID `wanted`. If the client has since sent the request again on another
    /// connection, that connection is not drained.
    pub(super) fn poison(&self, wanted: ConnectionId) {
        let connected = self.0.connection_metadata();
        if let Some(connected) = connected.as_ref()
            && ends(connected) == Some(wanted)
        {
            connected.poison();
        }
    }
}

fn ends(connected: &Connected) -> Option<ConnectionId> {
    let mut extras = Extensions::new();
    connected.get_extras(&mut extras);
    extras.get::<HttpInfo>().map(ConnectionId::of)
}
