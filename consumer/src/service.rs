//! Sends bulks to the target.

use std::{sync::Arc, time::Duration};

use hyper::Method;
use understudy_common::cluster::ClusterClient;

use crate::{
    engine::Bulk,
    metrics::Metrics,
    request,
    verdict::{self, BulkVerdict, Expected},
};

/// The way to one target.
pub struct BulkService {
    client: ClusterClient,
    path: String,
    timeout: Duration,
    metrics: Arc<Metrics>,
}

impl BulkService {
    /// The way to `client`, whose answers are waited for as long as `timeout`.
    #[must_use]
    pub fn new(client: ClusterClient, timeout: Duration, metrics: Arc<Metrics>) -> Self {
        Self { client, path: request::path(timeout), timeout, metrics }
    }

    /// Sends a bulk and judges the answer.
    pub async fn send(&self, bulk: &Bulk) -> BulkVerdict {
        /// Request ids in one line of the log.
        const NAMED: usize = 50;
        let body = request::body(bulk.effects.iter());
        if tracing::enabled!(tracing::Level::DEBUG) {
            let requests = bulk.requests.iter().take(NAMED).map(|id| &**id).collect::<Vec<_>>().join(" ");
            let (effects, bytes) = (bulk.effects.len(), body.len());
            tracing::debug!(bulk = bulk.id, effects, bytes, requests, "sending a bulk");
        }
        let timer = self.metrics.bulk_seconds.start_timer();
        self.metrics.bulk_actions.observe(bulk.effects.len() as f64);
        let verdict = match self.client.call(Method::POST, &self.path, Some(body), self.timeout).await {
            Ok(answer) => {
                let expected: Vec<Expected<'_>> = bulk
                    .effects
                    .iter()
                    .map(|effect| Expected { action: effect.action(), index: &effect.key.index, id: &effect.key.id })
                    .collect();
                verdict::of_answer(answer.status, &answer.body, &expected)
            }
            Err(error) => verdict::of_silence(error.to_string()),
        };
        timer.observe_duration();
        match &verdict {
            BulkVerdict::Items(items) => tracing::debug!(bulk = bulk.id, items = items.len(), "answered"),
            other => tracing::debug!(bulk = bulk.id, verdict = ?other, "answered"),
        }
        verdict
    }
}
