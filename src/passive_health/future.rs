//! Waits for the response, and reports what the response says about the address.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Extensions, HeaderMap, StatusCode};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpInfo;
use pin_project_lite::pin_project;

use super::counted::Counted;
use crate::Resolver;
use crate::attempt::ConnectionId;
use crate::attempt::RequestConnection;
use crate::attempt::early_close::EarlyClose;
use crate::health::classify::error_chain;
use crate::time;

pin_project! {
    /// The response future of a [`PassiveHealth`](crate::PassiveHealth).
    ///
    /// # Cancel safety
    ///
    /// The same as that of the client's own future. If the future is dropped before the response, nothing is reported,
    /// unless [`slow_response_after`](crate::PassiveHealthLayer::slow_response_after) is set.
    #[must_use = "futures do nothing unless polled"]
    pub struct PassiveHealthFuture<F, R> {
        #[pin]
        future: F,
        read: fn(&R) -> Reply<'_>,
        watch: Watch,
    }
}

/// The parts of a response that the layer reads.
pub(crate) struct Reply<'a> {
    /// The host that responded, if that may be another host than the request's.
    pub(crate) host: Option<&'a str>,
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
}

struct Watch {
    host: String,
    resolver: Resolver,
    counted: Counted,
    /// The connection that was made for the request; `None` if that does not matter, or the request has ended.
    fresh: Option<RequestConnection>,
}

impl<F, R> PassiveHealthFuture<F, R> {
    pub(super) fn new(
        future: F,
        host: String,
        read: fn(&R) -> Reply<'_>,
        resolver: Resolver,
        counted: Counted,
    ) -> Self {
        let watch = Watch {
            host,
            resolver,
            fresh: counted
                .slow_response_after
                .map(|_| RequestConnection::default()),
            counted,
        };
        Self {
            future,
            read,
            watch,
        }
    }
}

impl Watch {
    fn answered(&self, reply: &Reply<'_>) {
        let (host, shared) = (reply.host.unwrap_or(&self.host), self.resolver.inner());
        let Some(info) = reply.extensions.get::<HttpInfo>() else {
            return shared.answered(host);
        };
        shared.answered_on(ConnectionId::of(info));
        if self.counted.counts(reply.status, reply.headers) {
            shared.unavailable(host, info.remote_addr().ip(), &reply.status.to_string());
        }
    }

    /// Reports a failed request. An error without an error of the client comes from a timeout around the client.
    fn failed(&mut self, error: &(dyn StdError + 'static)) {
        let mut causes = error_chain(error);
        let client = causes.find_map(|cause| cause.downcast_ref::<legacy::Error>());
        match client.map(|client| (client, EarlyClose::of(client))) {
            Some((client, Some(early))) => {
                let shared = self.resolver.inner();
                shared.closed_early(&self.host, early, None, client);
            }
            Some((_, None)) => {}
            None => self.ended_without_response(),
        }
    }

    fn ended_without_response(&mut self) {
        let made = self.fresh.take().and_then(|fresh| fresh.take());
        if let Some((made, after)) = made.zip(self.counted.slow_response_after)
            && time::now() >= made.at + after
        {
            self.resolver.inner().slow_response(&made);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended_without_response();
    }
}

impl<F, R, E> Future for PassiveHealthFuture<F, R>
where
    F: Future<Output = Result<R, E>>,
    E: StdError + 'static,
{
    type Output = Result<R, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let ended = ready!(match &this.watch.fresh {
            Some(fresh) => fresh.around(|| this.future.poll(cx)),
            None => this.future.poll(cx),
        });
        match &ended {
            Ok(response) => this.watch.answered(&(this.read)(response)),
            Err(error) => this.watch.failed(error),
        }
        this.watch.fresh = None;
        Poll::Ready(ended)
    }
}

impl<F, R> fmt::Debug for PassiveHealthFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassiveHealthFuture")
            .finish_non_exhaustive()
    }
}
