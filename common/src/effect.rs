//! An effect: the state that one document has after a write.

use bytes::Bytes;

use crate::{document::DocumentKey, record::encoded_len, version::PackedVersion};

/// What a write did to one document on the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Which document.
    pub key: DocumentKey,
    /// Its place in the primary's order. By it alone effects are ordered, collapsed and dropped.
    pub version: PackedVersion,
    /// The version that the client gave (`version_type` `external` or `external_gte`): then the target stores that one.
    pub client_version: Option<u64>,
    /// Read back from the primary, and not taken from the answer to a write. Of two effects with one version the observed
    /// one wins.
    pub observed: bool,
    /// What it is now.
    pub state: DocumentState,
}

/// The state of a document after a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentState {
    /// It exists, with this whole source: the client's own bytes, on one line.
    Put(Bytes),
    /// It does not exist.
    Deleted,
    /// It exists, with a source that is too large for the log: whoever applies it reads it from the primary.
    Reference,
}

impl Effect {
    /// One that the primary's answer to a write claims, without a version of the client's.
    #[must_use]
    pub fn claimed(key: DocumentKey, version: PackedVersion, state: DocumentState) -> Self {
        Self { key, version, client_version: None, observed: false, state }
    }

    /// The name of the action that brings it to a target.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match self.state {
            DocumentState::Put(_) | DocumentState::Reference => "index",
            DocumentState::Deleted => "delete",
        }
    }

    /// Bytes that its source takes in a record.
    #[must_use]
    pub fn source_len(&self) -> usize {
        match &self.state {
            DocumentState::Put(source) => source.len(),
            DocumentState::Deleted | DocumentState::Reference => 0,
        }
    }

    /// The same effect, or a reference to its document when its source does not fit into a record of so many bytes.
    #[must_use]
    pub fn fitting(&self, record_bytes: usize) -> Self {
        let key = &self.key;
        let bytes = encoded_len(&key.index, &key.id, key.routing.as_deref(), self.source_len());
        match self.state {
            DocumentState::Put(_) if bytes > record_bytes => Self { state: DocumentState::Reference, ..self.clone() },
            _ => self.clone(),
        }
    }

    /// What two effects of one document are compared by: the greater one wins.
    #[must_use]
    pub fn order(&self) -> (PackedVersion, bool) {
        (self.version, self.observed)
    }

    /// The version that a target stores.
    #[must_use]
    pub fn stored_version(&self) -> u64 {
        self.client_version.unwrap_or_else(|| self.version.raw())
    }

    /// How a target compares versions: an observation also replaces a claim of the same version.
    #[must_use]
    pub fn version_type(&self) -> &'static str {
        if self.observed && self.client_version.is_none() { "external_gte" } else { "external" }
    }
}
