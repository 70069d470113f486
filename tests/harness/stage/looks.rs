//! What a stage's topics and clusters hold, and waiting until they hold what they should.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use understudy_common::topics::Topics;

use crate::{Record, Stage, differences, eventually};

/// How long a target may take to follow.
const FOLLOW: Duration = Duration::from_secs(60);

impl Stage {
    /// Everything that stands in a topic: `stage.records("target.backup")`.
    ///
    /// # Panics
    /// When Kafka does not answer, or there is no such topic.
    pub async fn records(&self, topic: &str) -> Vec<Record> {
        self.kafka.records(&self.topic(topic)).await.unwrap_or_else(|error| panic!("{topic}: {error:#}"))
    }

    /// Appends a record as it is, also a foreign or garbled one; answers partition and offset.
    ///
    /// # Panics
    /// When Kafka does not acknowledge it.
    pub async fn append(&self, topic: &str, key: &str, value: &[u8], headers: &[(&str, &str)]) -> (i32, i64) {
        let appended = self.kafka.append(&self.topic(topic), None, key.as_bytes(), Some(value), headers).await;
        appended.unwrap_or_else(|error| panic!("{topic}: {error:#}"))
    }

    /// Intents that are not settled, by request id.
    ///
    /// # Panics
    /// When Kafka does not answer, or an intent is no JSON.
    pub async fn open_intents(&self) -> BTreeMap<String, Value> {
        let mut open = BTreeMap::new();
        for record in self.records("intents").await {
            // Who looks at documents dates his look by a record that is no intent.
            if record.key_text().starts_with("look/") {
                continue;
            }
            if record.value.is_some() {
                open.insert(record.key_text(), record.json());
            } else {
                open.remove(&record.key_text());
            }
        }
        open
    }

    /// Waits until every intent is settled.
    ///
    /// # Panics
    /// When one stays open.
    pub async fn wait_settled(&self) {
        let settled = async || {
            let open = self.open_intents().await;
            if open.is_empty() { Ok(()) } else { Err(format!("open intents: {open:?}")) }
        };
        eventually(FOLLOW, "every intent is settled", settled).await;
    }

    /// Records that the consumers of `backup` have not committed, by Kafka's own account.
    ///
    /// # Panics
    /// When Kafka does not answer.
    pub async fn lag(&self) -> u64 {
        let lag = self.kafka.lag(&self.group(), &self.topic("target.backup")).await;
        lag.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Waits until the consumers of `backup` have committed everything.
    ///
    /// # Panics
    /// When they do not.
    pub async fn wait_drained(&self) {
        self.wait_drained_within(FOLLOW).await;
    }

    /// As [`Stage::wait_drained`], with a time of its own.
    ///
    /// # Panics
    /// When they do not.
    pub async fn wait_drained_within(&self, within: Duration) {
        self.wait_target_drained("backup", within).await;
    }

    async fn wait_target_drained(&self, target: &str, within: Duration) {
        let topics = Topics::new(&self.prefix);
        let drained = async || match self.kafka.lag(&topics.group(target), &topics.target(target)).await {
            Ok(0) => Ok(()),
            Ok(lag) => Err(format!("{lag} records are not committed")),
            Err(error) => Err(format!("{error:#}")),
        };
        eventually(within, &format!("the consumers of {target} have drained its topic"), drained).await;
    }

    /// Compares an index on both sides as it is now: documents, their versions, mappings.
    ///
    /// # Panics
    /// When they differ; the message has the first differences.
    pub async fn assert_equal(&self, index: &str) {
        self.assert_target_equal("backup", index).await;
    }

    async fn assert_target_equal(&self, target: &str, index: &str) {
        let found = differences(&self.primary(), &self.cluster(target), index).await;
        let found = found.unwrap_or_else(|error| panic!("{index}: {error:#}"));
        let first: String = found.iter().take(8).map(|difference| format!("\n  {difference}")).collect();
        assert!(found.is_empty(), "{index}: {} differences between primary and {target}:{first}", found.len());
    }

    /// Waits until the topic is drained, then compares.
    ///
    /// # Panics
    /// When it is not drained, or the sides differ.
    pub async fn assert_converges(&self, index: &str) {
        self.wait_drained().await;
        self.assert_equal(index).await;
    }

    /// As [`Stage::assert_converges`], for any target.
    ///
    /// # Panics
    /// When its topic is not drained, or the sides differ.
    pub async fn assert_target_converges(&self, target: &str, index: &str) {
        self.wait_target_drained(target, FOLLOW).await;
        self.assert_target_equal(target, index).await;
    }
}
