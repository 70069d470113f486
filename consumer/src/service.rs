//! Sends bulks to the target.

use std::{sync::Arc, time::Duration};

use hyper::Method;
use tokio::time::Instant;
use understudy_common::cluster::ClusterClient;

use crate::{
    engine::{Bulk, Way},
    force::Forcer,
    metrics::Metrics,
    request,
    verdict::{self, BulkVerdict, Expected, Reason},
};

/// A bulk that was decided longer ago is not sent: the process stood still, and its partitions may be others' by now.
pub const FRESH: Duration = Duration::from_secs(3);

/// The way to one target.
pub struct BulkService {
    client: ClusterClient,
    forcer: Forcer,
    path: String,
    timeout: Duration,
    metrics: Arc<Metrics>,
}

impl BulkService {
    /// The way to `client`, whose answers are waited for as long as `timeout`; nothing may linger there for longer than
    /// `linger`.
    #[must_use]
    pub fn new(client: ClusterClient, timeout: Duration, linger: Duration, metrics: Arc<Metrics>) -> Self {
        let forcer = Forcer::new(client.clone(), timeout, linger, metrics.clone());
        Self { client, forcer, path: request::path(timeout, linger), timeout, metrics }
    }

    /// Sends a bulk that was decided at `decided`, and judges the answer.
    pub async fn send(&self, bulk: &Bulk, decided: Instant) -> BulkVerdict {
        let verdict = match bulk.way {
            Way::Versions => self.post(bulk, decided).await,
            Way::Force => self.forcer.force(bulk, decided).await,
        };
        self.metrics.bulk(&verdict);
        match &verdict {
            BulkVerdict::Items(items) => tracing::debug!(bulk = bulk.id, items = items.len(), "answered"),
            other => tracing::debug!(bulk = bulk.id, verdict = ?other, "answered"),
        }
        verdict
    }

    async fn post(&self, bulk: &Bulk, decided: Instant) -> BulkVerdict {
        /// Request ids in one line of the log.
        const NAMED: usize = 50;
        let Some(body) = request::body(bulk.effects.iter()) else {
            tracing::error!(bulk = bulk.id, "a bulk with a reference that was not read; it is not sent");
            let text = "a reference that was not read".to_owned();
            return BulkVerdict::NotSent(Reason { status: 0, kind: "reference".into(), text });
        };
        if tracing::enabled!(tracing::Level::DEBUG) {
            let requests = bulk.requests.iter().take(NAMED).map(|id| &**id).collect::<Vec<_>>().join(" ");
            let (effects, bytes) = (bulk.effects.len(), body.len());
            tracing::debug!(bulk = bulk.id, effects, bytes, requests, "sending a bulk");
        }
        if decided.elapsed() > FRESH {
            return BulkVerdict::Withdrawn;
        }
        let timer = self.metrics.bulk_seconds.start_timer();
        self.metrics.bulk_bytes.observe(body.len() as f64);
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
            Err(error) => verdict::of_silence(&error),
        };
        timer.observe_duration();
        verdict
    }
}
