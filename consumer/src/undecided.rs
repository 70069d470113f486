//! Dead letters that wait for somebody's decision, for whoever watches the target.

use std::{sync::Arc, time::Duration};

use understudy_common::{config::KafkaConfig, topics::Topics, undecided::Undecided};

use crate::metrics::Metrics;

const EVERY: Duration = Duration::from_secs(15);
/// While it is not known.
const AGAIN: Duration = Duration::from_secs(2);

/// Counts them every now and then, until it is aborted. What Kafka does not tell stays as it was.
pub async fn watch(kafka: KafkaConfig, topics: Topics, target: String, metrics: Arc<Metrics>) {
    let (kafka, topics, target) = (Arc::new(kafka), Arc::new(topics), Arc::<str>::from(target));
    let mut known = Undecided::default();
    loop {
        let (kafka, topics, of) = (kafka.clone(), topics.clone(), target.clone());
        let counted = tokio::task::spawn_blocking(move || {
            let count = known.count(&kafka, &topics, &of);
            (known, count)
        });
        let Ok((counter, count)) = counted.await else { return };
        known = counter;
        let wait = match count {
            Ok(letters) => {
                metrics.dead_letters_wait(letters);
                EVERY
            }
            Err(error) => {
                tracing::debug!(%error, target = &*target, "how many dead letters wait for a decision is not known");
                AGAIN
            }
        };
        tokio::time::sleep(wait).await;
    }
}
