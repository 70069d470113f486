//! Kafka, as both binaries speak it. No other module of this crate knows rdkafka.
//!
//! ```text
//! client   options of librdkafka
//! admin    topics: created where missing, checked where not
//! publish  append with acks=all, an own deadline, and the broker's append time
//! read     a range of a partition, or a compacted topic from its beginning on
//! ```

mod admin;
mod client;
mod publish;
mod read;

pub use admin::{TopicError, ensure_topics};
pub use client::{check_options, client_config, log_line};
pub use publish::{Appended, PublishError, Publisher};
pub use read::{LogRecord, ReadError, headers_of, read_all, read_range, tail};
