//! Reading a target's topic as a member of its group. The only modules here that know how rdkafka consumes.
//!
//! ```text
//!            own thread                                   task of the consumer
//! group ─► poll ─ records, Assigned, Revoking ─► channel ─► engine
//!            ▲                                                │
//!            └────── what is wanted of each partition ◄───────┘
//! ```
//!
//! The thread polls all the time, also while nothing may be read, so that membership is kept. What the engine wants of a
//! partition (from where, paused or not) is a state and no queue, so neither side ever waits for the other; except in a
//! revocation, which waits for the bulk under way, up to a limit.

mod group;
mod retention;
mod start;
mod watermarks;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
pub use group::{Source, SourceConfig};
use rdkafka::{ClientConfig, ClientContext, config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError};
pub use retention::{Retention, watch as watch_retention};
pub use start::{Beginning, Found, Gap, begin, decide, learn};
use understudy_common::{
    config::KafkaConfig,
    kafka::{LogRecord, client_config},
    record,
};
pub use watermarks::{Watermarks, watch};

use crate::{engine::Received, offsets::Commit};

/// What the poll thread has to say.
#[derive(Debug)]
pub enum SourceEvent {
    /// A partition was assigned; nothing of it is read before [`Source::read_from`].
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
        received: Box<Received>,
    },
    /// Partitions are taken away. The answer, what is to be committed, is waited for.
    Revoking {
        /// Partitions.
        partitions: Vec<i32>,
        /// Where the answer goes.
        done: std::sync::mpsc::SyncSender<Vec<Commit>>,
    },
    /// Partitions are gone, now. What is done is committed where that is still possible.
    Gone {
        /// Partitions.
        partitions: Vec<i32>,
        /// Where the answer goes.
        done: std::sync::mpsc::SyncSender<Vec<Commit>>,
    },
}

/// What is wanted of a partition.
#[derive(Clone, Copy, Debug)]
struct Want {
    generation: u64,
    /// Read from here on; taken when done.
    from: Option<i64>,
    started: bool,
    paused: bool,
    changed: bool,
}

/// What is wanted of each partition: written by the engine's side, carried out by the poll thread.
#[derive(Clone, Default)]
struct Wants {
    all: Arc<Mutex<HashMap<i32, Want>>>,
    changed: Arc<AtomicBool>,
}

impl Wants {
    fn change(&self, partition: i32, generation: u64, change: impl FnOnce(&mut Want)) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(want) = all.get_mut(&partition).filter(|want| want.generation == generation) {
            change(want);
            want.changed = true;
            self.changed.store(true, Ordering::Release);
        }
    }

    fn with<T>(&self, each: impl FnOnce(&mut HashMap<i32, Want>) -> T) -> T {
        each(&mut self.all.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads what a record says.
#[must_use]
pub fn received(record: LogRecord) -> Received {
    let content = record::decode(&record.headers, record.value.as_ref().unwrap_or(&Bytes::new()));
    Received { record, content }
}

/// Options of the member of a group; the user's stand above those that do not decide anything.
pub(crate) fn member_config(kafka: &KafkaConfig, name: &str, group: &str) -> ClientConfig {
    let mut config = client_config(kafka, name);
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "false")
        // Nothing is ever reset silently: where to begin is decided in `start`.
        .set("auto.offset.reset", "error")
        // A stranger's open transaction must not hide what stands behind it.
        .set("isolation.level", "read_uncommitted")
        .set("partition.assignment.strategy", "cooperative-sticky");
    for (option, value) in [
        // A member that died is noticed within this time.
        ("session.timeout.ms", "15000"),
        // That another one left is heard with the next heartbeat, and its partitions stand still until then.
        ("heartbeat.interval.ms", "500"),
        ("fetch.wait.max.ms", "100"),
        // A full queue or an error is looked at again soon; the defaults cost throughput and seconds.
        ("fetch.queue.backoff.ms", "20"),
        ("fetch.error.backoff.ms", "100"),
        ("queued.max.messages.kbytes", "16384"),
    ] {
        if !kafka.options.contains_key(option) {
            config.set(option, value);
        }
    }
    config
}

/// Whether librdkafka takes the configured options.
///
/// # Errors
/// What it does not take.
pub fn check(kafka: &KafkaConfig) -> Result<(), String> {
    member_config(kafka, "understudy", "understudy").create_native_config().map(drop).map_err(|error| error.to_string())
}

/// Tells of librdkafka's troubles at the level they deserve: brokers that are away are looked for again and again, and
/// whoever needs them says so by himself.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        quietly(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client");
    }
}

impl ConsumerContext for Quiet {}

pub(crate) fn quietly(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, message, "librdkafka");
        }
        RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "librdkafka"),
        _ => tracing::debug!(facility, message, "librdkafka"),
    }
}

/// How long single questions to Kafka may take.
const ASK: Duration = Duration::from_secs(10);
