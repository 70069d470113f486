//! Options of librdkafka.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::{ClientConfig, ClientContext, config::RDKafkaLogLevel};

use crate::config::KafkaConfig;

/// The options that every client of ours shares; `kafka.options` lies over them.
#[must_use]
pub fn client_config(kafka: &KafkaConfig, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka.bootstrap_servers.join(","))
        .set("client.id", client_id)
        .set("message.max.bytes", kafka.max_message_bytes.to_string())
        // A topic is created by us with its policy, or not at all.
        .set("allow.auto.create.topics", "false")
        // A broker that comes back is met within a second.
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.keepalive.enable", "true")
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set_log_level(RDKafkaLogLevel::Warning);
    for (name, value) in &kafka.options {
        config.set(name, value);
    }
    config
}

/// Whether librdkafka knows the options and takes their values.
///
/// # Errors
/// What it says of the first that it does not take.
pub fn check_options(kafka: &KafkaConfig) -> Result<(), String> {
    client_config(kafka, "understudy").create_native_config().map(drop).map_err(|error| error.to_string())
}

/// Remembers what a client said last of a connection that failed: calls fail with "transport failure" or a timeout, whatever
/// it was (a certificate, a password, a broker that is away). Cheap to clone.
#[derive(Clone, Default)]
pub struct Failures(Arc<Mutex<Option<String>>>);

impl Failures {
    /// What was said last.
    #[must_use]
    pub fn last(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Failures {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FAIL" {
            // `[thrd:…]: ` is the name of a thread of its own.
            let said = message.split_once("]: ").map_or(message, |(_, said)| said);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(said.to_owned());
        }
        log_line(level, facility, message);
    }
}

/// What librdkafka says of itself, at levels as ours mean them: it mends what it reports, so nothing is lost; whether a
/// write or a partition suffers is said by whoever waits for it.
pub fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", facility, message);
        }
        // A broker that starts, or a connection that is refused: reported for as long as it lasts.
        _ if ["GETPID", "FAIL"].contains(&facility) => tracing::debug!(target: "librdkafka", facility, message),
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::warn!(target: "librdkafka", facility, message);
        }
        _ => tracing::debug!(target: "librdkafka", facility, message),
    }
}
