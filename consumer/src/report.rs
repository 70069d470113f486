//! Reports what was sent of a partition that was lost (`zombie_reports`).
//!
//! A bulk of an owner that is none any more may reach the target behind those of the next one, and undo what the target
//! has forgotten. Nobody but its sender knows of it. So he opens intents for its documents: the reconciler reads them from
//! the primary, once early and once when nothing can linger any more, and what it publishes sets the target right.

use std::{collections::HashSet, sync::Arc, time::Duration};

use understudy_common::{
    config::KafkaConfig,
    document::{DocumentKey, partition_of},
    intent::{Intent, IntentDocument},
    kafka::{LogRecord, Publisher, read_range},
    process::random_id,
    record,
    topics::INTENT_PARTITIONS,
};

use crate::backoff::{Backoff, dice};

/// Documents of one intent.
const DOCUMENTS: usize = 5_000;
/// Bytes of their names in one intent, about.
const BYTES: usize = 256 << 10;
/// Records that are read at once.
const RECORDS: i64 = 1_000;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Opens intents. Cheap to clone.
#[derive(Clone)]
pub struct Reports {
    /// How Kafka is reached.
    pub kafka: KafkaConfig,
    /// The way into the log.
    pub publisher: Publisher,
    /// The target's topic.
    pub topic: String,
    /// The topic of intents.
    pub intents: String,
    /// Who reports.
    pub name: Arc<str>,
    /// The cluster that is written by clients.
    pub primary: Arc<str>,
    /// The clusters that follow it.
    pub targets: Vec<Arc<str>>,
    /// The longest pause between two tries.
    pub max_backoff: Duration,
}

/// The epoch that this build knows.
const EPOCH: u64 = 1;

impl Reports {
    /// Opens intents for the documents of the records `from..to` of a partition; done when Kafka acknowledged them. Tries
    /// for ever.
    pub async fn report(&self, partition: i32, from: i64, to: i64) {
        tracing::warn!(
            partition,
            from,
            to,
            "the partition was lost with effects that no commit covers; their documents will be looked at again"
        );
        let mut backoff = Backoff::new(self.max_backoff);
        let (mut next, mut documents) = (from, 0);
        while next < to {
            let end = to.min(next + RECORDS);
            match self.documents(partition, next, end).await {
                Ok(found) => {
                    documents += found.len();
                    for chunk in chunks(found) {
                        self.open(chunk).await;
                    }
                    next = end;
                    backoff.reset();
                }
                Err(error) => {
                    tracing::warn!(partition, next, error, "what was sent of a lost partition cannot be read yet");
                    tokio::time::sleep(backoff.next(dice())).await;
                }
            }
        }
        tracing::info!(partition, from, to, documents, "what was sent of a lost partition is reported");
    }

    async fn documents(&self, partition: i32, from: i64, to: i64) -> Result<Vec<IntentDocument>, String> {
        let (kafka, topic) = (self.kafka.clone(), self.topic.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut found = HashSet::new();
            read_range(&kafka, &topic, partition, from, to, |record| collect(&record, &mut found)).map(|()| found)
        });
        let found = read.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(IntentDocument::from).collect())
    }

    async fn open(&self, documents: Vec<IntentDocument>) {
        let intent = Intent {
            format: Intent::FORMAT,
            gateway: self.name.clone(),
            epoch: EPOCH,
            primary: self.primary.clone(),
            targets: self.targets.clone(),
            documents,
            aliases: Default::default(),
        };
        // These are texts and numbers.
        let value = serde_json::to_vec(&intent).unwrap_or_default();
        let request = random_id();
        let partition = partition_of(request.as_bytes(), INTENT_PARTITIONS);
        let mut backoff = Backoff::new(self.max_backoff);
        // Under one key: what arrived although nobody heard of it is the same intent.
        while let Err(error) =
            self.publisher.append(&self.intents, partition, &request, Some(&value), &[], TIMEOUT).await
        {
            tracing::debug!(request, %error, "an intent is not open yet; trying again");
            tokio::time::sleep(backoff.next(dice())).await;
        }
    }
}

fn collect(record: &LogRecord, found: &mut HashSet<DocumentKey>) {
    let Some(Ok(effects)) = record.value.as_ref().map(|value| record::decode(&record.headers, value)) else { return };
    found.extend(effects.effects.into_iter().map(|effect| effect.key));
}

fn len(document: &IntentDocument) -> usize {
    match document {
        IntentDocument::Plain(index, id) => index.len() + id.len(),
        IntentDocument::Routed(index, id, routing) => index.len() + id.len() + routing.len(),
    }
}

/// As many documents an intent as one record should hold.
fn chunks(documents: Vec<IntentDocument>) -> Vec<Vec<IntentDocument>> {
    let mut chunks: Vec<Vec<IntentDocument>> = Vec::new();
    let mut bytes = usize::MAX;
    for document in documents {
        bytes = bytes.saturating_add(len(&document));
        match chunks.last_mut().filter(|chunk| chunk.len() < DOCUMENTS && bytes <= BYTES) {
            Some(chunk) => chunk.push(document),
            None => {
                bytes = len(&document);
                chunks.push(vec![document]);
            }
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intents_are_bounded_by_documents_and_by_bytes() {
        let plain = |id: String| IntentDocument::Plain("i".into(), id.into());
        let many = chunks((0..12_000).map(|n| plain(n.to_string())).collect());
        assert_eq!(many.iter().map(Vec::len).collect::<Vec<_>>(), [5_000, 5_000, 2_000]);
        let long = chunks((0..4).map(|_| plain("x".repeat(200 << 10))).collect());
        assert_eq!(long.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1, 1]);
        assert!(chunks(Vec::new()).is_empty());
    }
}
