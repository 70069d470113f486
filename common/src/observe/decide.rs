//! What a look at a document means. Pure.

use std::sync::Arc;

use bytes::Bytes;

use super::IndexSight;
use crate::{
    document::DocumentKey,
    effect::{DocumentState, Effect},
    version::PackedVersion,
};

/// What the primary copy answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// The document.
    Found {
        /// Its source, on one line.
        source: Bytes,
        /// Its sequence number.
        seq_no: u64,
        /// The routing that it was written with.
        routing: Option<Arc<str>>,
    },
    /// It does not exist.
    Missing,
    /// Nothing that would tell.
    Failed(String),
}

/// What was observed of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Its state.
    Effect(Effect),
    /// Nothing ever happened to it: there is nothing to be published.
    Nothing,
    /// It cannot be told now.
    Unknown(String),
}

/// A document, and what was seen of it and around it.
pub struct Question<'a> {
    /// Epoch of the placement.
    pub epoch: u64,
    /// The document.
    pub key: &'a DocumentKey,
    /// Its index before the look; `None` when there was none.
    pub before: Option<&'a IndexSight>,
    /// `max_seq_no` of the primary copy of its shard, read before the look.
    pub max_seq_no: Option<i64>,
    /// The look.
    pub looked: Looked,
    /// Its index after the look.
    pub after: Option<&'a IndexSight>,
    /// Whether a former primary of its shard can not be answering any more.
    pub rested: bool,
    /// A source that is larger becomes a reference.
    pub largest_source: usize,
}

/// What is known of the document by now.
#[must_use]
pub fn decide(question: Question<'_>) -> Observed {
    let Question { epoch, key, before, max_seq_no, looked, after, rested, largest_source } = question;
    let unknown = |reason: &str| Observed::Unknown(format!("{}: {reason}", key.record_key()));
    let (before, after) = match (before, after) {
        (None, None) => return Observed::Nothing,
        (Some(before), Some(after)) if before.state.uuid == after.state.uuid => (before, after),
        _ => return unknown("its index came, went or was made anew during the look"),
    };
    if !before.state.shards.is_valid() {
        return unknown("the shards of its index cannot be understood");
    }
    let shard = before.state.shards.shard_of(key);
    // `primary_look`, `term_twice`: one copy was the primary from before the look until after it.
    if !before.primaries.contains_key(&shard) || before.primaries.get(&shard) != after.primaries.get(&shard) {
        return unknown("its shard has no primary copy, or another one than before");
    }
    let term = match (before.state.terms.get(&shard), after.state.terms.get(&shard)) {
        (Some(before), Some(after)) if before == after => *after,
        _ => return unknown("its shard's primary term changed during the look"),
    };
    if !rested {
        return unknown("its shard's primary changed a short while ago, and the former one may still answer");
    }
    let (term, seq_no, routing, state) = match looked {
        Looked::Failed(reason) => return unknown(&reason),
        Looked::Found { source, seq_no, routing } => {
            let large = source.len() > largest_source;
            let state = if large { DocumentState::Reference } else { DocumentState::Put(source) };
            (term, seq_no, routing, state)
        }
        Looked::Missing => {
            let (term, seq_no) = match max_seq_no.map(u64::try_from) {
                None => return unknown("the greatest sequence number of its shard is not known"),
                Some(Ok(max)) => (term, max),
                // Nothing ever happened in its shard.
                Some(Err(_)) if epoch == 1 && term <= 1 => return Observed::Nothing,
                // Nothing that this primary knows of (`empty_shard`). But a target may have the document: from another
                // primary in an epoch before, or from a former copy, which lost the write when this one took its place.
                // This is newer than all that they wrote, and older than all that this one will write.
                Some(Err(_)) => (term.saturating_sub(1), PackedVersion::MAX_SEQ_NO),
            };
            (term, seq_no, key.routing.clone(), DocumentState::Deleted)
        }
    };
    match PackedVersion::pack(epoch, term, seq_no) {
        Ok(version) => Observed::Effect(Effect {
            key: DocumentKey { routing, ..key.clone() },
            version,
            client_version: None,
            observed: true,
            state,
        }),
        Err(error) => unknown(&error.to_string()),
    }
}

#[cfg(test)]
mod tests;
