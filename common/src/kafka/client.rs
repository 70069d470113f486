//! Options of librdkafka.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, ConsumerContext},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

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
    client_config(kafka, "understudy").create_native_config().map(drop).map_err(|error| match error {
        // It names the option. The value may be a password, behind a name with a slip in it.
        KafkaError::ClientConfig(_, what, _, _) => format!("Client config error: {what}"),
        other => other.to_string(),
    })
}

/// Remembers why connections fail.
#[derive(Clone, Default)]
struct Failures(Arc<Mutex<Option<String>>>);

impl ClientContext for Failures {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // What is wrong with the last of them was said before.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            // How long it took is another time each time.
            let reason = reason.split(" (after ").next().unwrap_or(reason);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Failures {}

/// Why connections to Kafka fail, where that is told within `timeout`: calls end with "transport failure", whatever it was (a
/// certificate, a password, a broker that is away). Blocks.
#[must_use]
pub fn why_unreachable(kafka: &KafkaConfig, timeout: Duration) -> Option<String> {
    let failures = Failures::default();
    let client: BaseConsumer<Failures> =
        client_config(kafka, "understudy-probe").create_with_context(failures.clone()).ok()?;
    let begun = Instant::now();
    while begun.elapsed() < timeout {
        // Errors are told to those alone who poll.
        let _ = client.poll(POLL);
        if let Some(reason) = failures.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Some(reason);
        }
    }
    None
}

const POLL: Duration = Duration::from_millis(100);

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
