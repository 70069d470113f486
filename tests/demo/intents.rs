//! Intents, as they stand in Kafka: what is being written, and what is not settled.

use std::{collections::BTreeMap, time::Duration};

use understudy_tests::{Kafka, Record};

const TOPIC: &str = "understudy.intents";
/// Keys of tickets that somebody takes before looking; they announce no write.
const LOOK: &str = "look/";

/// A write that was announced.
#[derive(Clone, Debug)]
pub struct Intent {
    /// Its request.
    pub request: String,
    /// What it says: the documents, the gateway.
    text: String,
    /// Its append time, in milliseconds.
    opened: i64,
    /// That of its tombstone.
    settled: Option<i64>,
}

impl Intent {
    /// Whether it names a document.
    pub fn names(&self, id: &str) -> bool {
        self.text.contains(&format!("\"{id}\""))
    }

    /// Whether a gateway of this name wrote it.
    pub fn is_of(&self, gateway: &str) -> bool {
        serde_json::from_str::<serde_json::Value>(&self.text).is_ok_and(|intent| intent["gateway"] == gateway)
    }

    pub fn is_open(&self) -> bool {
        self.settled.is_none()
    }

    /// How long it was open, by the broker's clock.
    pub fn was_open(&self) -> Option<Duration> {
        let millis = self.settled? - self.opened;
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or_default()))
    }
}

/// All of them that Kafka still has.
pub async fn all(kafka: &Kafka) -> anyhow::Result<Vec<Intent>> {
    Ok(read(kafka.records(TOPIC).await?))
}

/// A tombstone without its record settled what compaction has removed.
fn read(records: Vec<Record>) -> Vec<Intent> {
    let mut intents: BTreeMap<String, Intent> = BTreeMap::new();
    for record in records {
        let request = record.key_text();
        if request.starts_with(LOOK) {
            continue;
        }
        if record.value.is_some() {
            let intent =
                Intent { request: request.clone(), text: record.text(), opened: record.timestamp, settled: None };
            intents.insert(request, intent);
        } else if let Some(intent) = intents.get_mut(&request) {
            intent.settled.get_or_insert(record.timestamp);
        }
    }
    intents.into_values().collect()
}
