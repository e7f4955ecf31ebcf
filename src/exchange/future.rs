//! Waits for the response and tells the resolver what it says of the address.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Extensions, HeaderMap, StatusCode};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpInfo;
use pin_project_lite::pin_project;

use super::layer::Counted;
use crate::Resolver;
use crate::attempt::Fresh;
use crate::early::EarlyClose;
use crate::ends::Ends;
use crate::outcome::causes;
use crate::time;

pin_project! {
    /// The future of a watched request.
    ///
    /// # Cancel safety
    ///
    /// As the client's own. Dropped before the response it says nothing, unless
    /// [`slow_response_after`](crate::ExchangeLayer::slow_response_after) is set.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, R> {
        #[pin]
        future: F,
        read: fn(&R) -> Reply<'_>,
        watch: Watch,
    }
}

/// What there is to see of a response.
pub(crate) struct Reply<'a> {
    /// Who answered, where that may be another host than was asked.
    pub(crate) host: Option<&'a str>,
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
}

struct Watch {
    host: String,
    resolver: Resolver,
    counted: Counted,
    /// What was made for the request; `None` where that does not matter, or the request has ended.
    fresh: Option<Fresh>,
}

impl<F, R> ResponseFuture<F, R> {
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
            fresh: counted.slow_response_after.map(|_| Fresh::default()),
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
        shared.answered_on(Ends::of(info));
        if self.counted.counts(reply.status, reply.headers) {
            shared.unavailable(host, info.remote_addr().ip(), &reply.status.to_string());
        }
    }

    /// An error that is not the client's is a timeout of a layer outside.
    fn failed(&mut self, error: &(dyn StdError + 'static)) {
        let mut causes = causes(error);
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

impl<F, R, E> Future for ResponseFuture<F, R>
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

impl<F, R> fmt::Debug for ResponseFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
