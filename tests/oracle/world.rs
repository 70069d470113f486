//! What there is to write to: indices, aliases and pipelines, made on the primary before a gateway looks at it.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};
use understudy_tests::{Http, Stage};

use crate::ledger::{Item, Written};

/// Names, and what the writers know in common.
pub struct World {
    /// One shard: an id is one document there, whatever its routing.
    pub single: String,
    /// Three shards: under two routings an id may be two documents.
    pub spread: String,
    /// Nobody makes it: the first write does, and its mapping grows with the documents.
    pub grown: String,
    /// Versions of the clients alone.
    pub versions: String,
    /// Versions of the clients, and writes without.
    pub mixed: String,
    /// Has a default pipeline.
    pub piped: String,
    /// Has a default pipeline now and then.
    pub turned: String,
    /// The primary takes anything as its field `o.x`, the backup only numbers: somebody mapped it there by hand.
    pub picky: String,
    /// An alias of two indices that writes to `spread`.
    pub alias: String,
    /// An alias of `spread` that gives routing to what is written through it.
    pub routed_alias: String,
    /// Pipelines that a request may name.
    pub pipelines: [String; 2],
    known: Mutex<HashMap<Named, (u64, u64)>>,
    clock: AtomicU64,
    brief: AtomicU64,
    large: AtomicU64,
}

/// Index, id and routing.
type Named = (String, String, Option<String>);

/// What the routed alias gives.
pub const ALIAS_ROUTING: &str = "r1";

/// What the picky index is called, and the field that only the backup has: known to whoever looks.
pub const PICKY: &str = "picky";
/// See [`PICKY`].
pub const MAPPED_BY_HAND: &str = "o.x";

impl World {
    /// Makes it on the primary.
    pub async fn make(stage: &Stage) -> Self {
        let world = Self {
            single: stage.index("single"),
            spread: stage.index("spread"),
            grown: stage.index("grown"),
            versions: stage.index("versions"),
            mixed: stage.index("mixed"),
            piped: stage.index("piped"),
            turned: stage.index("turned"),
            picky: stage.index(PICKY),
            alias: stage.index("alias"),
            routed_alias: stage.index("routed-alias"),
            pipelines: [stage.index("marks"), stage.index("counts")],
            known: Mutex::default(),
            clock: AtomicU64::new(1_000),
            brief: AtomicU64::new(0),
            large: AtomicU64::new(0),
        };
        let primary = stage.primary();
        let [marks, counts] = &world.pipelines;
        // A time stamp tells whether a pipeline ran twice.
        let stamp = json!({"set": {"field": "marked", "value": "{{_ingest.timestamp}}"}});
        put(&primary, &format!("/_ingest/pipeline/{marks}"), &json!({"processors": [stamp]})).await;
        let count = json!({"script": {"source": "ctx.counted = ctx.w.length()"}});
        put(&primary, &format!("/_ingest/pipeline/{counts}"), &json!({"processors": [count]})).await;
        for (index, shards, more) in [
            (&world.single, 1, json!({})),
            (&world.spread, 3, json!({})),
            // Deletes are forgotten soon, so that the versions of clients may fall after them.
            (&world.versions, 1, json!({"index.gc_deletes": "500ms"})),
            (&world.mixed, 1, json!({"index.gc_deletes": "500ms"})),
            (&world.turned, 1, json!({})),
            (&world.picky, 1, json!({})),
            (&world.piped, 1, json!({"index.default_pipeline": marks})),
        ] {
            let mut settings = json!({"index.number_of_shards": shards, "index.number_of_replicas": 0});
            if let (Some(settings), Value::Object(more)) = (settings.as_object_mut(), more) {
                settings.extend(more);
            }
            let mappings = json!({"properties": {
                "w": {"type": "keyword"}, "n": {"type": "long"}, "raw": {"type": "object", "enabled": false},
                "o": {"dynamic": false, "properties": {"y": {"type": "long"}}},
            }});
            put(&primary, &format!("/{index}"), &json!({"settings": settings, "mappings": mappings})).await;
        }
        let actions = json!({"actions": [
            {"add": {"index": world.spread, "alias": world.alias, "is_write_index": true}},
            {"add": {"index": world.single, "alias": world.alias, "is_write_index": false}},
            {"add": {"index": world.spread, "alias": world.routed_alias, "routing": ALIAS_ROUTING}},
        ]});
        primary.post("/_aliases", actions.to_string()).await.expect(200);
        world
    }

    /// Takes the pipelines away; indices go with the stage.
    pub async fn leave(&self, stage: &Stage) {
        for index in [&self.piped, &self.turned] {
            stage.primary().delete(&format!("/{index}")).await;
        }
        for pipeline in &self.pipelines {
            stage.primary().delete(&format!("/_ingest/pipeline/{pipeline}")).await;
        }
    }

    /// Remembers where a document was last seen, for conditional writes.
    pub fn note(&self, item: &Item, written: &Written) {
        let key = (item.index.clone(), written.id.clone(), item.routing.clone());
        self.known.lock().expect("no writer panics").insert(key, written.place());
    }

    /// Where a document was last seen: term and sequence number.
    pub fn place(&self, index: &str, id: &str, routing: Option<&str>) -> Option<(u64, u64)> {
        let key = (index.to_owned(), id.to_owned(), routing.map(str::to_owned));
        self.known.lock().expect("no writer panics").get(&key).copied()
    }

    /// An id that several writers get at about the same time, and nobody later: what goes wrong with it is not mended by the
    /// next write.
    pub fn brief_id(&self) -> String {
        const WRITES: u64 = 5;
        format!("brief-{}", self.brief.fetch_add(1, Ordering::Relaxed) / WRITES)
    }

    /// Whether there may be one more large document in this run.
    pub fn one_more_large(&self) -> bool {
        const MOST: u64 = 60;
        self.large.fetch_add(1, Ordering::Relaxed) < MOST
    }

    /// Maps the field `o.x` of the picky index on the backup, which has the index by now.
    pub async fn map_by_hand(&self, stage: &Stage, ignore_malformed: bool) {
        let field = json!({"type": "long", "ignore_malformed": ignore_malformed});
        let body = json!({"properties": {"o": {"properties": {"x": field}}}});
        put(&stage.backup(), &format!("/{}/_mapping", self.picky), &body).await;
    }

    /// The next version of clients.
    pub fn next_version(&self) -> u64 {
        self.clock.fetch_add(3, Ordering::Relaxed)
    }
}

async fn put(primary: &Http, path: &str, body: &Value) {
    primary.put(path, body.to_string()).await.expect(200);
}
