//! How API servers are talked to: patiently where something is read, and not for ever.

use std::{sync::Arc, time::Duration};

use http::{Method, Request, Response};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, retry::RetryPolicy},
};
use tokio::time::Sleep;
use tower::{
    BoxError,
    buffer::BufferLayer,
    retry::{Policy, RetryLayer},
};

use crate::{metrics::Metrics, silence::Patience, write::Side};

/// The longest pause before a question is asked again that a busy server did not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How many requests may wait to be sent.
const WAITING: usize = 1024;

/// A client of the API server of `side` that asks a busy one again, and gives up one that is silent.
///
/// # Errors
/// Unusable certificates, keys or addresses.
pub fn connect(
    mut config: Config,
    side: Side,
    metrics: &Arc<Metrics>,
) -> Result<Client, kube::Error> {
    // It would also repeat writes, of what may not be wanted any more, and for a quarter of an hour.
    config.default_retry = false;
    let client = ClientBuilder::try_from(config)?
        .with_layer(&Patience::new(side, metrics))
        // What is asked again is asked through a copy.
        .with_layer(&BufferLayer::new(WAITING))
        .with_layer(&RetryLayer::new(Questions::new()));
    Ok(client.build())
}

/// Repeats questions that a server was too busy for, when it says or a little later each time. Writes
/// are not repeated here: their queue knows what is wanted by then, and works on others meanwhile.
#[derive(Clone)]
pub(crate) struct Questions(RetryPolicy);

impl Questions {
    pub(crate) fn new() -> Self {
        let first = Duration::from_millis(20);
        let policy = RetryPolicy::new(first, LONGEST_PAUSE, u32::MAX, true);
        Self(policy.expect("the first pause is shorter than the longest"))
    }
}

impl<Answer> Policy<Request<Body>, Response<Answer>, BoxError> for Questions {
    type Future = Sleep;

    fn retry(
        &mut self,
        request: &mut Request<Body>,
        result: &mut Result<Response<Answer>, BoxError>,
    ) -> Option<Sleep> {
        self.0.retry(request, result)
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        let is_question = request.method() == Method::GET;
        if !is_question {
            return None;
        }
        Policy::<Request<Body>, Response<Answer>, BoxError>::clone_request(&mut self.0, request)
    }
}
