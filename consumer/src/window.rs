//! The window: the greatest version of every document in the last stretch of a partition's log.
//!
//! Two effects of one document may stand the wrong way round in the log, at most `W` of log time apart (what is later
//! counts for nothing, see [`understudy_common::record::is_void`]). A target cannot put them right by itself, for it
//! forgets deletes. So whoever applies a partition remembers `W` of it, and drops what is older than what it remembers.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hasher,
    time::Duration,
};

use siphasher::sip128::{Hasher128, SipHasher13};
use understudy_common::{
    document::DocumentKey,
    planted::{Bug, planted},
    shard::ShardLayout,
    version::PackedVersion,
};

/// Names documents by 128 bits. Keyed at random, so that nobody can choose ids that collide.
#[derive(Clone, Copy)]
pub struct DocumentHasher(SipHasher13);

impl DocumentHasher {
    /// With a key of 128 random bits.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(&key))
    }

    /// The name of a document of the index with this UUID and these shards.
    ///
    /// The shard stands in it and not the routing: in one shard an id is one document, whatever its routing was.
    #[must_use]
    pub fn name(&self, uuid: &str, shards: ShardLayout, key: &DocumentKey) -> u128 {
        let mut hasher = self.0;
        // Lengths go first, so that no two keys have one encoding.
        for part in [&*key.index, uuid, &*key.id] {
            hasher.write_u64(part.len() as u64);
            hasher.write(part.as_bytes());
        }
        hasher.write_u32(shards.shard_of(key));
        hasher.finish128().as_u128()
    }
}

/// What effects of one document are compared by: their version, and whether it was read back from the primary.
pub type Order = (PackedVersion, bool);

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    order: Order,
    at_ms: i64,
}

/// What a consumer remembers of one partition.
#[derive(Debug)]
pub struct Window {
    width_ms: i64,
    latest_ms: i64,
    documents: HashMap<u128, Seen>,
    by_time: VecDeque<(i64, u128)>,
}

impl Window {
    /// An empty window of this width of log time.
    #[must_use]
    pub fn new(width: Duration) -> Self {
        Self { width_ms: millis(width), latest_ms: i64::MIN, documents: HashMap::new(), by_time: VecDeque::new() }
    }

    /// Passes an effect, appended at `at_ms`, in the order of the log. `false`: a greater version of its document was
    /// seen before, and it must be dropped. An equal one passes (it is the same effect, delivered again), unless it is only
    /// claimed and the other was read back from the primary: versions on the target would mostly tell that too, but not
    /// where clients give their own (`observation_wins`).
    ///
    /// A void effect must never come here: it would hide what counts.
    pub fn pass(&mut self, document: u128, order: Order, at_ms: i64) -> bool {
        if self.is_older(document, order, at_ms) {
            return false;
        }
        self.documents.insert(document, Seen { order, at_ms });
        self.by_time.push_back((at_ms, document));
        true
    }

    /// Whether [`Window::pass`] would drop it.
    pub fn is_older(&mut self, document: u128, order: Order, at_ms: i64) -> bool {
        if planted(Bug::NoWindow) {
            return false;
        }
        self.expire(at_ms);
        let Some(seen) = self.documents.get_mut(&document).filter(|seen| seen.order > order) else { return false };
        if seen.order.0 == order.0 {
            // The same state once more: what is older may come as long after this record as after the other.
            seen.at_ms = seen.at_ms.max(at_ms);
            self.by_time.push_back((at_ms, document));
        }
        true
    }

    /// Whether something greater is known of a document.
    #[must_use]
    pub fn outranks(&self, document: u128, order: Order) -> bool {
        self.documents.get(&document).is_some_and(|seen| seen.order > order)
    }

