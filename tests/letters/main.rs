//! Dead letters, as `understudy dead-letters` shows and mends them, on real Kafka and real clusters.

mod looked_at;
mod redriven;
mod thrown_away;

use std::{collections::BTreeMap, process::Output, time::Duration};

use serde_json::{Value, json};
use understudy_tests::{Http, Process, Stage, differences, eventually};

/// What the program said, and how it ended.
pub struct Said {
    /// Exit status.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Every line as JSON.
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        self.out.lines().map(parse).collect()
    }

    /// Asserts the exit status.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// `understudy dead-letters …`
async fn letters(stage: &Stage, arguments: &[&str]) -> Said {
    let arguments: Vec<&str> = std::iter::once("dead-letters").chain(arguments.iter().copied()).collect();
    stage.run("understudy", &arguments).await.into()
}

/// Ids of the letters that are listed.
async fn listed(stage: &Stage) -> Vec<String> {
    let listed = letters(stage, &["list", "--json"]).await.expect(0);
    listed.lines().iter().map(|letter| letter["id"].as_str().expect("an id").to_owned()).collect()
}

/// A stage whose backup has a field that somebody mapped there by hand: the primary takes anything in its place, and what is
/// no number becomes a dead letter.
struct Broken {
    stage: Stage,
    gateway: Process,
    consumer: Process,
    index: String,
}

impl Broken {
    async fn new(name: &str) -> Self {
        // One partition, so that letters stand one behind the other.
        let stage = Stage::new(name).set("kafka.partitions", 1).set("protocol.settle_after", "500ms");
        let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
        let index = stage.index("i");
        let body = json!({"mappings": {"properties": {"o": {"type": "object", "dynamic": false}}}}).to_string();
        stage.through(&gateway).put(&format!("/{index}"), body).await.expect(200);
        let broken = Self { stage, gateway, consumer, index };
        broken.write("first", json!({"o": {}})).await;
        broken.stage.assert_converges(&broken.index).await;
        broken.map(json!({"type": "long"})).await;
        broken
    }

    /// Maps the field on the backup.
    async fn map(&self, field: Value) {
        let body = json!({"properties": {"o": {"properties": {"x": field}}}}).to_string();
        self.stage.backup().put(&format!("/{}/_mapping", self.index), body).await.expect(200);
    }

    /// Lets the backup take anything again.
    async fn mend(&self) {
        self.map(json!({"type": "long", "ignore_malformed": true})).await;
    }

    async fn write(&self, id: &str, document: Value) {
        let reply = self.through().put(&format!("/{}/_doc/{id}", self.index), document.to_string()).await;
        assert!((200..300).contains(&reply.status), "{reply}");
    }

    /// Writes what the backup refuses, and waits until it is a dead letter.
    async fn refused(&self, id: &str, text: &str) {
        self.write(id, json!({"o": {"x": text}})).await;
        self.stage.wait_drained().await;
    }

    fn through(&self) -> Http {
        self.stage.through(&self.gateway)
    }

    /// Waits until the backup has every document as the primary has it. What somebody did to its mapping stays.
    async fn documents_converge(&self) {
        self.stage.wait_drained().await;
        let found = differences(&self.stage.primary(), &self.stage.backup(), &self.index).await.expect("both answer");
        let found: Vec<_> = found.into_iter().filter(|difference| difference.what != "mapping").collect();
        assert!(found.is_empty(), "{found:?}");
    }

    async fn on_backup(&self, id: &str) -> Value {
        self.stage.backup().get(&format!("/{}/_doc/{id}", self.index)).await.json()["_source"].clone()
    }

    /// First and next offset of the only partition of the dead-letter topic.
    async fn offsets(&self) -> (i64, i64) {
        self.stage.kafka().offsets(&self.stage.topic("dead.backup")).await.expect("Kafka answers")[&0]
    }

    /// Waits until the consumer shows so many letters upon which nobody has decided.
    async fn undecided(&self, letters: f64) {
        let shown =
            async || match self.consumer.metric("understudy_dead_letters_undecided", &[("target", "backup")]).await {
                count if count == letters => Ok(()),
                count => Err(format!("{count} are shown")),
            };
        // It counts them every 15 s.
        eventually(Duration::from_secs(40), "undecided letters are shown", shown).await;
    }

    /// Marks that stand in the control topic.
    async fn marks(&self) -> Vec<String> {
        let mut marks = BTreeMap::new();
        for record in self.stage.records("control").await {
            marks.insert(record.key_text(), record.value.is_some());
        }
        marks.into_iter().filter(|(key, stands)| *stands && key.starts_with("dead/")).map(|(key, _)| key).collect()
    }
}
