//! The records of `understudy.target.<name>`: what is written there, and how it is read back.
//!
//! ```text
//! effects ─ encode ─► OutgoingRecord (partition, key, value, headers) ─► Kafka ─► decode ─► EffectsRecord
//! ```
//!
//! The value is a valid `_bulk` body that could be posted to a target as it stands; everything else a consumer must know
//! is in the headers:
//!
//! | header | value |
//! |---|---|
//! | `understudy-format` | `1` |
//! | `understudy-kind` | `effects` (later also `barrier`, `marker`) |
//! | `understudy-request` | id of the client's request |
//! | `understudy-ticket` | append time of its intent, milliseconds since 1970 by the broker's clock |
//! | `understudy-answered` | when the primary answered, milliseconds since 1970 by the gateway's clock |
//! | `understudy-epoch` | the epoch of the placement |
//! | `understudy-gateway` | name of the gateway |
//! | `understudy-indices` | `{"flights":{"uuid":"…","mapping":3,"shards":{"number":1,"routing":1024,"partition":1}}}`: for each index its UUID, the mapping version needed, and how it spreads documents |
//! | `understudy-lines` | absent, or `{"0":{"packed":…,"observed":true,"reference":true}}` for operations that need it |

mod decode;
mod encode;
mod lateness;

use std::{collections::BTreeMap, sync::Arc};

pub use decode::{Unreadable, decode};
pub use encode::{OutgoingRecord, bulk_body, encode, encoded_len, largest_source};
pub use lateness::is_void;
use serde::{Deserialize, Serialize};

use crate::{
    effect::{DocumentState, Effect},
    shard::ShardLayout,
};

/// The format version that this code writes and reads.
pub const FORMAT: &str = "1";

/// Names of headers.
pub mod header {
    /// Format version.
    pub const FORMAT: &str = "understudy-format";
    /// Kind of the record.
    pub const KIND: &str = "understudy-kind";
    /// Id of the client's request.
    pub const REQUEST: &str = "understudy-request";
    /// Append time of the ticket.
    pub const TICKET: &str = "understudy-ticket";
    /// Time of the primary's answer.
    pub const ANSWERED: &str = "understudy-answered";
    /// Epoch.
    pub const EPOCH: &str = "understudy-epoch";
    /// Name of the gateway.
    pub const GATEWAY: &str = "understudy-gateway";
    /// UUID and needed mapping version of each index.
    pub const INDICES: &str = "understudy-indices";
    /// What single operations need beside the version in their line.
    pub const LINES: &str = "understudy-lines";
}

/// Names of headers that a dead letter has beside those of its record.
pub mod dead_header {
    /// Status of the target's answer, 0 where there was none.
    pub const STATUS: &str = "understudy-dead-status";
    /// Type of the error.
    pub const TYPE: &str = "understudy-dead-type";
    /// Its text, cut.
    pub const REASON: &str = "understudy-dead-reason";
    /// The topic it comes from.
    pub const TOPIC: &str = "understudy-dead-topic";
    /// The partition it comes from.
    pub const PARTITION: &str = "understudy-dead-partition";
    /// The offset it comes from.
    pub const OFFSET: &str = "understudy-dead-offset";
    /// Present when the record is too large to be kept beside its reason: it stands where the other headers say, for as long
    /// as the target's topic keeps it.
    pub const REFERENCE: &str = "understudy-dead-reference";
}

/// Where the effects of a record come from: the same for all records of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Id of the client's request.
    pub request: Arc<str>,
    /// Append time of the request's intent, by the broker's clock, in milliseconds.
    pub ticket_ms: i64,
    /// When the primary answered, by the gateway's clock, in milliseconds.
    pub answered_ms: i64,
    /// Epoch of the placement.
    pub epoch: u64,
    /// Name of the gateway.
    pub gateway: Arc<str>,
}

/// What an effect needs of its index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexNeed {
    /// UUID of the index on the primary.
    pub uuid: Arc<str>,
    /// The mapping version on the primary that knows every field of the effects.
    pub mapping: u64,
    /// How the index spreads its documents: who reads the log can tell whether two effects are of one document.
    pub shards: ShardLayout,
}

/// What an operation of a record needs beside the version in its action line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// The packed version, where the action line has the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    packed: Option<u64>,
    /// It was read back from the primary.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    observed: bool,
    /// Its source is to be read from the primary.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    reference: bool,
}

impl Line {
    fn of(effect: &Effect) -> Self {
        Self {
            packed: effect.client_version.map(|_| effect.version.raw()),
            observed: effect.observed,
            reference: effect.state == DocumentState::Reference,
        }
    }

    fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// A record of effects, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectsRecord {
    /// Where it comes from.
    pub provenance: Provenance,
    /// Each index of its effects.
    pub indices: BTreeMap<Arc<str>, IndexNeed>,
    /// The effects, in the order of the request.
    pub effects: Vec<Effect>,
}

#[cfg(test)]
mod tests;
