//! The member of the group, and the thread that polls it.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult},
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};
use tokio::sync::mpsc;
use understudy_common::{config::KafkaConfig, kafka::LogRecord};

use super::{SourceEvent, Want, Wants, member_config, quietly, received};
use crate::offsets::Commit;

/// How long a poll waits: what is wanted of partitions is looked at as often.
const POLL: Duration = Duration::from_millis(20);
/// Partitions whose reading broke off are read again after this time.
const AGAIN: Duration = Duration::from_secs(1);

/// How long a commit may take. Longer than librdkafka waits for the coordinator (`session.timeout.ms`, 15 s), so that what is
/// given up here is not merely slow.
const COMMIT: Duration = Duration::from_secs(20);

/// What a source reads.
#[derive(Clone)]
pub struct SourceConfig {
    /// How Kafka is reached.
    pub kafka: KafkaConfig,
    /// The topic.
    pub topic: String,
    /// The topic of facts that all processes share.
    pub control: String,
    /// The topic of what indices are like.
    pub schema: String,
    /// The group.
    pub group: String,
    /// The member's name.
    pub name: String,
    /// How long a partition that is taken away may take to end its bulk.
    pub revoke_timeout: Duration,
}

/// A member of the group.
pub struct Source {
    consumer: Arc<BaseConsumer<Rebalancing>>,
    topic: String,
    wants: Wants,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Source {
    /// Joins the group and begins to poll.
    ///
    /// # Errors
    /// When librdkafka refuses an option.
    pub fn start(config: &SourceConfig, events: mpsc::Sender<SourceEvent>) -> KafkaResult<Self> {
        let (wants, stop) = (Wants::default(), Arc::new(AtomicBool::new(false)));
        let down = Arc::new(AtomicBool::new(false));
        let context = Rebalancing {
            events: events.clone(),
            wants: wants.clone(),
            generation: AtomicU64::new(0),
            topic: config.topic.clone(),
            revoke_timeout: config.revoke_timeout,
            down: down.clone(),
        };
        let consumer: Arc<BaseConsumer<Rebalancing>> =
            Arc::new(member_config(&config.kafka, &config.name, &config.group).create_with_context(context)?);
        consumer.subscribe(&[&config.topic])?;
        let mut poller = Poller {
            consumer: consumer.clone(),
            topic: config.topic.clone(),
            wants: wants.clone(),
            events,
            stop: stop.clone(),
            down,
            reading: HashMap::new(),
            broke_at: None,
        };
        let thread = std::thread::Builder::new()
            .name("kafka-poll".into())
            .spawn(move || poller.run())
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { consumer, topic: config.topic.clone(), wants, stop, thread })
    }

    /// Reads a partition from this offset on.
    pub fn read_from(&self, partition: i32, generation: u64, offset: i64) {
        self.wants.change(partition, generation, |want| {
            want.from = Some(offset);
            want.started = true;
        });
    }

    /// Stops or resumes reading a partition.
    pub fn pause(&self, partition: i32, generation: u64, paused: bool) {
        self.wants.change(partition, generation, |want| want.paused = paused);
    }

    /// Reads nothing more of a partition, and keeps it.
    pub fn halt(&self, partition: i32, generation: u64) {
        self.wants.change(partition, generation, |want| {
            want.started = false;
            want.paused = true;
        });
    }

    /// Commits, and says what Kafka has then: nothing where it failed, and the engine commits again after a while.
    ///
    /// Waiting for each commit is the way to hear of it: librdkafka tells nobody of manual commits that are not waited for.
    /// It waits without a limit, so there is one here: a commit that comes through after it sets the group back at worst,
    /// and what stands behind is applied again.
    pub fn commit(&self, commits: Vec<Commit>) -> impl Future<Output = Vec<Commit>> + Send + 'static {
        let (consumer, topic) = (self.consumer.clone(), self.topic.clone());
        async move {
            let committed = tokio::task::spawn_blocking(move || {
                commit_list(&topic, &commits)
                    .and_then(|offsets| consumer.commit(&offsets, CommitMode::Sync))
                    .map(|()| commits)
            });
            match tokio::time::timeout(COMMIT, committed).await {
                Ok(Ok(Ok(committed))) => {
                    tracing::trace!(?committed, "offsets are committed");
                    committed
                }
                Ok(Ok(Err(error))) => {
                    tracing::debug!(%error, "offsets were not committed; they will be again");
                    Vec::new()
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "a commit of offsets ended in a panic");
                    Vec::new()
                }
                Err(_) => {
                    tracing::warn!(waited = ?COMMIT, "Kafka does not say that offsets are committed; they will be again");
                    Vec::new()
                }
            }
        }
    }

    /// Leaves the group. Partitions are revoked on the way, so events must still be answered until the channel closes.
    pub fn leave(self) {
        drop(self.consumer);
        self.stop.store(true, Ordering::Release);
    }

    /// Whether the poll thread is gone.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

