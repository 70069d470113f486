//! Which documents letters wait for, and what is known of them by now. Pure.

use std::collections::{BTreeMap, BTreeSet};

use understudy_common::document::DocumentKey;

use crate::dead_letters::letter::{Letter, LetterId};

/// What was published of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Its state on the primary.
    Present,
    /// That it does not exist on the primary.
    Deleted,
    /// Nothing: the primary never had it, or has its index no more.
    Nothing,
}

/// Letters that are being redriven.
#[derive(Default)]
pub struct Tasks {
    letters: Vec<(Letter, Vec<DocumentKey>)>,
    told: BTreeMap<DocumentKey, Told>,
    /// Why a document cannot be told.
    unknown: BTreeMap<DocumentKey, String>,
    marked: BTreeSet<LetterId>,
    /// Letters that cannot be redriven at all, and why.
    hopeless: Vec<(LetterId, String)>,
}

impl Tasks {
    /// A letter is redriven when all these documents are told.
    pub fn add(&mut self, letter: Letter, documents: Vec<DocumentKey>) {
        self.letters.push((letter, documents));
    }

    /// A letter cannot be redriven.
    pub fn refuse(&mut self, letter: &Letter, reason: String) {
        self.hopeless.push((letter.id, reason));
    }

    /// Documents that are not told yet, each once.
    pub fn pending(&self) -> Vec<DocumentKey> {
        let all: BTreeSet<&DocumentKey> = self.letters.iter().flat_map(|(_, documents)| documents).collect();
        all.into_iter().filter(|key| !self.told.contains_key(key)).cloned().collect()
    }

    /// A document was published.
    pub fn tell(&mut self, key: DocumentKey, told: Told) {
        self.unknown.remove(&key);
        self.told.insert(key, told);
    }

    /// A document cannot be told now.
    pub fn unknown(&mut self, key: DocumentKey, reason: String) {
        self.unknown.insert(key, reason);
    }

    /// One of the reasons for which documents are waited for.
    pub fn reason(&self) -> &str {
        self.unknown.values().next().map_or("", String::as_str)
    }

    /// Letters whose documents are all told, and that are not marked yet.
    pub fn complete(&self) -> Vec<&Letter> {
        let complete = self.letters.iter().filter(|(letter, documents)| {
            !self.marked.contains(&letter.id) && documents.iter().all(|key| self.told.contains_key(key))
        });
        complete.map(|(letter, _)| letter).collect()
    }

    /// Letters are marked.
    pub fn marked(&mut self, ids: &[LetterId]) {
        self.marked.extend(ids);
    }

    /// Letters that were redriven.
    pub fn redriven(&self) -> &BTreeSet<LetterId> {
        &self.marked
    }

    /// How many documents were told so.
    pub fn count(&self, told: Told) -> usize {
        self.told.values().filter(|one| **one == told).count()
    }

    /// Indices of documents that were published.
    pub fn indices(&self) -> BTreeSet<&str> {
        let published = self.told.iter().filter(|(_, told)| **told != Told::Nothing);
        published.map(|(key, _)| &*key.index).collect()
    }

    /// Letters that were not redriven, and why.
    pub fn left(&self) -> Vec<(LetterId, String)> {
        let why = |documents: &[DocumentKey]| {
            let reason = documents.iter().find_map(|key| self.unknown.get(key));
            reason.cloned().unwrap_or_else(|| "it was not looked at".to_owned())
        };
        let unmarked = self.letters.iter().filter(|(letter, _)| !self.marked.contains(&letter.id));
        let mut left: Vec<_> = unmarked.map(|(letter, documents)| (letter.id, why(documents))).collect();
        left.extend(self.hopeless.iter().cloned());
        left.sort();
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letters::letter::tests::refused;

    fn key(id: &str) -> DocumentKey {
        DocumentKey { index: "i".into(), id: id.into(), routing: None }
    }

    #[test]
    fn a_letter_is_done_with_all_its_documents_and_a_document_with_all_its_letters() {
        let mut tasks = Tasks::default();
        tasks.add(refused(1, "i", "a"), vec![key("a")]);
        tasks.add(refused(2, "i", "a"), vec![key("a")]);
        tasks.add(refused(3, "i", "b"), vec![key("a"), key("b")]);
        tasks.refuse(&refused(4, "i", "c"), "no".to_owned());
        assert_eq!(tasks.pending(), [key("a"), key("b")]);
        tasks.unknown(key("b"), "away".to_owned());
        tasks.tell(key("a"), Told::Deleted);
        let complete: Vec<LetterId> = tasks.complete().iter().map(|letter| letter.id).collect();
        assert_eq!(complete.iter().map(|id| id.offset).collect::<Vec<_>>(), [1, 2]);
        tasks.marked(&complete);
        assert!(tasks.complete().is_empty());
        assert_eq!((tasks.pending(), tasks.reason()), (vec![key("b")], "away"));
        let left: Vec<String> = tasks.left().into_iter().map(|(id, reason)| format!("{id} {reason}")).collect();
        assert_eq!(left, ["0:3 away", "0:4 no"]);
        tasks.tell(key("b"), Told::Nothing);
        assert_eq!((tasks.complete().len(), tasks.reason()), (1, ""));
        assert_eq!(tasks.count(Told::Deleted), 1);
        assert_eq!(tasks.indices().into_iter().collect::<Vec<_>>(), ["i"]);
    }
}
