//! The ledger by documents: who tried what with each, and what he was told.

use std::collections::BTreeMap;

use crate::{
    ledger::{Entry, Item, Outcome},
    seen::{DocumentKey, Shards},
};

/// One write of one document.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What it wanted.
    pub item: Item,
    /// The request it was part of.
    pub write: String,
    /// When the request was sent, in milliseconds since 1970.
    pub sent: i64,
    /// When its end was known.
    pub answered: Option<i64>,
    /// What became of it.
    pub outcome: Outcome,
}

/// All writes, by write id and by document.
#[derive(Clone, Debug, Default)]
pub struct Histories {
    attempts: BTreeMap<String, Attempt>,
    documents: BTreeMap<DocumentKey, Vec<String>>,
}

impl Histories {
    /// Sorts a ledger. What was sent and has no answer is of unknown outcome.
    pub fn of(entries: &[Entry], shards: &Shards) -> Self {
        let mut histories = Self::default();
        let mut answers = BTreeMap::new();
        for entry in entries {
            if let Entry::Answered(answered) = entry {
                answers.insert(answered.write.as_str(), answered);
            }
        }
        for entry in entries {
            let Entry::Sent(sent) = entry else { continue };
            let answered = answers.get(sent.write.as_str());
            for (place, item) in sent.items.iter().enumerate() {
                let outcome = answered.and_then(|answered| answered.outcomes.get(place)).cloned();
                let attempt = Attempt {
                    item: item.clone(),
                    write: sent.write.clone(),
                    sent: sent.at,
                    answered: answered.map(|answered| answered.at),
                    outcome: outcome.unwrap_or_else(|| Outcome::Unknown("the run ended before".to_owned())),
                };
                histories.add(attempt, shards);
            }
        }
        histories
    }

    fn add(&mut self, attempt: Attempt, shards: &Shards) {
        if let Some(key) = attempt.key(shards) {
            self.documents.entry(key).or_default().push(attempt.item.w.clone());
        }
        self.attempts.insert(attempt.item.w.clone(), attempt);
    }

    /// The write with an id.
    pub fn by_write_id(&self, w: &str) -> Option<&Attempt> {
        self.attempts.get(w)
    }

    /// Every document of the ledger whose id is known.
    pub fn documents(&self) -> impl Iterator<Item = &DocumentKey> {
        self.documents.keys()
    }

    /// The writes of a document.
    pub fn of_document(&self, key: &DocumentKey) -> impl Iterator<Item = &Attempt> {
        self.documents.get(key).into_iter().flatten().filter_map(|w| self.attempts.get(w))
    }

    /// Every write.
    pub fn all(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.values()
    }
}

impl Attempt {
    /// The document, where its id is known: given by the client, or told by the gateway.
    pub fn key(&self, shards: &Shards) -> Option<DocumentKey> {
        let told = self.outcome.written();
        let index = told.map_or(&self.item.index, |written| &written.index);
        let id = self.item.id.as_ref().or(told.map(|written| &written.id))?;
        Some(shards.key(index, id, self.item.routing.as_deref()))
    }
}