fn commit_list(topic: &str, commits: &[Commit]) -> KafkaResult<TopicPartitionList> {
    let mut offsets = TopicPartitionList::with_capacity(commits.len());
    for commit in commits {
        let mut element = offsets.add_partition(topic, commit.partition);
        element.set_offset(Offset::Offset(commit.offset))?;
        element.set_metadata(commit.metadata());
    }
    Ok(offsets)
}

fn partitions_of(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::partition).collect()
}

/// Rebalances: runs on the poll thread, within `poll`.
struct Rebalancing {
    events: mpsc::Sender<SourceEvent>,
    wants: Wants,
    generation: AtomicU64,
    topic: String,
    revoke_timeout: Duration,
    down: Arc<AtomicBool>,
}

impl ClientContext for Rebalancing {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        quietly(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            if !self.down.swap(true, Ordering::AcqRel) {
                tracing::warn!("no Kafka broker can be reached; nothing is read");
            }
        } else {
            tracing::debug!(%error, reason, "Kafka client");
        }
    }
}

impl ConsumerContext for Rebalancing {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => self.revoke(consumer, list),
            other => tracing::warn!(error = %RDKafkaErrorCode::from(other), "rebalance"),
        }
    }
}

impl Rebalancing {
    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) {
        // Without an offset librdkafka would begin at the committed one. Where to begin is decided later, so it waits, paused;
        // what slips through before the pause is not taken. It waits at a number, never at the log's end: that would be asked
        // for, and an answer that comes after the seek has librdkafka (2.12, `rd_kafka_toppar_handle_Offset`) ask once more
        // and go there, past records that were never read.
        let mut waiting = TopicPartitionList::with_capacity(list.count());
        for partition in partitions_of(list) {
            let _ = waiting.add_partition_offset(&self.topic, partition, Offset::Offset(0));
        }
        if let Err(error) = consumer.incremental_assign(&waiting).and_then(|()| consumer.pause(&waiting)) {
            tracing::error!(%error, "partitions could not be assigned");
        }
        for partition in partitions_of(list) {
            let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
            let want = Want { generation, from: None, started: false, paused: false, changed: false };
            self.wants.with(|wants| wants.insert(partition, want));
            let _ = self.events.blocking_send(SourceEvent::Assigned { partition, generation });
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions = partitions_of(list);
        self.wants.with(|wants| wants.retain(|partition, _| !partitions.contains(partition)));
        let lost = consumer.assignment_lost();
        let commits = if lost { self.gone(&partitions) } else { self.revoked(&partitions) };
        if !lost && !commits.is_empty() {
            let committed =
                commit_list(&self.topic, &commits).and_then(|offsets| consumer.commit(&offsets, CommitMode::Sync));
            if let Err(error) = committed {
                tracing::warn!(%error, "the last offsets were not committed; some records will be applied again");
            }
        }
        if let Err(error) = consumer.incremental_unassign(list) {
            tracing::error!(%error, "partitions could not be let go");
        }
    }

    /// Waits for bulks under way, up to the limit.
    fn revoked(&self, partitions: &[i32]) -> Vec<Commit> {
        let (done, answer) = sync_channel(1);
        if self.events.blocking_send(SourceEvent::Revoking { partitions: partitions.to_vec(), done }).is_err() {
            return Vec::new();
        }
        match answer.recv_timeout(self.revoke_timeout) {
            Ok(commits) => commits,
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!(?partitions, "let go with a bulk under way, which took longer than revoke_timeout");
                self.gone(partitions)
            }
            Err(RecvTimeoutError::Disconnected) => Vec::new(),
        }
    }

    fn gone(&self, partitions: &[i32]) -> Vec<Commit> {
        let (done, answer) = sync_channel(1);
        match self.events.blocking_send(SourceEvent::Gone { partitions: partitions.to_vec(), done }) {
            Ok(()) => answer.recv().unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }
}

/// What the poll thread knows of a partition that it reads.
struct Reading {
    generation: u64,
    next: i64,
    paused: bool,
}

