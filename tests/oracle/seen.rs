//! What the judge is shown: both clusters, the log, offsets and intents, as a look at them told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything that was looked at. It can be written to a file and judged again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// The primary.
    pub primary: Side,
    /// The backup.
    pub backup: Side,
    /// Effects in the log, in the order of partitions and offsets.
    pub log: Vec<Published>,
    /// Records of the target's topic that cannot be read as effects.
    pub unreadable: Vec<String>,
    /// Dead letters upon which nobody has decided.
    pub dead: Vec<Letter>,
    /// Intents that are not settled, and the ids of their documents.
    pub open: BTreeMap<String, Vec<String>>,
    /// For each partition what is committed, and where it ends.
    pub offsets: BTreeMap<i32, (i64, i64)>,
    /// Where documents live.
    pub shards: Shards,
}

/// A cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Side {
    /// Its documents.
    pub documents: Vec<Document>,
    /// The type of each field, by index and path.
    pub fields: BTreeMap<String, BTreeMap<String, String>>,
}

/// A document as a search shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Index.
    pub index: String,
    /// Id.
    pub id: String,
    /// Routing.
    pub routing: Option<String>,
    /// Source, byte for byte.
    pub source: String,
    /// Version.
    pub version: u64,
    /// Primary term.
    pub term: u64,
    /// Sequence number.
    pub seq_no: u64,
}

/// An effect in the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Published {
    /// Partition.
    pub partition: i32,
    /// Offset of its record.
    pub offset: i64,
    /// When Kafka appended it, in milliseconds since 1970.
    pub appended: i64,
    /// When Kafka appended its ticket.
    pub ticket: i64,
    /// The request it belongs to.
    pub request: String,
    /// Who published it.
    pub gateway: String,
    /// Index.
    pub index: String,
    /// Id.
    pub id: String,
    /// Routing.
    pub routing: Option<String>,
    /// Version that orders it: epoch, term and sequence number in one.
    pub packed: u64,
    /// Version that the target stores.
    pub version: u64,
    /// Whether it was read back from the primary.
    pub observed: bool,
    /// The source; `None` for a delete.
    pub source: Option<String>,
    /// Whether its source must be read from the primary.
    pub reference: bool,
    /// Whether it came too late after its ticket to count.
    pub void: bool,
}

/// A dead letter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Letter {
    /// The effect that the target refused, where it can be read as one.
    pub effect: Option<Published>,
    /// Status of the refusal.
    pub status: String,
    /// Type of the error that the target named.
    pub error: String,
    /// All of it, for a reader.
    pub shown: String,
}

/// A document: in one shard an id is one document, whatever its routing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocumentKey {
    /// Index.
    pub index: String,
    /// Id.
    pub id: String,
    /// Number of the shard.
    pub shard: u32,
}

/// The shards that the primary names for routings, by index and routing (or id, where there is no routing).
///
/// What is not in it counts as shard 0: there are no two of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Shards(pub BTreeMap<String, BTreeMap<String, u32>>);

impl Shards {
    /// Names a document.
    pub fn key(&self, index: &str, id: &str, routing: Option<&str>) -> DocumentKey {
        let by = routing.unwrap_or(id);
        let shard = self.0.get(index).and_then(|known| known.get(by)).copied().unwrap_or_default();
        DocumentKey { index: index.to_owned(), id: id.to_owned(), shard }
    }
}

impl Document {
    /// Its place in the order of its shard.
    pub fn place(&self) -> (u64, u64) {
        (self.term, self.seq_no)
    }

    /// The write id that stands in it.
    pub fn write_id(&self) -> Option<String> {
        write_id(&self.source)
    }
}

impl Published {
    /// Epoch, term and sequence number.
    pub fn place(&self) -> (u64, u64, u64) {
        (self.packed >> 53, (self.packed >> 40) & 0x1fff, self.packed & 0xff_ffff_ffff)
    }
}

/// The write id of a source.
pub fn write_id(source: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Marked {
        w: Option<String>,
    }
    serde_json::from_str::<Marked>(source).ok()?.w
}

/// A source as a line of the log holds it: a line break can only stand between tokens, where a space means the same.
pub fn on_one_line(source: &str) -> String {
    source.trim().replace(['\n', '\r'], " ")
}

impl std::fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} (shard {})", self.index, self.id, self.shard)
    }
}
