//! Sends calls through a channel.

use std::time::{Duration, Instant};

use testkit::lab::clock;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::channels::Host;
use crate::patience;
use crate::servers::EDGE;
use crate::tally::Tally;

/// Sends one call after another until `until`. When a call fails, the addresses of `checked` are checked.
pub(crate) async fn calls(channel: Channel, checked: Option<&Host>, until: Instant) -> Tally {
    let mut tally = Tally::default();
    while clock::now() < until {
        let begin = clock::now();
        let (result, again) = call(channel.clone(), checked).await;
        tally.again += again as usize;
        tally.note(begin, result.map_err(|status| format!("{status:?}")));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tally
}

/// Sends a call, and sends the call again if its connection died or could not be made, because a health check may be
/// sent twice. A call that may not be sent twice needs another retry.
async fn call(channel: Channel, checked: Option<&Host>) -> (Result<String, Status>, u32) {
    let mut again = 0;
    loop {
        let result = ask(channel.clone()).await;
        let failed = result.as_ref().is_err_and(is_of_the_connection);
        if !failed || again == patience::MOST {
            return (result, again);
        }
        if let Some(host) = checked {
            host.check().await;
        }
        patience::pause(again).await;
        again += 1;
    }
}

/// Returns the edge that responds to a call.
pub(crate) async fn ask(channel: Channel) -> Result<String, Status> {
    let mut client = HealthClient::new(channel);
    let response = client.check(HealthCheckRequest::default()).await?;
    let edge = response.metadata().get(EDGE);
    let edge = edge.and_then(|edge| edge.to_str().ok());
    Ok(edge.unwrap_or("?").to_owned())
}

/// tonic reports this in three ways: the connect failed, the connection ended before the call was sent, or the
/// connection ended during the call.
fn is_of_the_connection(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Cancelled | Code::Unknown
    )
}
