//! A call of the inner connector, as soon as the connector is ready.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower::Service;

pin_project! {
    /// Waits until a connector is ready, and then calls the connector.
    #[project = Projected]
    pub(super) enum Dial<S, Req>
    where
        S: Service<Req>,
    {
        Waiting { connector: S, request: Option<Req> },
        Called { #[pin] connecting: S::Future },
    }
}

impl<S, Req> Dial<S, Req>
where
    S: Service<Req>,
{
    pub(super) fn new(connector: S, request: Req) -> Self {
        let request = Some(request);
        Self::Waiting { connector, request }
    }
}

impl<S, Req> Future for Dial<S, Req>
where
    S: Service<Req>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let connecting = match self.as_mut().project() {
                Projected::Called { connecting } => return connecting.poll(cx),
                Projected::Waiting { connector, request } => {
                    ready!(connector.poll_ready(cx))?;
                    request.take().map(|request| connector.call(request))
                }
            };
            let Some(connecting) = connecting else {
                return Poll::Pending;
            };
            self.set(Self::Called { connecting });
        }
    }
}
