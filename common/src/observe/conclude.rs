//! What a look at several documents means, with all that was seen around it. Pure.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tokio::time::Instant;

use super::{ClusterSight, Looked, Observation, Observed, Question, SeenCopy, Terms, decide};
use crate::{document::DocumentKey, record::IndexNeed};

/// `max_seq_no` of primary copies, by the UUID of their index and shard; -1 in an empty one.
pub type Greatest = HashMap<(Arc<str>, u32), i64>;

/// What was seen around a look.
pub struct Around<'a> {
    /// Epoch of the placement.
    pub epoch: u64,
    /// The cluster state before it.
    pub before: &'a ClusterSight,
    /// And after it.
    pub after: &'a ClusterSight,
    /// How long each shard has had its primary.
    pub terms: &'a Terms,
    /// When the look was over.
    pub now: Instant,
}

/// What is known of documents, of which a look found this, in order. `greatest` was read before the look.
#[must_use]
pub fn conclude(
    around: &Around<'_>,
    keys: &[DocumentKey],
    greatest: &Greatest,
    looked: Vec<Looked>,
    largest_source: usize,
) -> Observation {
    let Around { epoch, before, after, terms, now } = *around;
    let mut observation = Observation::default();
    let layouts = after.indices.iter().map(|(name, index)| (name.clone(), index.state.shards));
    observation.shards = layouts.collect();
    for (key, looked) in keys.iter().zip(looked) {
        let (before, after) = (before.indices.get(&key.index), after.indices.get(&key.index));
        let shard = before.map_or(0, |index| index.state.shards.shard_of(key));
        let rested = before.is_some_and(|index| {
            index.single_copies
                || index.state.terms.get(&shard).is_some_and(|term| terms.rested(&index.state.uuid, shard, *term, now))
        });
        let max_seq_no = before.and_then(|index| greatest.get(&(index.state.uuid.clone(), shard)).copied());
        let found = decide(Question { epoch, key, before, max_seq_no, looked, after, rested, largest_source });
        if let (Some(index), Observed::Effect(effect)) = (after, &found) {
            let need = IndexNeed {
                uuid: index.state.uuid.clone(),
                mapping: index.state.mapping_version,
                shards: index.state.shards,
            };
            observation.indices.insert(effect.key.index.clone(), need);
        }
        if let (Some(index), Observed::Effect(_) | Observed::Nothing) = (after, &found) {
            observation.copies.insert(SeenCopy {
                index: key.index.clone(),
                uuid: index.state.uuid.clone(),
                shard,
                term: index.state.terms.get(&shard).copied().unwrap_or(0),
            });
        }
        observation.found.push(found);
    }
    observation
}

/// Whether those copies are still the primaries of their shards (`second_look`). An index that is gone is as good: nothing
/// of it is there to be replicated.
#[must_use]
pub fn still(copies: &BTreeSet<SeenCopy>, now: &ClusterSight) -> bool {
    copies.iter().all(|copy| {
        now.indices
            .get(&copy.index)
            .is_none_or(|index| index.state.uuid == copy.uuid && index.state.terms.get(&copy.shard) == Some(&copy.term))
    })
}