    /// Number of documents that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Forgets what is further back than the width. Brokers' clocks may step back a little; time here does not.
    fn expire(&mut self, at_ms: i64) {
        self.latest_ms = self.latest_ms.max(at_ms);
        let oldest = self.latest_ms.saturating_sub(self.width_ms);
        while let Some(&(at_ms, document)) = self.by_time.front() {
            if at_ms >= oldest {
                return;
            }
            self.by_time.pop_front();
            // A document that was seen again since stands further back in the queue as well.
            if self.documents.get(&document).is_some_and(|seen| seen.at_ms < oldest) {
                self.documents.remove(&document);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const L: Duration = Duration::from_secs(60);

    fn claim(seq_no: u64) -> Order {
        (PackedVersion::pack(1, 1, seq_no).unwrap(), false)
    }

    fn key(index: &str, id: &str, routing: Option<&str>) -> DocumentKey {
        DocumentKey { index: index.into(), id: id.into(), routing: routing.map(Into::into) }
    }

    #[test]
    fn older_is_dropped_equal_and_newer_pass() {
        let mut window = Window::new(L);
        assert!(window.pass(7, claim(5), 1_000));
        assert!(!window.pass(7, claim(4), 2_000));
        assert!(window.pass(7, claim(5), 3_000));
        assert!(window.pass(7, claim(6), 4_000));
        assert!(!window.pass(7, claim(5), 5_000));
        assert!(window.pass(8, claim(1), 5_000));
    }

    #[test]
    fn a_claim_is_outranked_by_what_was_read_back() {
        let mut window = Window::new(L);
        let observed = (claim(5).0, true);
        assert!(window.pass(7, observed, 1_000));
        assert!(!window.pass(7, claim(5), 2_000) && window.outranks(7, claim(5)));
        assert!(window.pass(7, observed, 3_000));
        assert!(!window.pass(7, claim(5), 40_000));
        assert!(!window.pass(7, claim(4), 90_000), "remembered since it was claimed");
        assert!(window.pass(7, claim(6), 90_000));
    }

    #[test]
    fn what_is_further_back_than_the_width_is_forgotten() {
        let mut window = Window::new(L);
        assert!(window.pass(7, claim(5), 0));
        assert!(!window.pass(7, claim(4), 60_000), "exactly the width is remembered");
        assert!(window.pass(9, claim(1), 60_001));
        assert_eq!(window.len(), 1);
        assert!(window.pass(7, claim(5), 60_001));
        assert!(window.pass(7, claim(6), 100_000));
        assert!(window.pass(9, claim(1), 160_000));
        assert!(!window.pass(7, claim(5), 160_000), "seen again at 100 s");
        assert_eq!(window.len(), 2);
        assert!(window.by_time.len() <= 3);
    }

    #[test]
    fn a_clock_that_steps_back_forgets_nothing() {
        let mut window = Window::new(L);
        assert!(window.pass(7, claim(5), 100_000));
        assert!(!window.pass(7, claim(4), 95_000));
        assert!(!window.pass(7, claim(4), 160_000));
    }

    #[test]
    fn names_of_documents_are_unambiguous() {
        let hasher = DocumentHasher::new([7; 16]);
        let one = ShardLayout { number: 1, routing: 128, partition: 1 };
        let names = [
            hasher.name("u", one, &key("i", "7", None)),
            hasher.name("v", one, &key("i", "7", None)),
            hasher.name("u", one, &key("iu", "7", None)),
            hasher.name("", one, &key("iu", "7", None)),
            hasher.name("u", one, &key("i", "7r", None)),
        ];
        assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), names.len());
        assert_ne!(names[0], DocumentHasher::new([8; 16]).name("u", one, &key("i", "7", None)));
    }

    #[test]
    fn an_id_is_one_document_in_a_shard_whatever_its_routing_was() {
        let hasher = DocumentHasher::new([7; 16]);
        let names = |number| {
            let shards = ShardLayout { number, routing: number * 128, partition: 1 };
            let routings = [None, Some("a"), Some("b"), Some("c"), Some("d"), Some("e"), Some("f"), Some("g")];
            let names: std::collections::HashSet<u128> =
                routings.into_iter().map(|routing| hasher.name("u", shards, &key("i", "7", routing))).collect();
            names.len()
        };
        assert_eq!(names(1), 1);
        assert_eq!(names(2), 2);
    }
}
