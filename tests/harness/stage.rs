//! One test's own corner of the shared stack.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Output,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::Value;
use understudy_common::{config::Config, kafka::ensure_topics, topics::Topics};

use crate::{
    Http, Kafka, Process, Stack, eventually,
    ports::free_address,
    process::{self, Recipe},
};

mod front;
mod looks;
mod tidy;

/// A test's own topics, indices, configuration and folder.
///
/// When it goes out of scope, its indices and topics are deleted; after a panic they stay, and so does its folder.
pub struct Stage {
    stack: Stack,
    kafka: Kafka,
    prefix: String,
    folder: PathBuf,
    settings: BTreeMap<String, String>,
    planted: Option<String>,
    groups: bool,
    /// The addresses of its clusters, by their names: the primary, and every target.
    clusters: BTreeMap<String, String>,
    gateways: AtomicUsize,
    consumers: AtomicUsize,
}

/// How long a command may take.
const RUN: Duration = Duration::from_secs(120);

impl Stage {
    /// A stage on the stack that tests share. The name says what the test is about.
    ///
    /// # Panics
    /// When there is no stack.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let stack = Stack::of_tests();
        let prefix = unique(name);
        let folder = std::env::temp_dir().join("understudy-tests").join(&prefix);
        std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let (kafka, primary, backup) = (stack.address("kafka"), stack.address("primary"), stack.address("backup"));
        let stage = Self {
            kafka: Kafka::new(&kafka),
            stack,
            folder,
            settings: BTreeMap::new(),
            planted: None,
            groups: false,
            clusters: BTreeMap::new(),
            gateways: AtomicUsize::new(0),
            consumers: AtomicUsize::new(0),
            prefix: prefix.clone(),
        };
        stage
            .set("kafka.bootstrap_servers", vec![kafka])
            .set("kafka.replication_factor", 1)
            .set("kafka.partitions", 3)
            .set("kafka.topic_prefix", prefix.clone())
            .with_cluster("primary", &primary)
            .with_cluster("backup", &backup)
            .set("unplaced_writes", "refuse")
            // Whoever takes over from a process that was killed holds its commits back for so long.
            .set("protocol.linger", "4s")
            .set(
                "log.level",
                "info,understudy_gateway=debug,understudy_consumer=debug,understudy_consumer::source=trace",
            )
    }

    /// Has another server be the cluster of this name: `primary`, `backup`, or one more target.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[must_use]
    pub fn with_cluster(mut self, name: &str, address: &str) -> Self {
        self.clusters.insert(name.to_owned(), address.to_owned());
        let targets: Vec<&str> = self.targets().collect();
        let (prefix, targets) = (&self.prefix, Value::from(targets));
        let placement =
            format!("[{{name = \"stage\", indices = \"{prefix}-*\", primary = \"primary\", targets = {targets}}}]");
        self.set(&format!("clusters.{name}.urls"), vec![address]).set_raw("placements", placement)
    }

    /// Has another Kafka, `host:port`, for everything.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[must_use]
    pub fn with_kafka(self, address: &str) -> Self {
        self.with_brokers(&[address.to_owned()])
    }

    /// Has another Kafka of several brokers, `host:port` each.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[must_use]
    pub fn with_brokers(mut self, addresses: &[String]) -> Self {
        self.kafka = Kafka::new(&addresses.join(","));
        self.set("kafka.bootstrap_servers", addresses.to_vec())
    }

    /// The names of its targets.
    fn targets(&self) -> impl Iterator<Item = &str> {
        self.clusters.keys().map(String::as_str).filter(|name| *name != "primary")
    }

    /// A cluster by its name.
    ///
    /// # Panics
    /// When there is none of that name.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Http {
        Http::new(self.clusters.get(name).unwrap_or_else(|| panic!("there is no cluster {name}")))
    }

    /// Sets a key of the configuration, such as `gateway.intent_timeout`. Processes that run do not hear of it.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[must_use]
    pub fn set(self, key: &str, value: impl Into<Value>) -> Self {
        // Texts, numbers, truths and lists of them are written alike in JSON and TOML.
        let value = value.into().to_string();
        self.set_raw(key, value)
    }

    /// As [`Stage::set`], with the value as TOML has it.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[must_use]
    pub fn set_raw(mut self, key: &str, toml: impl Into<String>) -> Self {
        self.settings.insert(key.to_owned(), toml.into());
        let lines: String = self.settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        std::fs::write(self.config(), lines).expect("the stage's folder can be written");
        self
    }

    /// Plants a bug in every process that is started from now on, by its name in `understudy_common::planted`.
    #[must_use]
    pub fn planted(mut self, bug: &str) -> Self {
        self.planted = Some(bug.to_owned());
        self
    }

    /// Runs every process in a group of its own ([`Process::group`]), by which a firewall can tell them apart. Needs root.
    #[must_use]
    pub fn with_groups(mut self) -> Self {
        self.groups = true;
        self
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("understudy.toml")
    }

    /// The stage's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The stack below.
    #[must_use]
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// An index of this stage. It is inside the placement; any other name is outside.
    #[must_use]
    pub fn index(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// A topic of this stage: `target.backup`, `dead.backup`, `intents`, `schema`, `control`.
    #[must_use]
    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// The group of the consumers of `backup`.
    #[must_use]
    pub fn group(&self) -> String {
        Topics::new(&self.prefix).group("backup")
    }

    /// The primary itself.
    #[must_use]
    pub fn primary(&self) -> Http {
        self.cluster("primary")
    }

    /// The backup itself.
    #[must_use]
    pub fn backup(&self) -> Http {
        self.cluster("backup")
    }

    /// A client that connects to a gateway.
    #[must_use]
    pub fn through(&self, gateway: &Process) -> Http {
        Http::new(gateway.address())
    }

    /// Kafka itself.
    #[must_use]
    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// Starts a gateway; it takes writes when this returns.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn gateway(&self) -> Process {
        self.start_gateway(true, &self.config()).await
    }

    /// Starts a gateway that answers, and may not take writes yet: Kafka or the primary may be down.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn gateway_that_answers(&self) -> Process {
        self.start_gateway(false, &self.config()).await
    }

    /// Starts a gateway with a configuration file of its own; it may not take writes.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn gateway_with(&self, config: &Path) -> Process {
        self.start_gateway(false, config).await
    }

    /// Starts a consumer of `backup`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn consumer(&self) -> Process {
        self.consumer_of("backup").await
    }

    /// Starts a consumer of a target.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn consumer_of(&self, target: &str) -> Process {
        let name = format!("consumer-{}", self.consumers.fetch_add(1, Ordering::Relaxed) + 1);
        let admin = free_address();
        let environment =
            [("UNDERSTUDY_CONSUMER__NAME", name.clone()), ("UNDERSTUDY_CONSUMER__ADMIN_LISTEN", admin.clone())];
        let mut recipe = self.recipe("understudy-consumer", &name, environment.into(), &admin);
        recipe.arguments.extend(["--target".to_owned(), target.to_owned()]);
        started(Process::start(&name, recipe).await)
    }

    async fn start_gateway(&self, takes_writes: bool, config: &Path) -> Process {
        let name = format!("gateway-{}", self.gateways.fetch_add(1, Ordering::Relaxed) + 1);
        let (listen, admin) = (free_address(), free_address());
        let environment = [
            ("UNDERSTUDY_GATEWAY__NAME", name.clone()),
            ("UNDERSTUDY_GATEWAY__LISTEN", listen.clone()),
            ("UNDERSTUDY_GATEWAY__ADMIN_LISTEN", admin.clone()),
            (understudy_common::config::FAILPOINTS, self.folder.display().to_string()),
        ];
        let mut recipe = self.recipe("understudy-gateway", &name, environment.into(), &admin);
        recipe.address = Some(format!("http://{listen}"));
        recipe.arguments = vec!["--config".to_owned(), config.display().to_string()];
        recipe.takes_writes = takes_writes;
        started(Process::start(&name, recipe).await)
    }

    fn recipe(
        &self,
        program: &'static str,
        name: &str,
        mut environment: BTreeMap<&str, String>,
        admin: &str,
    ) -> Recipe {
        environment.extend(self.planted.clone().map(|bug| (understudy_common::config::PLANTED, bug)));
        Recipe {
            program,
            arguments: vec!["--config".to_owned(), self.config().display().to_string()],
            environment: environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            log: self.folder.join(format!("{name}.log")),
            address: None,
            admin: format!("http://{admin}"),
            takes_writes: false,
            group: self.groups.then(|| group_of(name)),
        }
    }

    /// Runs one of our programs to its end, with `--config` of this stage behind the arguments:
    /// `stage.run("understudy", &["verify", "--json"])`.
    ///
    /// # Panics
    /// When it cannot be started or does not end.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let command = process::program(program).unwrap_or_else(|error| panic!("{error:#}"));
        let mut command = tokio::process::Command::from(command);
        command.args(arguments).arg("--config").arg(self.config()).kill_on_drop(true);
        let output = tokio::time::timeout(RUN, command.output()).await;
        let output = output.unwrap_or_else(|_| panic!("{program} {arguments:?} does not end within {RUN:?}"));
        output.unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    /// Creates the topics as gateways and consumers do, for a test that comes before them.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn create_topics(&self) {
        let config = Config::load_with(&self.config(), std::collections::HashMap::new());
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        let specs = Topics::new(&self.prefix).specs(&config.kafka, &config.placements[0].targets);
        eventually(Duration::from_secs(20), "topics are there", async || ensure_topics(&config.kafka, &specs).await)
            .await;
    }
}

fn started(process: anyhow::Result<Process>) -> Process {
    process.unwrap_or_else(|error| panic!("{error:#}"))
}

/// The group of a process: one that nobody else has.
fn group_of(process: &str) -> u32 {
    const FIRST: u32 = 61_000;
    let number = process.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    FIRST + number + if process.starts_with("consumer") { 500 } else { 0 }
}

/// A name that no other test has, now or on an earlier run, and that indices and topics may have.
fn unique(name: &str) -> String {
    let letters: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let short = letters.trim_matches('-').chars().take(40).collect::<String>();
    format!("{}-{}", short.trim_end_matches('-'), &understudy_common::process::random_id()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_indices_and_topics() {
        let (one, other) = (unique("Über: a write's way"), unique("Über: a write's way"));
        assert_ne!(one, other);
        assert!(one.starts_with("ber--a-write-s-way-"), "{one}");
        assert!(unique(&"x".repeat(300)).len() < 60);
    }
}
