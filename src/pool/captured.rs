//! The connection that a request went out on.
//!
//! hyper-util 0.1.21 sets it as soon as one is checked out of the pool or made, before the request is
//! sent (`client.rs`, `try_send_request`). A poisoned one takes no new requests: the pool asks at each
//! checkout, of shared HTTP/2 connections too, and before it takes one back (`pool.rs`, `IdlePopper`,
//! `Checkout::poll_waiter`, `Pooled::drop`). What is in flight has its connection already.

use http::{Extensions, Request};
use hyper_util::client::legacy::connect::{
    CaptureConnection, Connected, HttpInfo, capture_connection,
};

use crate::ends::Ends;

/// The connection of a request, once it has one.
#[derive(Clone, Debug)]
pub(crate) struct Captured(CaptureConnection);

impl Captured {
    /// Has the connection of this request captured.
    pub(super) fn of<B>(request: &mut Request<B>) -> Self {
        Self(capture_connection(request))
    }

    /// Returns its ends. `None` while there is none, and for one that is no TCP connection.
    pub(super) fn ends(&self) -> Option<Ends> {
        self.0.connection_metadata().as_ref().and_then(ends)
    }

    /// Has the connection with these ends take no new requests. Where the client has sent the request
    /// once more since, on another, that one is left alone.
    pub(super) fn poison(&self, wanted: Ends) {
        let connected = self.0.connection_metadata();
        if let Some(connected) = connected.as_ref()
            && ends(connected) == Some(wanted)
        {
            connected.poison();
        }
    }
}

fn ends(connected: &Connected) -> Option<Ends> {
    let mut extras = Extensions::new();
    connected.get_extras(&mut extras);
    extras.get::<HttpInfo>().map(Ends::of)
}
