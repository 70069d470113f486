//! Which shard holds a document.
//!
//! Two documents of one id under two routings are two documents when they live in two shards, and one when both routings
//! lead to the same shard: Elasticsearch keeps one document an id in a shard. So whoever must know whether two effects are
//! of the same document asks for the shard.

use serde::{Deserialize, Serialize};

use crate::document::DocumentKey;

/// How an index spreads its documents. It never changes for one UUID: a split or a shrink makes another index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardLayout {
    /// `index.number_of_shards`.
    pub number: u32,
    /// `routing_num_shards` of its metadata: what ids are hashed over.
    pub routing: u32,
    /// `index.routing_partition_size`.
    pub partition: u32,
}

impl ShardLayout {
    /// Whether it is one that an index can have.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.number > 0 && self.partition > 0 && self.routing >= self.number && i32::try_from(self.routing).is_ok()
    }

    /// The shard of a document (`OperationRouting.generateShardId` of Elasticsearch 7, `IndexRouting` of 8).
    #[must_use]
    pub fn shard_of(&self, key: &DocumentKey) -> u32 {
        if self.number <= 1 || !self.is_valid() {
            return 0;
        }
        let offset = if self.partition > 1 { hash(&key.id).rem_euclid(self.partition as i32) } else { 0 };
        let hash = hash(key.routing.as_deref().unwrap_or(&key.id)).wrapping_add(offset);
        let factor = self.routing / self.number;
        hash.rem_euclid(self.routing as i32) as u32 / factor
    }
}

/// `Murmur3HashFunction.hash`: murmur3 (x86, 32 bits, seed 0) over the UTF-16 units of a text, low byte first.
fn hash(text: &str) -> i32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    let mix = |k: u32| k.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
    let units: Vec<u16> = text.encode_utf16().collect();
    let mut hash = 0u32;
    let mut pairs = units.chunks_exact(2);
    for pair in &mut pairs {
        hash ^= mix(u32::from(pair[0]) | u32::from(pair[1]) << 16);
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    if let [last] = pairs.remainder() {
        hash ^= mix(u32::from(*last));
    }
    hash ^= 2 * units.len() as u32;
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    (hash ^ hash >> 16) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Elasticsearch's own `Murmur3HashFunctionTests`.
    #[test]
    fn hashes_are_those_of_elasticsearch() {
        for (text, wanted) in [
            ("hell", 0x5a0c_b7c3_u32),
            ("hello", 0xd7c3_1989),
            ("hello w", 0x22ab_2984),
            ("hello wo", 0xdf0c_a123),
            ("hello wor", 0xe774_4d61),
            ("The quick brown fox jumps over the lazy dog", 0xe07d_b09c),
            ("The quick brown fox jumps over the lazy cog", 0x4e63_d2ad),
        ] {
            assert_eq!(hash(text) as u32, wanted, "{text}");
        }
    }

    #[test]
    fn one_shard_holds_everything() {
        let key =
            |routing: Option<&str>| DocumentKey { index: "i".into(), id: "1".into(), routing: routing.map(Into::into) };
        let one = ShardLayout { number: 1, routing: 1024, partition: 1 };
        assert_eq!((one.shard_of(&key(None)), one.shard_of(&key(Some("a")))), (0, 0));
        let many = ShardLayout { number: 5, routing: 640, partition: 1 };
        let shards: std::collections::BTreeSet<u32> =
            (0..50).map(|routing| many.shard_of(&key(Some(&routing.to_string())))).collect();
        assert_eq!(shards.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }
}
