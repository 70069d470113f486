//! Records of `understudy.intents`: writes in progress. Keyed by request id; settled by a tombstone under the same key.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::document::DocumentKey;

/// What a write is about to touch, appended before the primary is. By it others finish the write if its gateway dies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Format version of this record.
    pub format: u32,
    /// Name of the gateway.
    pub gateway: Arc<str>,
    /// Epoch of the placement when the write began.
    pub epoch: u64,
    /// The cluster that is written.
    pub primary: Arc<str>,
    /// The clusters whose topics get the effects.
    pub targets: Vec<Arc<str>>,
    /// `[index, id]` or `[index, id, routing]` of every document. Concrete indices where they were known.
    pub documents: Vec<IntentDocument>,
    /// Concrete indices that were named through aliases, and those: an alias may have turned to another index before the
    /// write arrived.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<Arc<str>, Vec<Arc<str>>>,
}

/// What the keys of tickets begin with that are no intents: who looks at documents dates his look by them.
pub const LOOK_PREFIX: &str = "look/";

/// The key of a ticket for a look.
#[must_use]
pub fn look_key(name: &str, partition: i32) -> String {
    format!("{LOOK_PREFIX}{name}/{partition}")
}

/// One document of an intent: `[index, id]` or `[index, id, routing]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntentDocument {
    /// With routing.
    Routed(Arc<str>, Arc<str>, Arc<str>),
    /// Without.
    Plain(Arc<str>, Arc<str>),
}

impl From<DocumentKey> for IntentDocument {
    fn from(key: DocumentKey) -> Self {
        match key.routing {
            Some(routing) => Self::Routed(key.index, key.id, routing),
            None => Self::Plain(key.index, key.id),
        }
    }
}

impl From<IntentDocument> for DocumentKey {
    fn from(document: IntentDocument) -> Self {
        match document {
            IntentDocument::Routed(index, id, routing) => Self { index, id, routing: Some(routing) },
            IntentDocument::Plain(index, id) => Self { index, id, routing: None },
        }
    }
}

impl Intent {
    /// The format that this build writes.
    pub const FORMAT: u32 = 1;
}
