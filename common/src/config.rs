//! The configuration of every binary: one file, `UNDERSTUDY_…` variables over it, every error at once.
//!
//! ```text
//! file (TOML) ─┐
//!              ├─► config crate ─► tree ─► sections (this module) ─► Config, or all ConfigErrors
//! environment ─┘
//! ```
//!
//! The shape is that of several regions from the start; what this build does not serve yet is an error that says so.

mod clusters;
mod effective;
pub mod index_settings;
mod kafka;
mod placements;
mod processes;
mod reader;
mod units;

use std::{collections::BTreeMap, path::Path, time::Duration};

pub use clusters::{ClusterConfig, Credentials, Secret};
use config::{Environment, File, FileFormat};
use effective::Effective;
pub use kafka::KafkaConfig;
pub use placements::{IndexPattern, PlacementConfig, Unplaced};
pub use processes::{
    ClientKey, ConsumerConfig, GatewayConfig, LogConfig, LogFormat, PatienceConfig, RateLimitConfig, StatusConfig,
    check_admin,
};
use reader::{Errors, Section};

use crate::tls::{Ends, Sections};

/// Everything that is configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// How Kafka is reached and what its topics are like.
    pub kafka: KafkaConfig,
    /// Every cluster by name.
    pub clusters: BTreeMap<String, ClusterConfig>,
    /// Which cluster is primary for which indices, and which follow.
    pub placements: Vec<PlacementConfig>,
    /// What a write to an index outside every placement gets.
    pub unplaced: Unplaced,
    /// Times that gateways and consumers must agree on.
    pub protocol: ProtocolConfig,
    /// The gateway.
    pub gateway: GatewayConfig,
    /// The consumer.
    pub consumer: ConsumerConfig,
    /// What `understudy status` looks at.
    pub status: StatusConfig,
    /// Logs.
    pub log: LogConfig,
}

/// Times that gateways and consumers must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolConfig {
    /// `L`: an effect that is appended this long after its ticket, or later, is void.
    pub ticket_lifetime: Duration,
    /// How much the clocks of two brokers may differ.
    pub clock_skew: Duration,
    /// The longest time that a request may linger in a cluster after who sent it is gone.
    pub linger: Duration,
    /// How long a shard's former primary may go on answering after another copy took its place. A shard whose primary
    /// changed within this time is not observed.
    pub stale_primary: Duration,
    /// How long after the primary's answer the cluster state is looked at once more, before an intent is settled: nodes act
    /// on a state a moment before the master shows it.
    pub settle_after: Duration,
}

impl ProtocolConfig {
    /// `W = L + 2·clock_skew`: how much log time a consumer's window covers.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.ticket_lifetime + 2 * self.clock_skew
    }
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.0.join("\n"))]
pub struct ConfigErrors(pub Vec<String>);

/// A variable that is no key: the folder of a test that stops writes at certain places. Only builds of tests heed it.
pub const FAILPOINTS: &str = "UNDERSTUDY_FAILPOINTS";

/// Another one: the bug that a test plants. Only builds of tests heed it.
pub const PLANTED: &str = "UNDERSTUDY_PLANTED";

/// The exit status of a process whose configuration is wrong (`EX_USAGE` of sysexits).
pub const EXIT_CONFIG: u8 = 64;

impl Config {
    /// Reads `file` and lays the `UNDERSTUDY_…` variables of this process over it.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key and what would be right.
    pub fn load(file: &Path) -> Result<Self, ConfigErrors> {
        Self::load_with(file, variables()?)
    }

    /// What the configuration of [`Config::load`] counts as, see [`Config::effective`].
    ///
    /// # Errors
    /// Everything that is wrong, each with its key and what would be right.
    pub fn load_effective(file: &Path) -> Result<String, ConfigErrors> {
        let variables = variables()?;
        from_file(file, |text| Self::effective(text, variables))
    }

