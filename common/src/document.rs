//! How a document is named, and which partition carries its effects.

use std::sync::Arc;

/// A document of a cluster: its concrete index, its id, and its routing when it has one.
///
/// The same id under two routings is two documents (they may live in two shards).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentKey {
    /// Concrete index, never an alias.
    pub index: Arc<str>,
    /// `_id`.
    pub id: Arc<str>,
    /// `routing`, when the write gave one.
    pub routing: Option<Arc<str>>,
}

impl DocumentKey {
    /// The key of a Kafka record that begins with an effect of this document: `index/_id`.
    #[must_use]
    pub fn record_key(&self) -> String {
        format!("{}/{}", self.index, self.id)
    }

    /// The partition, out of `partitions`, that carries every effect of this document.
    ///
    /// Routing plays no part, so that a reader of the log can find a document by index and id alone.
    #[must_use]
    pub fn partition(&self, partitions: i32) -> i32 {
        /// Bytes of keys that are hashed where they stand.
        const SHORT: usize = 256;
        let (index, id) = (self.index.as_bytes(), self.id.as_bytes());
        let len = index.len() + 1 + id.len();
        let mut key = [0; SHORT];
        match key.get_mut(..len) {
            Some(key) => {
                key[..index.len()].copy_from_slice(index);
                key[index.len()] = b'/';
                key[index.len() + 1..].copy_from_slice(id);
                partition_of(key, partitions)
            }
            None => partition_of(self.record_key().as_bytes(), partitions),
        }
    }
}

/// The partition that Kafka's own default partitioner chooses for `key`: `toPositive(murmur2(key)) % partitions`.
#[must_use]
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & 0x7fff_ffff) as i32 % partitions
}

/// Kafka's murmur2 (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_is_that_of_kafka() {
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
    }

    #[test]
    fn a_document_goes_where_its_record_key_does() {
        for len in [0, 1, 250, 254, 255, 300] {
            let key = DocumentKey { index: "i".into(), id: "x".repeat(len).into(), routing: None };
            assert_eq!(key.partition(12), partition_of(key.record_key().as_bytes(), 12), "{len}");
        }
    }

    #[test]
    fn routing_does_not_move_a_document_to_another_partition() {
        let plain = DocumentKey { index: "i".into(), id: "7".into(), routing: None };
        let routed = DocumentKey { routing: Some("r".into()), ..plain.clone() };
        assert_eq!(plain.partition(12), routed.partition(12));
    }
}
