//! An effect: the state that one document has after a write.

use bytes::Bytes;

use crate::{document::DocumentKey, version::PackedVersion};

/// What a write did to one document on the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Which document.
    pub key: DocumentKey,
    /// Its place in the primary's order; also the external version on targets.
    pub version: PackedVersion,
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
}

impl Effect {
    /// The name of the action that brings it to a target.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match self.state {
            DocumentState::Put(_) => "index",
            DocumentState::Deleted => "delete",
        }
    }

    /// Bytes that its source takes in a record.
    #[must_use]
    pub fn source_len(&self) -> usize {
        match &self.state {
            DocumentState::Put(source) => source.len(),
            DocumentState::Deleted => 0,
        }
    }
}