    /// What tells when the certificates end that are used with these clusters.
    #[must_use]
    pub fn certificates<'a>(&self, clusters: impl IntoIterator<Item = &'a str>) -> Sections {
        let of_cluster = |name: &str| {
            let tls = self.clusters.get(name)?.tls.clone()?;
            Some((format!("clusters.{name}"), Box::new(move || tls.ends()) as Box<dyn Fn() -> Ends + Send + Sync>))
        };
        clusters.into_iter().filter_map(of_cluster).collect()
    }

    /// As [`Config::load`], with the environment given.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key and what would be right.
    pub fn load_with(file: &Path, variables: std::collections::HashMap<String, String>) -> Result<Self, ConfigErrors> {
        from_file(file, |text| Self::parse(text, variables))
    }

    /// Reads a configuration from the text of a file.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key and what would be right.
    pub fn parse(text: &str, variables: std::collections::HashMap<String, String>) -> Result<Self, ConfigErrors> {
        Self::parse_all(text, variables).map(|(config, _)| config)
    }

    /// What the configuration of [`Config::parse`] counts as: a file with every key, defaults included and secrets masked.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key and what would be right.
    pub fn effective(text: &str, variables: std::collections::HashMap<String, String>) -> Result<String, ConfigErrors> {
        Self::parse_all(text, variables).map(|(_, effective)| effective.to_toml())
    }

    fn parse_all(
        text: &str,
        variables: std::collections::HashMap<String, String>,
    ) -> Result<(Self, Effective), ConfigErrors> {
        let environment = Environment::with_prefix("UNDERSTUDY")
            .prefix_separator("_")
            .separator("__")
            .ignore_empty(true)
            .source(Some(variables));
        let tree = config::Config::builder()
            .add_source(File::from_str(text, FileFormat::Toml))
            .add_source(environment)
            .build()
            .and_then(config::Config::try_deserialize::<config::Value>)
            .map_err(|error| ConfigErrors(vec![without_excerpt(&error.to_string())]))?;
        let errors = Errors::default();
        let config = Self::read(&mut Section::root(tree, &errors), &errors);
        let (errors, effective) = errors.into_parts();
        if errors.is_empty() { Ok((config, effective)) } else { Err(ConfigErrors(errors)) }
    }

    fn read(root: &mut Section<'_>, errors: &Errors) -> Self {
        let kafka = KafkaConfig::read(root.section("kafka"));
        let clusters = clusters::read_all(root.section("clusters"), errors);
        let placements = placements::read_all(root.sections("placements"), &clusters, errors);
        let unplaced = placements::read_unplaced(root, &placements, errors);
        let mut protocol = root.section("protocol");
        let protocol_config = ProtocolConfig {
            ticket_lifetime: protocol.duration("ticket_lifetime", Duration::from_secs(60)),
            clock_skew: protocol.duration("clock_skew", Duration::from_secs(5)),
            linger: protocol.duration("linger", Duration::from_secs(60)),
            stale_primary: protocol.duration("stale_primary", Duration::from_secs(90)),
            settle_after: protocol.duration("settle_after", Duration::from_secs(2)),
        };
        if protocol_config.ticket_lifetime <= 2 * protocol_config.clock_skew {
            protocol.note(
                "clock_skew",
                format!(
                    "is {:?}, and twice that must be below ticket_lifetime ({:?}): who ends late could not tell whether its intent was settled by others",
                    protocol_config.clock_skew, protocol_config.ticket_lifetime
                ),
            );
        }
        protocol.finish();
        let gateway = GatewayConfig::read(root.section("gateway"), &protocol_config);
        let consumer = ConsumerConfig::read(root.section("consumer"));
        let status = StatusConfig::read(root.section("status"));
        let log = LogConfig::read(root.section("log"));
        root.finish();
        Self { kafka, clusters, placements, unplaced, protocol: protocol_config, gateway, consumer, status, log }
    }
}

/// The environment of this process, as far as it concerns us.
fn variables() -> Result<std::collections::HashMap<String, String>, ConfigErrors> {
    let mut variables = std::collections::HashMap::new();
    let mut errors = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| ![FAILPOINTS, PLANTED].contains(name)) else { continue };
        match value.into_string() {
            Ok(value) => drop(variables.insert(name.to_owned(), value)),
            // Not the value: it may be a password.
            Err(_) if name.to_ascii_uppercase().starts_with("UNDERSTUDY_") => {
                errors.push(format!("{name}: must be text (UTF-8)"));
            }
            Err(_) => {}
        }
    }
    if errors.is_empty() { Ok(variables) } else { Err(ConfigErrors(errors)) }
}

/// What is wrong with a file that is no TOML, with the place and without the line that stands there: it may hold a password.
fn without_excerpt(error: &str) -> String {
    let is_excerpt = |line: &&str| line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()).starts_with('|');
    let lines: Vec<&str> = error.lines().filter(|line| !is_excerpt(line)).map(str::trim).collect();
    lines.join(": ")
}

fn from_file<T>(file: &Path, read: impl FnOnce(&str) -> Result<T, ConfigErrors>) -> Result<T, ConfigErrors> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| ConfigErrors(vec![format!("cannot read the file {}: {error}", file.display())]))?;
    read(&text)
        .map_err(|errors| ConfigErrors(errors.0.into_iter().map(|e| format!("{}: {e}", file.display())).collect()))
}

#[cfg(test)]
mod tests;
