//! Sends requests and reads responses.

use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, Response, Uri, body::Incoming};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _, service_fn};

pub type Failure = Box<dyn Error + Send + Sync>;

/// A service that sends one GET and reads the whole response.
pub type Get = BoxCloneSyncService<(), (), Failure>;

/// Returns a service that sends through a hyper client, or through a layer around one.
pub fn through_hyper<S>(http: S, url: &str) -> Result<Get, Failure>
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
