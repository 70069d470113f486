//! Ids for documents to which the client gave none, made as Elasticsearch makes them.

use std::sync::{
    Mutex,
    atomic::{AtomicU32, Ordering},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use understudy_common::process::now_ms;

/// Makes ids of 20 characters: time, sequence and a random host part, laid out like `TimeBasedUUIDGenerator`'s, so that
/// ids made one after the other share bytes where Lucene's terms compress best.
pub struct IdGenerator {
    host: [u8; 6],
    sequence: AtomicU32,
    last_ms: Mutex<i64>,
}

impl IdGenerator {
    /// A generator whose ids no other one makes.
    ///
    /// # Panics
    /// When the system has no random numbers.
    #[must_use]
    pub fn new() -> Self {
        let mut seed = [0u8; 10];
        getrandom::fill(&mut seed).expect("the system has random numbers");
        let [a, b, c, d, host @ ..] = seed;
        Self { host, sequence: AtomicU32::new(u32::from_le_bytes([a, b, c, d])), last_ms: Mutex::new(0) }
    }

    /// The next id.
    pub fn next(&self) -> String {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) & 0x00ff_ffff;
        let timestamp = {
            // Time never goes back, and moves on when the sequence begins anew.
            let mut last = self.last_ms.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *last = (*last).max(now_ms()) + i64::from(sequence == 0);
            *last
        };
        let mut bytes = [0u8; 15];
        bytes[0] = sequence as u8;
        bytes[1] = (sequence >> 16) as u8;
        bytes[2] = (timestamp >> 16) as u8;
        bytes[3] = (timestamp >> 24) as u8;
        bytes[4] = (timestamp >> 32) as u8;
        bytes[5] = (timestamp >> 40) as u8;
        bytes[6..12].copy_from_slice(&self.host);
        bytes[12] = (timestamp >> 8) as u8;
        bytes[13] = (sequence >> 8) as u8;
        bytes[14] = timestamp as u8;
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }
}

impl Default for IdGenerator {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_twenty_characters_and_never_the_same() {
        let (one, two) = (IdGenerator::new(), IdGenerator::new());
        let ids: std::collections::HashSet<String> = (0..10_000).flat_map(|_| [one.next(), two.next()]).collect();
        assert_eq!(ids.len(), 20_000);
        assert!(ids.iter().all(|id| id.len() == 20));
    }
}
