//! The member of the reconcilers' group, on a thread of its own. Polls all the time, so that membership is kept whatever
//! the primary does.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance},
    error::{KafkaError, KafkaResult},
    message::BorrowedMessage,
    types::RDKafkaErrorCode,
};
use tokio::sync::mpsc;
use understudy_common::config::KafkaConfig;

use super::open::IntentRecord;
use crate::source::{member_config, quietly};

/// What the member has to say.
#[derive(Debug)]
pub enum MemberEvent {
    /// A partition is ours; its records follow, from the committed offset on.
    Assigned {
        /// Partition.
        partition: i32,
        /// Rises with every assignment.
        generation: u64,
    },
    /// A record was read.
    Record {
        /// Partition.
        partition: i32,
        /// Generation of its assignment.
        generation: u64,
        /// The record.
        record: IntentRecord,
    },
    /// The end of a partition was reached.
    End {
        /// Partition.
        partition: i32,
        /// Generation of its assignment.
        generation: u64,
    },
    /// Partitions are no longer ours.
    Revoked(Vec<i32>),
}

/// What is to be committed: by partition.
type Commits = Arc<Mutex<BTreeMap<i32, i64>>>;

/// A member of the group.
pub struct Member {
    commits: Commits,
    stop: Arc<AtomicBool>,
}

const POLL: Duration = Duration::from_millis(100);
const COMMIT: Duration = Duration::from_secs(1);
/// Nobody says whether a commit came to pass, so everything is committed again every so many times.
const COMMITS: u32 = 10;

impl Member {
    /// Joins the group and begins to poll. The channel closes when it has left.
    ///
    /// # Errors
    /// When librdkafka refuses an option, or there is no thread.
    pub fn start(
        kafka: &KafkaConfig,
        topic: &str,
        group: &str,
        name: &str,
        events: mpsc::Sender<MemberEvent>,
    ) -> KafkaResult<Self> {
        let (commits, stop) = (Commits::default(), Arc::new(AtomicBool::new(false)));
        let assigned = Arc::new(Mutex::new(HashMap::new()));
        let context = Rebalancing {
            events: events.clone(),
            commits: commits.clone(),
            assigned: assigned.clone(),
            generation: AtomicU64::new(0),
            topic: topic.to_owned(),
        };
        let consumer: BaseConsumer<Rebalancing> = member_config(kafka, name, group)
            // An intent that was compacted away was settled or replaced: what is left of the log is all there is.
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true")
            .create_with_context(context)?;
        consumer.subscribe(&[topic])?;
        let poller = Poller {
            consumer,
            topic: topic.to_owned(),
            commits: commits.clone(),
            assigned,
            events,
            stop: stop.clone(),
        };
        std::thread::Builder::new()
            .name("kafka-intents".into())
            .spawn(move || poller.run())
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { commits, stop })
    }

    /// Says what is to be committed from now on; a little later it is.
    pub fn commit(&self, commits: BTreeMap<i32, i64>) {
        *self.commits.lock().unwrap_or_else(PoisonError::into_inner) = commits;
    }

    /// Leaves the group. Events must still be taken until the channel closes.
    pub fn leave(&self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// Generations of the partitions that are assigned.
type Assigned = Arc<Mutex<HashMap<i32, u64>>>;

struct Rebalancing {
    events: mpsc::Sender<MemberEvent>,
    commits: Commits,
    assigned: Assigned,
    generation: AtomicU64,
    topic: String,
}

impl ClientContext for Rebalancing {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        quietly(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is no error.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::debug!(%error, reason, "Kafka client");
        }
    }
}

impl ConsumerContext for Rebalancing {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let assigned = || self.assigned.lock().unwrap_or_else(PoisonError::into_inner);
        match rebalance {
            Rebalance::Assign(list) => {
                for partition in partitions_of(list) {
                    let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
                    assigned().insert(partition, generation);
                    let _ = self.events.blocking_send(MemberEvent::Assigned { partition, generation });
                }
            }
            Rebalance::Revoke(list) => {
                let partitions = partitions_of(list);
                assigned().retain(|partition, _| !partitions.contains(partition));
                let mut last = std::mem::take(&mut *self.commits.lock().unwrap_or_else(PoisonError::into_inner));
                last.retain(|partition, _| partitions.contains(partition));
                // Where the next owner begins to read is of no weight: he reads what is open in any case.
                if !consumer.assignment_lost()
                    && let Err(error) = commit(consumer, &self.topic, &last)
                {
                    tracing::debug!(%error, "the last offsets of intents were not committed");
                }
                let _ = self.events.blocking_send(MemberEvent::Revoked(partitions));
            }
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance of the reconcilers"),
        }
    }
}

fn partitions_of(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::partition).collect()
}

fn commit(consumer: &BaseConsumer<Rebalancing>, topic: &str, commits: &BTreeMap<i32, i64>) -> KafkaResult<()> {
    if commits.is_empty() {
        return Ok(());
    }
    let mut list = TopicPartitionList::with_capacity(commits.len());
    for (partition, offset) in commits {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    // Not waited for: while Kafka is away that would take as long as it is.
    consumer.commit(&list, CommitMode::Async)
}

struct Poller {
    consumer: BaseConsumer<Rebalancing>,
    topic: String,
    commits: Commits,
    assigned: Assigned,
    events: mpsc::Sender<MemberEvent>,
    stop: Arc<AtomicBool>,
}

impl Poller {
    /// Ends with the consumer's own end, which revokes what is assigned and leaves the group.
    fn run(self) {
        let mut committed = BTreeMap::new();
        let (mut committed_at, mut times) = (Instant::now(), 0);
        while !self.stop.load(Ordering::Acquire) && !self.events.is_closed() {
            match self.consumer.poll(POLL) {
                None => {}
                Some(Ok(message)) => self.read(&message),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if let Some(generation) = self.generation(partition) {
                        let _ = self.events.blocking_send(MemberEvent::End { partition, generation });
                    }
                }
                Some(Err(error)) => tracing::debug!(%error, "reading intents"),
            }
            if committed_at.elapsed() >= COMMIT {
                times = (times + 1) % COMMITS;
                if times == 0 {
                    committed.clear();
                }
                self.commit(&mut committed);
                committed_at = Instant::now();
            }
        }
    }

    fn read(&self, message: &BorrowedMessage<'_>) {
        let partition = message.partition();
        let Some(generation) = self.generation(partition) else { return };
        let request = String::from_utf8_lossy(message.key().unwrap_or_default());
        let record = IntentRecord {
            offset: message.offset(),
            at_ms: message.timestamp().to_millis().unwrap_or_default(),
            request: request.as_ref().into(),
            size: message.payload().map(<[u8]>::len),
        };
        let _ = self.events.blocking_send(MemberEvent::Record { partition, generation, record });
    }

    fn generation(&self, partition: i32) -> Option<u64> {
        self.assigned.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).copied()
    }

    fn commit(&self, committed: &mut BTreeMap<i32, i64>) {
        let wanted = self.commits.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut news = wanted.clone();
        news.retain(|partition, offset| committed.get(partition) != Some(offset));
        match commit(&self.consumer, &self.topic, &news) {
            // Only what is wanted now is remembered: another owner may have committed in between.
            Ok(()) => *committed = wanted,
            Err(error) => tracing::debug!(%error, "offsets of intents were not committed; they will be again"),
        }
    }
}
