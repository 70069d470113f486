//! How long each shard has had its primary.
//!
//! A copy that was demoted may go on answering until it learns of it, and may go on writing to the copy that took its place
//! until that one does. So what is read under a new primary term counts only when the term has been seen for longer than
//! that can last (`term_rests`). A first term has no predecessor.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// When each shard's primary term was first seen by this process.
pub struct Terms {
    rest: Duration,
    seen: Mutex<HashMap<Arc<str>, Shards>>,
}

/// By shard: its term, and when it was first seen.
type Shards = BTreeMap<u32, (u64, Instant)>;

/// The term of a shard that never had another primary.
const FIRST: u64 = 1;
/// Indices that are remembered; past it everything begins to rest anew, which is safe.
const REMEMBERED: usize = 20_000;

impl Terms {
    /// None was seen yet; each must have been seen for `rest`.
    #[must_use]
    pub fn new(rest: Duration) -> Self {
        Self { rest, seen: Mutex::default() }
    }

    /// Notes the terms of an index, as a cluster state shows them at `now`.
    pub fn note(&self, uuid: &Arc<str>, terms: &BTreeMap<u32, u64>, now: Instant) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED && !seen.contains_key(uuid) {
            seen.clear();
        }
        let known = seen.entry(uuid.clone()).or_default();
        for (shard, term) in terms {
            let (first, since) = known.entry(*shard).or_insert((*term, now));
            if first != term {
                (*first, *since) = (*term, now);
            }
        }
    }

    /// Whether this term of a shard has been seen for long enough at `now`.
    #[must_use]
    pub fn rested(&self, uuid: &str, shard: u32, term: u64, now: Instant) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let since = seen.get(uuid).and_then(|shards| shards.get(&shard)).filter(|(seen, _)| *seen == term);
        term == FIRST || since.is_some_and(|(_, since)| now.duration_since(*since) >= self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_counts_after_its_rest_and_the_first_one_at_once() {
        let terms = Terms::new(Duration::from_secs(90));
        let (uuid, begun) = (Arc::from("u"), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        let note = |shard, term, seconds| terms.note(&uuid, &BTreeMap::from([(shard, term)]), at(seconds));
        assert!(terms.rested("u", 0, 1, at(0)), "the first term");
        assert!(!terms.rested("u", 0, 2, at(500)), "never seen");
        note(0, 2, 0);
        note(0, 2, 80);
        assert!(!terms.rested("u", 0, 2, at(89)));
        assert!(terms.rested("u", 0, 2, at(90)), "since it was first seen");
        assert!(!terms.rested("u", 1, 2, at(90)), "another shard");
        note(0, 3, 100);
        assert!(!terms.rested("u", 0, 3, at(189)));
        assert!(!terms.rested("u", 0, 2, at(1_000)), "an older one is of no use any more");
        assert!(terms.rested("u", 0, 3, at(190)));
    }
}
