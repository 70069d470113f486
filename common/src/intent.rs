//! Records of `understudy.intents`: writes in progress. Keyed by request id; settled by a tombstone under the same key.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

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
    /// `[index, id]` or `[index, id, routing]` of every document, as the request names them.
    pub documents: Vec<IntentDocument>,
}

/// One document of an intent: `[index, id]` or `[index, id, routing]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntentDocument {
    /// With routing.
    Routed(String, String, String),
    /// Without.
    Plain(String, String),
}

impl Intent {
    /// The format that this build writes.
    pub const FORMAT: u32 = 1;
}
