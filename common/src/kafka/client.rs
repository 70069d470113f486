//! Options of librdkafka.

use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

use crate::config::KafkaConfig;

/// The options that every client of ours shares; `kafka.options` lies over them.
#[must_use]
pub fn client_config(kafka: &KafkaConfig, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka.bootstrap_servers.join(","))
        .set("client.id", client_id)
        .set("message.max.bytes", kafka.max_message_bytes.to_string())
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