struct Poller {
    consumer: Arc<BaseConsumer<Rebalancing>>,
    topic: String,
    wants: Wants,
    events: mpsc::Sender<SourceEvent>,
    stop: Arc<AtomicBool>,
    down: Arc<AtomicBool>,
    reading: HashMap<i32, Reading>,
    broke_at: Option<Instant>,
}

impl Poller {
    /// Ends with the consumer's own end, which revokes what is still assigned and leaves the group.
    fn run(&mut self) {
        while !self.stop.load(Ordering::Acquire) && !self.events.is_closed() {
            self.carry_out();
            let consumer = self.consumer.clone();
            match consumer.poll(POLL) {
                None => {}
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    if self.down.swap(false, Ordering::AcqRel) {
                        tracing::info!("Kafka is read again");
                    }
                    let Some(reading) = self.reading.get_mut(&partition) else { continue };
                    reading.next = reading.next.max(offset + 1);
                    let generation = reading.generation;
                    let received = Box::new(received(LogRecord::from_message(&message)));
                    drop(message);
                    let _ = self.events.blocking_send(SourceEvent::Record { partition, generation, received });
                }
                Some(Err(error)) => self.failed(&error),
            }
        }
    }

    fn failed(&mut self, error: &KafkaError) {
        let code = error.rdkafka_error_code();
        if matches!(code, Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)) {
            // Which partition it was is not said. Either the watermarks show a gap, or reading again helps.
            tracing::warn!(%error, "an offset cannot be read");
            self.broke_at.get_or_insert_with(Instant::now);
        } else {
            tracing::debug!(%error, "reading");
        }
    }

    /// Does what is wanted of partitions.
    fn carry_out(&mut self) {
        if self.broke_at.is_some_and(|at| at.elapsed() >= AGAIN) {
            self.broke_at = None;
            self.wants.with(|wants| {
                for (partition, reading) in &self.reading {
                    if let Some(want) = wants.get_mut(partition).filter(|want| want.started && want.from.is_none()) {
                        want.from = Some(reading.next);
                        want.changed = true;
                        self.wants.changed.store(true, Ordering::Release);
                    }
                }
            });
        }
        if !self.wants.changed.swap(false, Ordering::AcqRel) {
            return;
        }
        let changed: Vec<(i32, Want)> = self.wants.with(|wants| {
            let taken = wants.iter_mut().filter(|(_, want)| want.changed).map(|(partition, want)| {
                let taken = (*partition, *want);
                want.changed = false;
                want.from = None;
                taken
            });
            taken.collect()
        });
        for (partition, want) in changed {
            if let Err(error) = self.turn_to(partition, want) {
                tracing::warn!(partition, %error, "a partition cannot be read; trying again");
                self.wants.with(|wants| {
                    if let Some(again) = wants.get_mut(&partition).filter(|again| again.generation == want.generation) {
                        again.from = again.from.or(want.from);
                        again.changed = true;
                        self.wants.changed.store(true, Ordering::Release);
                    }
                });
            }
        }
        let assigned: Vec<i32> = self.wants.with(|wants| wants.keys().copied().collect());
        self.reading.retain(|partition, _| assigned.contains(partition));
    }

    fn turn_to(&mut self, partition: i32, want: Want) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.topic, partition);
        if let Some(offset) = want.from {
            self.reading.remove(&partition);
            self.seek(partition, offset)?;
            self.reading.insert(partition, Reading { generation: want.generation, next: offset, paused: true });
        }
        let Some(reading) = self.reading.get_mut(&partition) else { return Ok(()) };
        let paused = want.paused || !want.started;
        // After a seek the state is set anew in any case.
        if want.from.is_some() || paused != reading.paused {
            if paused {
                self.consumer.pause(&list)?
            } else {
                self.consumer.resume(&list)?
            }
            reading.paused = paused;
        }
        if !want.started {
            self.reading.remove(&partition);
        }
        Ok(())
    }

    fn seek(&self, partition: i32, offset: i64) -> KafkaResult<()> {
        let sought = self.consumer.seek(&self.topic, partition, Offset::Offset(offset), Duration::from_secs(1));
        let Err(error) = sought else { return Ok(()) };
        // A partition whose reading ended with an error can only be taken up anew.
        tracing::debug!(partition, offset, %error, "seek; assigning anew");
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&self.topic, partition, Offset::Offset(offset))?;
        self.consumer.incremental_unassign(&list)?;
        self.consumer.incremental_assign(&list)
    }
}
