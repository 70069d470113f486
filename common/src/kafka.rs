//! Kafka, as both binaries speak it. No other module of this crate knows rdkafka.
//!
//! ```text
//! client   options of librdkafka
//! admin    topics: created where missing, checked where not
//! publish  append with acks=all, an own deadline, and the broker's append time
//! read     a range of a partition, or a compacted topic from its beginning on
//! delete   the oldest records of a topic
//! group    who is in a group of consumers
//! ```

mod admin;
mod client;
mod delete;
mod group;
mod publish;
mod read;

pub use admin::{TopicError, ensure_topics, topic_settings};
pub use client::{check_options, client_config, log_line, why_unreachable};
pub use delete::delete_records;
pub use group::group_members;
pub use publish::{Appended, PublishError, Publisher};
pub use read::{LogRecord, RangeReader, ReadError, headers_of, read_all, read_range, tail, watermarks};
