//! The dead-letter topic of a target, and what the control topic says of it.

use std::{collections::BTreeMap, time::Duration};

use understudy_common::{
    config::{Config, PlacementConfig},
    kafka::{LogRecord, ReadError, read_all, read_range, watermarks},
    topics::Topics,
};

use super::{
    Failure,
    facts::Facts,
    letter::{Letter, LetterId},
};

/// How long Kafka may take to say what there is.
pub const ANSWER: Duration = Duration::from_secs(5);

/// Whose letters: a target of the configuration.
pub struct Mailbox {
    /// The configuration.
    pub config: Config,
    /// Its placement.
    pub placement: PlacementConfig,
    /// Its name.
    pub target: String,
    /// Names of topics.
    pub topics: Topics,
}

/// Everything that stands in the topic.
pub struct Letters {
    /// The letters, the oldest first.
    pub all: Vec<Letter>,
    /// What became of them.
    pub facts: Facts,
    /// First and next offset of each partition.
    pub offsets: BTreeMap<i32, (i64, i64)>,
}

impl Mailbox {
    /// The letters of `target`, or of the only one that is configured.
    pub fn new(config: Config, target: Option<&str>) -> Result<Self, String> {
        let all: Vec<_> =
            config.placements.iter().flat_map(|one| one.targets.iter().map(move |name| (one, name))).collect();
        let known = || all.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ");
        let found = match (target, &all[..]) {
            (None, [only]) => Some(*only),
            (None, _) => return Err(format!("--target: must be given, one of {}", known())),
            (Some(target), _) => all.iter().find(|(_, name)| *name == target).copied(),
        };
        let Some((placement, target)) = found else {
            return Err(format!("--target: must be one of {}, not {:?}", known(), target.unwrap_or_default()));
        };
        let (placement, target) = (placement.clone(), target.clone());
        let topics = Topics::new(&config.kafka.topic_prefix);
        Ok(Self { config, placement, target, topics })
    }

    /// The topic.
    pub fn topic(&self) -> String {
        self.topics.dead(&self.target)
    }

    /// Reads everything; bodies are let go.
    pub async fn read(&self) -> Result<Letters, Failure> {
        let (kafka, topic, facts) = (self.config.kafka.clone(), self.topic(), self.facts_reader());
        self.blocking(move || {
            // Marks last: a letter that is read is there, and its mark may be newer.
            let offsets = watermarks(&kafka, &topic, ANSWER)?;
            let mut all = Vec::new();
            for (partition, (first, next)) in &offsets {
                read_range(&kafka, &topic, *partition, *first, *next, |record| all.push(Letter::of(record)))?;
            }
            all.sort_by_key(|letter| (letter.at_ms, letter.id));
            Ok(Letters { all, facts: facts()?, offsets })
        })
        .await
    }

    /// Reads what the control topic says.
    pub async fn facts(&self) -> Result<Facts, Failure> {
        self.blocking(self.facts_reader()).await
    }

    /// Reads one record of a topic whole; `None` when it does not stand there.
    pub async fn record(&self, topic: &str, partition: i32, offset: i64) -> Result<Option<LogRecord>, Failure> {
        let (kafka, topic) = (self.config.kafka.clone(), topic.to_owned());
        self.blocking(move || {
            let offsets = watermarks(&kafka, &topic, ANSWER)?;
            let mut found = None;
            if offsets.get(&partition).is_some_and(|(first, next)| (*first..*next).contains(&offset)) {
                read_range(&kafka, &topic, partition, offset, offset + 1, |record| found = Some(record))?;
            }
            Ok(found.filter(|record| record.offset == offset))
        })
        .await
    }

    /// First and next offset of each partition of a topic.
    pub async fn offsets(&self, topic: &str) -> Result<BTreeMap<i32, (i64, i64)>, Failure> {
        let (kafka, topic) = (self.config.kafka.clone(), topic.to_owned());
        self.blocking(move || watermarks(&kafka, &topic, ANSWER)).await
    }

    fn facts_reader(&self) -> impl FnOnce() -> Result<Facts, ReadError> + Send + 'static {
        let (kafka, dead, control) = (self.config.kafka.clone(), self.topic(), self.topics.control());
        move || {
            let mut facts = Facts::default();
            read_all(&kafka, &control, |record| facts.learn(&dead, &record))?;
            Ok(facts)
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Failure> {
        let read = tokio::task::spawn_blocking(read).await.map_err(|error| Failure(error.to_string()))?;
        read.map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &ReadError) -> Failure {
        let brokers = self.config.kafka.bootstrap_servers.join(",");
        Failure(match error {
            ReadError::Missing(topic) => format!(
                "there is no topic {topic} in Kafka at {brokers}: gateways and consumers create it when they first run (is kafka.topic_prefix right?)"
            ),
            error => format!("cannot read from Kafka at {brokers}: {error}"),
        })
    }
}

impl Letters {
    /// Those that nobody has decided.
    pub fn undecided(&self) -> impl Iterator<Item = &Letter> {
        self.all.iter().filter(|letter| self.facts.became(letter).is_none())
    }

    /// The letter of this name.
    pub fn find(&self, id: LetterId, topic: &str) -> Result<&Letter, String> {
        self.all.iter().find(|letter| letter.id == id).ok_or_else(|| match self.offsets.get(&id.partition) {
            Some((first, _)) if id.offset < *first => {
                format!("the dead letter {id} is gone: it was redriven or dropped, and then deleted from {topic}")
            }
            _ => format!("there is no dead letter {id} in {topic}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const CONFIG: &str = r#"
kafka = { bootstrap_servers = "k:9092" }
clusters = { a = { urls = "http://a:9200" }, b = { urls = "http://b:9200" } }
placements = [{ name = "all", indices = "*", primary = "a", targets = "b" }]
"#;

    #[test]
    fn an_unknown_target_is_told_the_known_ones() {
        let mailbox = |target| Mailbox::new(Config::parse(CONFIG, HashMap::new()).unwrap(), target);
        assert_eq!(mailbox(Some("a")).err().unwrap(), "--target: must be one of b, not \"a\"");
        for target in [None, Some("b")] {
            assert_eq!(mailbox(target).unwrap().topic(), "understudy.dead.b");
        }
    }
}
