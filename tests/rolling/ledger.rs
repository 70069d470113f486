//! What was acknowledged, and whether a cluster has it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use understudy_tests::Http;

/// Documents by their ids, as they were acknowledged last.
#[derive(Default)]
pub struct Ledger(Mutex<BTreeMap<String, Value>>);

/// Documents that are looked at with one request.
const AT_ONCE: usize = 1_000;

impl Ledger {
    /// A write was acknowledged.
    pub fn note(&self, id: String, source: Value) {
        self.documents().insert(id, source);
    }

    /// How many documents were acknowledged.
    pub fn len(&self) -> usize {
        self.documents().len()
    }

    /// The ids of those that a cluster does not have as they were acknowledged.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn missing(&self, cluster: &Http, index: &str) -> Vec<String> {
        let all = self.documents().clone();
        let mut missing = Vec::new();
        for part in all.iter().collect::<Vec<_>>().chunks(AT_ONCE) {
            let ids: Vec<&String> = part.iter().map(|(id, _)| *id).collect();
            let found =
                cluster.post(&format!("/{index}/_mget"), json!({"ids": ids}).to_string()).await.expect(200).json();
            let found = found["docs"].as_array().expect("documents").clone();
            assert_eq!(found.len(), part.len());
            let lacks = part.iter().zip(&found).filter(|((_, source), found)| found["_source"] != **source);
            missing.extend(lacks.map(|((id, _), _)| (*id).clone()));
        }
        missing
    }

    fn documents(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
