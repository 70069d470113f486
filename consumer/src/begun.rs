//! Notes in the control topic that a partition has committed offsets.
//!
//! Kafka forgets a group's offsets together with a topic that is deleted. When the topic is made anew, the partition would
//! look as if nobody had ever read it, and what the old topic held would be passed over in silence.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::sync::Mutex;
use understudy_common::{control::key, kafka::Publisher};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Notes that partitions have begun. Cheap to clone.
#[derive(Clone)]
pub struct Begun {
    publisher: Publisher,
    control: String,
    topic: String,
    noted: Arc<Mutex<HashSet<i32>>>,
}

impl Begun {
    /// For the partitions of `topic`.
    #[must_use]
    pub fn new(publisher: Publisher, control: String, topic: String) -> Self {
        Self { publisher, control, topic, noted: Arc::default() }
    }

    /// Notes partitions whose offsets Kafka has confirmed, each once in the life of this process. What cannot be noted now is
    /// noted with the next commit.
    pub async fn note(&self, partitions: Vec<i32>) {
        let mut noted = self.noted.lock().await;
        for partition in partitions {
            if noted.contains(&partition) {
                continue;
            }
            let key = key::begun(&self.topic, partition);
            match self.publisher.append(&self.control, 0, &key, Some(b"{}"), &[], TIMEOUT).await {
                Ok(_) => {
                    noted.insert(partition);
                }
                Err(error) => tracing::debug!(partition, %error, "that the partition has begun is not noted yet"),
            }
        }
    }
}
