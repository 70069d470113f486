//! Indices of the target, made from what the primary's are like.
//!
//! ```text
//! understudy.schema ─► follow ─► SchemaStore ─┐
//!                                             ├─► Preparer: look at the target's index, create, label or extend it
//! engine: this index, this mapping version ───┘
//! ```
//!
//! [`plan`] decides and does no I/O; [`prepare`] asks the target and waits.

pub mod follow;
pub mod plan;
pub mod prepare;
mod settings;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::watch;
use understudy_common::schema::IndexSchema;

use crate::engine::IndexId;

struct Stored {
    schema: Arc<IndexSchema>,
    value: Bytes,
    /// Metadata version of the last record under this key: what compaction would keep.
    last: u64,
}

/// The greatest schema of every index. Cheap to clone.
#[derive(Clone)]
pub struct SchemaStore {
    stored: Arc<Mutex<HashMap<IndexId, Stored>>>,
    /// UUIDs of indices whose clients gave versions of their own. What is in it stays.
    client_versions: Arc<Mutex<BTreeSet<Arc<str>>>>,
    changed: watch::Sender<u64>,
    loaded: Arc<AtomicBool>,
    position: Arc<AtomicI64>,
}

impl Default for SchemaStore {
    fn default() -> Self {
        Self {
            stored: Arc::default(),
            client_versions: Arc::default(),
            changed: watch::Sender::new(0),
            loaded: Arc::default(),
            position: Arc::default(),
        }
    }
}

impl SchemaStore {
    /// Takes a record in: of two for one index the greater metadata version counts, not the later.
    pub fn learn(&self, schema: IndexSchema, value: Bytes) {
        let id = IndexId { index: schema.index.clone(), uuid: schema.uuid.clone() };
        let last = schema.metadata_version;
        {
            let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
            match stored.get_mut(&id) {
                Some(known) => {
                    known.last = last;
                    if last > known.schema.metadata_version {
                        (known.schema, known.value) = (Arc::new(schema), value);
                    }
                }
                None => {
                    stored.insert(id, Stored { schema: Arc::new(schema), value, last });
                }
            }
        }
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Clients of the index with this UUID gave versions of their own.
    pub fn learn_client_versions(&self, uuid: Arc<str>) {
        self.client_versions.lock().unwrap_or_else(PoisonError::into_inner).insert(uuid);
    }

    /// UUIDs of the indices whose clients gave versions of their own.
    #[must_use]
    pub fn client_versions(&self) -> Vec<Arc<str>> {
        self.client_versions.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Every record of the topic before this offset is known.
    pub fn read_to(&self, offset: i64) {
        self.position.fetch_max(offset, Ordering::AcqRel);
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Whether every record of the topic before this offset is known.
    #[must_use]
    pub fn has_read_to(&self, offset: i64) -> bool {
        self.position.load(Ordering::Acquire) >= offset
    }

    /// What is known of an index.
    #[must_use]
    pub fn get(&self, id: &IndexId) -> Option<Arc<IndexSchema>> {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.get(id).map(|known| known.schema.clone())
    }

    /// The greatest mapping version of every index; nothing before the topic was read to its end once.
    #[must_use]
    pub fn versions(&self) -> Vec<(IndexId, u64)> {
        if !self.is_loaded() {
            return Vec::new();
        }
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.iter().map(|(id, known)| (id.clone(), known.schema.mapping_version)).collect()
    }

    /// The topic was read to its end.
    pub fn loaded(&self) {
        if !self.loaded.swap(true, Ordering::AcqRel) {
            self.changed.send_modify(|changes| *changes += 1);
        }
    }

    /// Whether the topic was read to its end once. Before, an older schema than the target has might be taken for the
    /// greatest.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// Told of every change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Records that compaction would lose, because a lower version stands behind them. They are handed out once.
    #[must_use]
    pub fn overtaken(&self) -> Vec<(String, Bytes)> {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let overtaken = stored.values_mut().filter(|known| known.last < known.schema.metadata_version);
        overtaken
            .map(|known| {
                known.last = known.schema.metadata_version;
                (known.schema.record_key(), known.value.clone())
            })
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn schema(metadata: u64, mappings: &str) -> IndexSchema {
        serde_json::from_value(serde_json::json!({
            "format": 1, "cluster": "primary", "epoch": 1, "index": "i", "uuid": "u",
            "metadata_version": metadata, "mapping_version": metadata, "settings_version": 1, "aliases_version": 1,
            "routing_num_shards": 1024, "settings": {}, "mappings": {}, "aliases": {}
        }))
        .map(|mut schema: IndexSchema| {
            schema.mappings = serde_json::from_str(mappings).unwrap();
            schema
        })
        .unwrap()
    }

    #[test]
    fn client_versions_are_remembered_and_so_is_how_far_was_read() {
        let store = SchemaStore::default();
        assert!(store.has_read_to(0) && !store.has_read_to(3));
        store.learn_client_versions("u".into());
        store.read_to(3);
        store.read_to(2);
        assert!(store.has_read_to(3) && !store.has_read_to(4));
        assert_eq!(store.client_versions(), ["u".into()]);
    }

    #[test]
    fn the_greatest_counts_and_is_saved_from_compaction() {
        let store = SchemaStore::default();
        let id = IndexId { index: "i".into(), uuid: "u".into() };
        let learn = |version| store.learn(schema(version, "{}"), Bytes::from(version.to_string()));
        learn(3);
        assert!(store.overtaken().is_empty());
        learn(2);
        assert_eq!(store.get(&id).unwrap().metadata_version, 3);
        assert_eq!(store.overtaken(), [("i/u".to_owned(), Bytes::from("3"))]);
        assert!(store.overtaken().is_empty(), "once");
        learn(3);
        learn(4);
        assert!(store.overtaken().is_empty());
        assert_eq!(store.get(&id).unwrap().metadata_version, 4);
    }
}
