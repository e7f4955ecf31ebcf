//! How a request is sent, and how an answer is read.

use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, Response, Uri, body::Incoming};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _, service_fn};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Sends one GET and reads the whole answer.
pub(crate) type Get = BoxCloneSyncService<(), (), Failure>;

/// Sends through a hyper client, or what is around one.
pub(crate) fn through_hyper<S>(http: S, url: &str) -> Result<Get, Failure>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<Incoming>>,
    S: Clone + Send + Sync + 'static,
    S::Error: Into<Failure>,
    S::Future: Send,
{
    let uri: Uri = url.parse()?;
    let send = move |()| {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri.clone();
        let sending = http.clone().oneshot(request);
        async move {
            let answer = sending.await.map_err(Into::into)?;
            if !answer.status().is_success() {
                return Err(answer.status().to_string().into());
            }
            Ok(answer.into_body().collect().await.map(drop)?)
        }
    };
    Ok(BoxCloneSyncService::new(service_fn(send)))
}
