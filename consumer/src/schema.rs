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
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
pub(crate) use settings::{SHAPE, full_name};
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
    changed: watch::Sender<u64>,
    loaded: Arc<AtomicBool>,
}

impl Default for SchemaStore {
    fn default() -> Self {
        Self { stored: Arc::default(), changed: watch::Sender::new(0), loaded: Arc::default() }
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
