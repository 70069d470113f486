//! What may still arrive in the target, and what nobody else knows of.

use std::time::Duration;

use super::{Done, Driver};
use crate::engine::Reference;

/// How long the end waits for reports that are not in Kafka yet.
const LAST_REPORTS: Duration = Duration::from_secs(5);

impl Driver {
    pub(super) fn unsettled(&self, partition: i32, taken_over: bool) {
        let holds_back = self.protocol.linger;
        if taken_over {
            tracing::info!(
                partition,
                ?holds_back,
                "the partition's former owner did not let it go in good order: its last bulk may still arrive, so nothing is committed before, and deletes are repeated then"
            );
        } else {
            tracing::info!(
                partition,
                ?holds_back,
                "a bulk was not answered and may still arrive, so nothing is committed before, and deletes are repeated then"
            );
        }
    }

    pub(super) fn settled(&self, partition: i32) {
        tracing::info!(partition, "no late bulk of the partition can arrive any more; offsets are committed again");
    }

    pub(super) fn report(&mut self, partition: i32, from: i64, to: i64) {
        let reports = self.reports.clone();
        self.reporting += 1;
        self.spawn(async move {
            reports.report(partition, from, to).await;
            Done::Reported
        });
    }

    pub(super) fn read(&mut self, reference: Reference) {
        let (references, assigned) = (self.references.clone(), self.assigned.subscribe());
        self.spawn(async move {
            let sighting = references.read(&reference, assigned).await;
            Done::Read(reference.ticket, sighting)
        });
    }

    /// Waits for reports that nobody else could make.
    pub(super) async fn finish_reports(&mut self) {
        let finished = async {
            while self.reporting > 0
                && let Some(done) = self.tasks.join_next().await
            {
                if matches!(done, Ok(Done::Reported)) {
                    self.reporting -= 1;
                }
            }
        };
        if tokio::time::timeout(LAST_REPORTS, finished).await.is_err() {
            tracing::warn!("what was sent of lost partitions is not reported yet");
        }
    }
}
