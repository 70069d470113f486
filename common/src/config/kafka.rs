//! `[kafka]`: how Kafka is reached, and what its topics are like.

use std::{collections::BTreeMap, time::Duration};

use super::reader::Section;

/// How Kafka is reached, and what its topics are like.
#[derive(Clone)]
pub struct KafkaConfig {
    /// Brokers to begin with, `host:port`.
    pub bootstrap_servers: Vec<String>,
    /// What every topic's name begins with.
    pub topic_prefix: String,
    /// Whether missing topics are created.
    pub create_topics: bool,
    /// Partitions of a target's topic.
    pub partitions: i32,
    /// Copies of each partition; fewer on an existing topic is an error.
    pub replication_factor: i32,
    /// `min.insync.replicas` of topics that are created.
    pub min_insync_replicas: i32,
    /// How long a target's topic keeps its records: the longest that a target may be down.
    pub retention: Duration,
    /// The largest message of every topic, in bytes.
    pub max_message_bytes: u64,
    /// Options of librdkafka, passed on as they are.
    pub options: BTreeMap<String, String>,
}

/// Options that decide whether the promise holds. They are ours.
const RESERVED: [&str; 16] = [
    "bootstrap.servers",
    "acks",
    "request.required.acks",
    "enable.idempotence",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "group.id",
    "message.max.bytes",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "partitioner",
    "transactional.id",
    "delivery.report.only.error",
    "allow.auto.create.topics",
    "client.id",
];

/// Options that name a file, which librdkafka reads when a client begins.
const FILES: [&str; 5] =
    ["ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location", "ssl.crl.location"];

impl KafkaConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let bootstrap_servers = section.texts("bootstrap_servers");
        if bootstrap_servers.is_empty() {
            section.note("bootstrap_servers", "must name at least one broker such as \"127.0.0.1:9092\"");
        }
        let topic_prefix = section.text_or("topic_prefix", || "understudy".to_owned());
        let fits = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
        if topic_prefix.is_empty() || topic_prefix.len() > 100 || !topic_prefix.chars().all(fits) {
            section.note("topic_prefix", format!("must be 1 to 100 of a-z, A-Z, 0-9, . _ and -, not {topic_prefix:?}"));
        }
        let small = |value: u64| i32::try_from(value).unwrap_or(i32::MAX);
        let replication_factor = small(section.number("replication_factor", 3, 1..=100));
        let default_in_sync = if replication_factor > 1 { 2 } else { 1 };
        let min_insync_replicas = small(section.number("min_insync_replicas", default_in_sync, 1..=100));
        if min_insync_replicas > replication_factor {
            section.note("min_insync_replicas", format!("is greater than replication_factor ({replication_factor})"));
        }
        if replication_factor > 1 && min_insync_replicas < 2 {
            section.note("min_insync_replicas", "must be at least 2 when replication_factor is above 1: with 1 an acknowledged record may be lost with one broker");
        }
        let options = read_options(section.section("options"));
        let config = Self {
            bootstrap_servers,
            topic_prefix,
            create_topics: section.boolean("create_topics", true),
            partitions: small(section.number("partitions", 12, 1..=10_000)),
            replication_factor,
            min_insync_replicas,
            retention: section.duration("retention", Duration::from_secs(7 * 86_400)),
            max_message_bytes: section.size("max_message_bytes", 32 << 20),
            options,
        };
        if !(1 << 20..=1_000_000_000).contains(&config.max_message_bytes) {
            section.note("max_message_bytes", "must be from \"1MiB\" to 1000000000 (librdkafka's own limit)");
        }
        if let Err(error) = crate::kafka::check_options(&config) {
            section.note("options", error);
        }
        section.finish();
        config
    }
}

/// Dots cannot stand in the name of a variable, and no option that a user may set has an underscore in its name: so
/// `UNDERSTUDY_KAFKA__OPTIONS__SASL_PASSWORD` is `sasl.password`.
fn read_options(section: Section<'_>) -> BTreeMap<String, String> {
    let (path, errors) = (section.path.clone(), section.errors);
    let options: BTreeMap<_, _> = section.into_texts(|name| name.replace('_', "."), is_secret).into_iter().collect();
    for name in RESERVED.iter().filter(|name| options.contains_key(**name)) {
        errors.note(&format!("{path}.\"{name}\""), "is decided by Understudy and cannot be set");
    }
    for (name, file) in FILES.iter().filter_map(|name| Some((name, options.get(*name)?))) {
        // A word of librdkafka's: look where systems keep theirs.
        if file != "probe"
            && let Err(error) = std::fs::metadata(file)
        {
            errors.note(&format!("{path}.\"{name}\""), format!("cannot read {file}: {error}"));
        }
    }
    options
}

/// Whether an option of librdkafka holds something that must not be shown (its `CONFIGURATION.md`).
fn is_secret(name: &str) -> bool {
    // `sasl.oauthbearer.config` and `.extensions` may hold tokens; `ssl.key.pem` is the key itself, `ssl.key.location` its file.
    ["password", "secret", "passphrase", "key.pem", "oauthbearer.config", "oauthbearer.extensions", "token"]
        .iter()
        .any(|word| name.contains(word))
        && !name.ends_with(".url")
}

/// Options may hold passwords, so only their names are shown.
impl std::fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("topic_prefix", &self.topic_prefix)
            .field("options", &self.options.keys())
            .finish_non_exhaustive()
    }
}
